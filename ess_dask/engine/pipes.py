"""Pipes in memory between the threads that run the stages of a command."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

PIPE_BYTES = 8 << 20
"""What a pipe holds before its writer waits."""

_WAKE_SECONDS = 0.5
"""How long a wait may last before the waiting thread looks whether it is to end."""


class StageEndedError(SystemExit):
    """Ends the thread of a stage that is not wanted any more; no program catches it."""


class Pipe:
    """Blocks of bytes from one thread to another, in order, bounded."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._blocks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._unread = False
        self._failure: BaseException | None = None

    def write(self, data: bytes) -> None:
        """Hand over a block; raise ``BrokenPipeError`` when nobody reads any more."""
        with self._changed:
            while self._size >= PIPE_BYTES and not self._unread:
                self._changed.wait(_WAKE_SECONDS)
            if self._unread:
                raise BrokenPipeError
            self._blocks.append(data)
            self._size += len(data)
            self._changed.notify_all()

    def end(self, failure: BaseException | None = None) -> None:
        """Say that nothing follows; with ``failure`` what was written is no result."""
        with self._changed:
            self._ended, self._failure = True, failure
            self._changed.notify_all()

    def drop(self) -> None:
        """Say that nobody reads any more."""
        with self._changed:
            self._unread = True
            self._blocks.clear()
            self._changed.notify_all()

    def blocks(self) -> Iterator[bytes]:
        """Yield what is written until the end; raise the writer's failure."""
        while True:
            with self._changed:
                while not self._blocks and not self._ended:
                    self._changed.wait(_WAKE_SECONDS)
                if self._failure is not None:
                    raise self._failure
                if not self._blocks:
                    return
                block = self._blocks.popleft()
                self._size -= len(block)
                self._changed.notify_all()
            yield block


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
