"""Where bytes go: files, the standard output, named pipes, sockets."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO, cast

from ess_dask.aq.errors import OutputOpenError, OutputWriteError
from ess_dask.aq.inputs.opening import open_socket, pipe_path
from ess_dask.aq.link import Rows
from ess_dask.aq.surroundings import output_link, standard_output

BUFFER_BYTES = 1 << 18


def label_of(target: str) -> str:
    """Return how messages call a target."""
    return "<stdout>" if target == "-" else target.removeprefix("-,")


def _open(target: str, *, append: bool) -> BinaryIO:
    try:
        if target == "-" or target.startswith("-,"):
            return standard_output()
        kind, at, address = target.partition("@")
        if at and kind in ("connect", "listen", "socket"):
            return open_socket(kind, address, "wb")
        return cast("BinaryIO", Path(pipe_path(target)).open("ab" if append else "wb", buffering=0))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OutputOpenError(f"{label_of(target)}: cannot be opened: {reason}") from None


class Target:
    """An open target. Bytes are gathered and written in order."""

    def __init__(self, target: str, *, append: bool = False) -> None:
        self._label = label_of(target)
        self._stream = _open(target, append=append)
        self._waiting: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Add bytes; what is gathered goes out when it is much."""
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is gathered; raise ``OutputWriteError`` if the target does not take it."""
        data = memoryview(b"".join(self._waiting))
        self._waiting, self._size = [], 0
        try:
            while data:
                data = data[self._stream.write(data) or 0 :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputWriteError(
                f"{self._label}: cannot be written: {error.strerror or error}"
            ) from None

    def hand_over(self, rows: Rows) -> None:
        """Hand rows to the program that reads the standard output, behind what was written."""
        self.flush()
        link = output_link()
        assert link is not None
        link.hand_over(rows)

    def close(self) -> None:
        """Write the rest and close."""
        try:
            self.flush()
        finally:
            try:
                self._stream.close()
            except OSError as error:
                raise OutputWriteError(
                    f"{self._label}: cannot be closed: {error.strerror}"
                ) from None


class Targets:
    """The open targets of a program; outputs to the same place share one, in their order."""

    def __init__(self) -> None:
        self._open: dict[str, Target] = {}

    def get(self, target: str, *, append: bool) -> Target:
        """Return the target of that name, opened at the first call."""
        name = "-" if target.startswith("-,") else os.path.normpath(target)
        if name not in self._open:
            self._open[name] = Target(target, append=append)
        return self._open[name]

    def drop(self, target: str) -> None:
        """Close a target that is written to no longer."""
        found = self._open.pop("-" if target.startswith("-,") else os.path.normpath(target), None)
        if found:
            found.close()

    def close(self) -> None:
        """Close all targets."""
        with contextlib.ExitStack() as stack:
            for target in self._open.values():
                stack.callback(target.close)
        self._open.clear()
