"""The end of what a command writes to stderr, for messages."""

from __future__ import annotations

TAIL_BYTES = 8 << 10


class Tail:
    """Keeps the last ``TAIL_BYTES``."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, data: bytes) -> None:
        """Take what is written."""
        self._bytes += data[-TAIL_BYTES:]
        del self._bytes[:-TAIL_BYTES]

    @property
    def text(self) -> str:
        """What is kept; dots stand for what was before."""
        text = bytes(self._bytes).decode(errors="replace").strip()
        return text if len(self._bytes) < TAIL_BYTES else f"...{text}"
