"""A file's plain bytes, whatever it is compressed with or packed into."""

from __future__ import annotations

from collections.abc import Iterator

from ess_dask.records.archives import open_files
from ess_dask.records.chunk import FileSource
from ess_dask.records.compression import codec_name, decompress, open_source
from ess_dask.records.spec import ReadSpec

__all__ = ["codec_name", "open_stream", "read_blocks"]


def open_stream(source: FileSource, compression: str = "") -> Iterator[bytes]:
    """Yield the decompressed bytes of ``source`` in blocks; archives come out as they are.

    ``compression`` is '' (by content), none, gzip, bzip2, xz or zstd. Raises ``ReadError`` for a
    broken stream, ``ConfigError`` for an unknown compression.
    """
    codec = codec_name(compression)
    with open_source(source) as stream:
        yield from decompress(stream, source.uri, codec)


def read_blocks(source: FileSource, spec: ReadSpec) -> Iterator[bytes]:
    """Yield the plain bytes of ``source``; those of an archive's members one after another, text of
    each in lines of its own."""
    last = b""
    for _, blocks in open_files(source, spec):
        # A text may lack its last line end; NUL ends one of UTF-16, or what is none.
        open_line = last not in (b"", b"\n", b"\r", b"\0")
        for block in filter(None, blocks):
            if open_line:
                yield b"\n"
                open_line = False
            yield block
            last = block[-1:]
