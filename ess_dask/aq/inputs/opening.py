"""Where bytes come from: files, the standard input, named pipes, sockets. Decompressed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from ess_dask.aq.errors import InputOpenError, InputReadError
from ess_dask.aq.parsing.tokens import as_path
from ess_dask.aq.surroundings import standard_input
from ess_dask.errors import ReadError

BLOCK_BYTES = 1 << 18
PLAIN_BYTES = 4 << 20
MAGIC_BYTES = 6
MAGIC_STARTS = (b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"BZh")
"""What may begin a compressed stream; whether it does is found out behind it."""


def label_of(file: str) -> str:
    """Return how messages call an input."""
    if file == "-":
        return "<stdin>"
    return file[2:] if file.startswith("-,") else as_path(file)


def open_input(file: str) -> BinaryIO:
    """Open an input unbuffered; raise ``InputOpenError`` naming it."""
    try:
        if file == "-" or file.startswith("-,"):
            return standard_input()
        kind, at, address = file.partition("@")
        if at and kind in ("connect", "listen", "socket"):
            return open_socket(kind, address, "rb")
        return cast("BinaryIO", Path(pipe_path(file)).open("rb", buffering=0))
    except (OSError, ValueError) as error:
        raise InputOpenError(
            f"{label_of(file)}: cannot be opened: {_reason(error)}", hint="check the name"
        ) from None


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def pipe_path(file: str) -> str:
    """Return the path of a file; ``fifo@`` makes the pipe if there is none."""
    if not file.startswith("fifo@"):
        return as_path(file)
    path = as_path(file.removeprefix("fifo@"))
    if not os.path.exists(path):  # noqa: PTH110 - bytes that are not UTF-8 are a path too
        os.mkfifo(path)
    if not stat.S_ISFIFO(os.stat(path).st_mode):  # noqa: PTH116
        raise ValueError("it is not a named pipe")
    return path


def open_socket(kind: str, address: str, mode: str) -> BinaryIO:
    """Return the stream of a connection made to, or accepted at, ``HOST:PORT``."""
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise ValueError(f"{address!r} has no port")
    import socket

    host = host.strip("[]")
    if kind != "listen":
        with socket.create_connection((host, int(port))) as peer:
            return cast("BinaryIO", peer.makefile(mode, buffering=0))  # type: ignore[call-overload]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, int(port)), family=family) as server:
        peer, _ = server.accept()
        with peer:
            return cast("BinaryIO", peer.makefile(mode, buffering=0))  # type: ignore[call-overload]


def read_blocks(file: str) -> Iterator[bytes]:
    """Yield the plain bytes of an input; raise ``InputReadError`` when they break off."""
    with open_input(file) as stream:
        try:
            head = stream.read(BLOCK_BYTES)
            while 0 < len(head) < MAGIC_BYTES and (more := stream.read(BLOCK_BYTES)):
                head += more
            if not head.startswith(MAGIC_STARTS):
                # Plain text is not handed on in small pieces: joining them costs more than reading.
                yield head
                while block := stream.read(PLAIN_BYTES):
                    yield block
                return
            yield from _decompressed(head, stream, label_of(file))
        except OSError as error:
            raise InputReadError(f"{label_of(file)}: cannot be read: {_reason(error)}") from None


def _decompressed(head: bytes, stream: BinaryIO, label: str) -> Iterator[bytes]:
    from ess_dask.records.compression import Pushed, decompress

    joined = cast("BinaryIO", Pushed(head, stream))
    try:
        yield from decompress(joined, label)
    except ReadError as error:
        raise InputReadError(error.message, hint=error.hint) from None


def skip_front(blocks: Iterator[bytes], count: int, unit: str) -> Iterator[bytes]:
    """Yield the blocks without the first ``count`` bytes (``b``) or lines (``l``)."""
    blocks = iter(blocks)
    for block in blocks:
        if not count:
            yield block
            yield from blocks
            return
        if unit == "b":
            cut = min(count, len(block))
            count -= cut
        else:
            cut, count = _after_lines(block, count)
        if cut < len(block):
            yield block[cut:]


def _after_lines(block: bytes, count: int) -> tuple[int, int]:
    at = 0
    while count:
        end = block.find(b"\n", at)
        if end < 0:
            return len(block), count
        at, count = end + 1, count - 1
    return at, 0
