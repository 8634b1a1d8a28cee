"""Files between this machine and a worker, in blocks that are tasks of that worker alone.

A block is in memory once on each side; a file is whole and checked before it gets its name.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import TransientError

if TYPE_CHECKING:
    from distributed import Client, Future

BLOCK_BYTES = 8 << 20
"""Bytes of a task's result: one of them costs the scheduler no more than a small one."""

SENT_BYTES = 4 << 20
"""Bytes of a task's argument; Dask warns of a task of more than 10 MB."""

_UNFINISHED = ".ess-part"
_IN_FLIGHT = 2
_FIRST = 1_000
"""Priority: what a worker has finished is fetched before it begins something new."""
_LOOK_SECONDS = 2.0
"""How long a block may take before we look whether its worker is still there."""
_VALUE_SECONDS = 60.0
"""How long a block that is read may take to come here before we look again."""
_ASKED = 10


class WorkerGoneError(TransientError):
    """The worker that had a file, or its file, is not there any more."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file on a worker's disk: absolute path there, size in bytes, digest and mode."""

    path: str
    size: int
    digest: str
    mode: int = 0o600


def stored(path: Path) -> Stored:
    """Return what describes a file of this machine."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        digest = hashlib.file_digest(file, "blake2b").hexdigest()
    return Stored(str(path), status.st_size, digest, status.st_mode & 0o777)


def pinned(
    client: Client, address: str, function: Callable[..., Any], *arguments: Any
) -> Future[Any]:
    """Start ``function`` on one worker, before what waits there."""
    return client.submit(
        function,
        *arguments,
        workers=[address],
        allow_other_workers=False,
        pure=False,
        priority=_FIRST,
    )


def answer(client: Client, address: str, future: Future[Any]) -> Any:
    """Wait for a task of one worker; raise ``WorkerGoneError`` when that worker has gone."""
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    while not done.wait(_LOOK_SECONDS):
        check_there(client, address)
    while True:
        try:
            return value_of(future, _VALUE_SECONDS)
        except TimeoutError:
            if future.status == "error":
                raise
            check_there(client, address)
        except FileNotFoundError:
            raise WorkerGoneError(f"the worker at {address} was started anew") from None
        except Exception as error:
            if type(error).__name__ in ("KilledWorker", "FutureCancelledError", "CancelledError"):
                raise WorkerGoneError(f"the worker at {address} is gone") from None
            raise


def value_of(future: Future[Any], timeout: float | None = None) -> Any:
    """Return the value of a task that is done; raise what it raised.

    Dask fetches the values that several threads wait for together: where one of them gives up, all
    are told nothing, which comes out as ``UnboundLocalError``. So ask again, and seldom give up.
    """
    for _ in range(_ASKED):
        try:
            return future.result(timeout)
        except UnboundLocalError:
            continue
    raise TransientError(
        "the scheduler does not hand out results", hint="run the same command again"
    )


def check_there(client: Client, address: str) -> None:
    """Raise ``WorkerGoneError`` when the scheduler knows no worker at this address any more."""
    if address not in client.scheduler_info(n_workers=-1)["workers"]:
        raise WorkerGoneError(f"the worker at {address} is gone")


def fetch(client: Client, address: str, source: Stored, target: Path) -> None:
    """Copy a file of a worker to ``target`` here, whole or not at all; makes the folder.

    Raises ``WorkerGoneError`` when worker or file is gone, and when what came is not what was
    written there; ``OSError`` is this machine's disk.
    """
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.with_name(f".{target.name}-{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as to:
            digest = _copy(client, address, source, to.write)
        if digest != source.digest:
            raise WorkerGoneError(f"{source.path} came back from {address} in another state")
        temporary.chmod(source.mode)
        temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink()


def _copy(client: Client, address: str, source: Stored, write: Callable[[bytes], Any]) -> str:
    digest = hashlib.blake2b()
    under_way: deque[Future[Any]] = deque()
    starts = iter(range(0, source.size, BLOCK_BYTES))
    try:
        while True:
            while len(under_way) < _IN_FLIGHT and (start := next(starts, None)) is not None:
                task = pinned(client, address, read_block, source.path, start, BLOCK_BYTES)
                under_way.append(task)
            if not under_way:
                return digest.hexdigest()
            block = answer(client, address, under_way[0])
            under_way.popleft().release()
            digest.update(block)
            write(block)
    finally:
        for future in under_way:
            future.release()


def read_block(path: str, start: int, size: int) -> bytes:
    """Return up to ``size`` bytes of a file from ``start`` on. Runs on a worker."""
    with open(path, "rb") as file:  # noqa: PTH123
        file.seek(start)
        return file.read(size)


def send(client: Client, address: str, source: Path, told: Stored, name: str) -> None:
    """Copy a file of this machine to ``name`` below a worker's working folder.

    ``told`` is what ``stored(source)`` said. The file appears there whole, with its mode. Raises
    ``WorkerGoneError``, and ``OSError`` with the reason of the worker's disk.
    """
    folder, _, base = name.rpartition("/")
    part = os.path.join(folder, f".{base}.{secrets.token_hex(8)}{_UNFINISHED}")  # noqa: PTH118
    with source.open("rb") as file:
        start = 0
        while True:
            block = file.read(SENT_BYTES)
            ask(client, address, write_block, part, start, block)
            start += len(block)
            if len(block) < SENT_BYTES:
                break
    ask(client, address, finish_file, part, name, told)


def ask(client: Client, address: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function gives on one worker, done as a task there; see ``answer``."""
    future = pinned(client, address, function, *arguments)
    try:
        return answer(client, address, future)
    finally:
        future.release()


def write_block(part: str, start: int, block: bytes) -> None:
    """Write a block of an unfinished file. Runs on a worker; again does no harm."""
    path = Path(part)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not start:
        sweep(path.parent)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.seek(start)
        file.write(block)


def finish_file(part: str, name: str, told: Stored) -> None:
    """Give a file its mode and its name. Runs on a worker; raises ``OSError`` if it is not whole.

    The second time, after a worker that was asked twice, it has its name already.
    """
    path = Path(part)
    if not path.exists():
        path = Path(name)
    if not path.is_file() or stored(path).digest != told.digest:
        Path(part).unlink(missing_ok=True)
        raise OSError(f"{name} did not arrive whole")
    path.chmod(told.mode)
    path.replace(name)


def sweep(folder: Path, age: float = 86_400.0) -> None:
    """Remove unfinished files that nobody goes on with: older than ``age`` seconds."""
    for path in folder.glob(f".*{_UNFINISHED}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > age:
                path.unlink()
