"""Blocks of bytes as they come, handed out in the amounts a reader wants."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ess_dask.records.split import CR, LF

LINE_END_SAMPLE = 64 << 10
"""Bytes at the start of a file in which the line end is looked for."""


class Feed:
    """Blocks of bytes, taken in amounts that suit the reader."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._ready: deque[memoryview] = deque()
        self._size = 0
        self._ended = False

    def _pull(self) -> bool:
        block = next(self._blocks, None)
        if block is None:
            self._ended = True
        elif block:
            self._push(memoryview(block))
        return not self._ended

    def _push(self, block: memoryview) -> None:
        self._ready.append(block)
        self._size += len(block)

    def _pop(self, most: int) -> memoryview:
        block = self._ready.popleft()
        if len(block) > most:
            self._ready.appendleft(block[most:])
            block = block[:most]
        self._size -= len(block)
        return block

    def line_end(self) -> int:
        """Return CR when the start of the text has carriage returns but no LF, otherwise LF."""
        # One more byte is looked at: a CR at the edge may belong to a CRLF.
        while self._size <= LINE_END_SAMPLE and self._pull():
            pass
        head = b"".join(self._ready)[: LINE_END_SAMPLE + 1]
        returns = head.find(b"\r", 0, LINE_END_SAMPLE) >= 0
        return CR if returns and head.find(b"\n") < 0 else LF

    def fill(self, rest: bytes, size: int, eol: int) -> tuple[bytearray, bool]:
        """Return ``rest`` with more bytes behind it, about ``size`` in all, and if it is the end.

        At the end a missing line end is added.
        """
        want = max(size - len(rest), 1)
        # One byte more tells whether this is the end.
        while self._size <= want and self._pull():
            pass
        parts = [memoryview(rest)]
        while want > 0 and self._ready:
            parts.append(self._pop(want))
            want -= len(parts[-1])
        final = self._ended and not self._size
        if final and any(parts) and next(part for part in reversed(parts) if part)[-1] != eol:
            parts.append(memoryview(bytes((eol,))))
        return bytearray().join(parts), final

    def drop_line(self, eol: int) -> int:
        """Drop bytes up to and including the next line end; return their number."""
        dropped = 0
        while self._ready or self._pull():
            if not self._ready:
                continue
            block = self._pop(self._size)
            at = bytes(block).find(eol)
            if at >= 0:
                self._ready.appendleft(block[at + 1 :])
                self._size += len(block) - at - 1
                return dropped + at + 1
            dropped += len(block)
        return dropped
