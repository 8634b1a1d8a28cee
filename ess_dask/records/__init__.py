"""Bytes to typed rows: codecs by magic bytes, archives, readers, rejects, writers."""
