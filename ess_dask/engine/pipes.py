"""Pipes in memory between the threads that run the stages of a command."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ess_dask.aq.link import Expected, Rows

PIPE_BYTES = 8 << 20
"""What a pipe holds before its writer waits."""

SHELL_BYTES = 64 << 10
"""The same in front of a shell command, as much as a pipe of the system holds."""

_WAKE_SECONDS = 0.5
"""How long a wait may last before the waiting thread looks whether it is to end."""


class StageEndedError(SystemExit):
    """Ends the thread of a stage that is not wanted any more; no program catches it."""


class Pipe:
    """Bytes, or rows, from one thread to another, in order, bounded.

    Whether rows pass is settled once: the reader says what it expects, and the writer, before it
    writes, whether it gives that. Implements both ends of ``aq.link``.
    """

    def __init__(self, limit: int = PIPE_BYTES) -> None:
        self.broken = False
        """Whether it was written to when nobody read any more."""
        self._limit = limit
        self._changed = threading.Condition()
        self._items: deque[tuple[int, bytes | Rows]] = deque()
        self._size = 0
        self._ended = False
        self._unread = False
        self._failure: BaseException | None = None
        self._asked = False
        self._expected: Expected | None = None
        self._linked: bool | None = None

    def write(self, data: bytes) -> None:
        """Hand over bytes; raise ``BrokenPipeError`` when nobody reads any more."""
        self._put(len(data), data)

    def hand_over(self, rows: Rows) -> None:
        """Hand over rows; otherwise as ``write``."""
        self._put(int(rows.frame.estimated_size()), rows)

    def _put(self, size: int, item: bytes | Rows) -> None:
        with self._changed:
            self._linked = bool(self._linked)
            while self._size >= self._limit and not self._unread:
                self._changed.wait(_WAKE_SECONDS)
            if self._unread:
                self.broken = True
                raise BrokenPipeError
            self._items.append((size, item))
            self._size += size
            self._changed.notify_all()

    def end(self, failure: BaseException | None = None) -> None:
        """Say that nothing follows; with ``failure`` what was written is no result."""
        with self._changed:
            self._ended, self._failure = True, failure
            self._changed.notify_all()

    def drop(self) -> None:
        """Say that nobody reads any more."""
        with self._changed:
            self._unread = self._asked = True
            self._items.clear()
            self._changed.notify_all()

    def _ask(self, expected: Expected | None) -> bool:
        """Say what the reader expects, None for text; return whether that is what comes."""
        with self._changed:
            if not self._asked:
                self._asked, self._expected = True, expected
                self._changed.notify_all()
            while self._linked is None and not self._ended:
                self._changed.wait(_WAKE_SECONDS)
            return bool(self._linked)

    def gives(self, fits: Callable[[Expected], bool]) -> Expected | None:
        """Return what the reader expects if that fits; wait until it has said so."""
        with self._changed:
            while not self._asked:
                self._changed.wait(_WAKE_SECONDS)
            if self._linked is None:
                self._linked = self._expected is not None and fits(self._expected)
                self._changed.notify_all()
            return self._expected if self._linked else None

    def takes(self, expected: Expected) -> Iterator[bytes | Rows] | None:
        """Return what is written if rows pass; None if it is to be read as text."""
        return self._read() if self._ask(expected) else None

    def _read(self) -> Iterator[bytes | Rows]:
        """Yield what is written until the end; raise the writer's failure."""
        while True:
            with self._changed:
                while not self._items and not self._ended:
                    self._changed.wait(_WAKE_SECONDS)
                if self._failure is not None:
                    raise self._failure
                if not self._items:
                    return
                size, item = self._items.popleft()
                self._size -= size
                self._changed.notify_all()
            yield item

    def blocks(self) -> Iterator[bytes]:
        """Yield what is written, as text; raise the writer's failure."""
        self._ask(None)
        for item in self._read():
            yield item if isinstance(item, bytes) else item.text()


class BlocksInput(io.RawIOBase):
    """A stream over blocks; a read gives what is left of a block at most."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        super().__init__()
        self._blocks = blocks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._left = memoryview(block)
        size = len(self._left) if size < 0 else size
        out, self._left = self._left[:size], self._left[size:]
        return bytes(out)

    def close(self) -> None:
        """Stay open: the program may open its input once more."""


class PipeOutput(io.RawIOBase):
    """A stream that writes to a pipe; what is written is not held back."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Hand over all of it."""
        if len(data):
            self._pipe.write(bytes(data))
        return len(data)

    def close(self) -> None:
        """Stay open: the program may open its output once more."""
