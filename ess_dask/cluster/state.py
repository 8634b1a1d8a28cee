"""The daemon's folder: who may use it, whether a daemon lives there and what it says of itself.

    lock         held by the daemon as long as it lives: the only proof of life
    start.lock   held while a command starts a daemon
    state.json   address, process id, versions; written when the workers are ready
    stopped.json what was stopped, for who starts it again; gone when another one is started
    log          what the daemon and its workers print
    tls/         certificates (``tls.py``)
    scratch/     spilled data of the workers

The kernel drops a lock with its process, so nothing here can go stale: not after ``kill -9``, not
after a power cut.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import Any

from ess_dask._version import __version__
from ess_dask.dataclass import dataclass
from ess_dask.errors import AccessError, ConfigError, LockedError
from ess_dask.folders import cache_dir
from ess_dask.locks import is_held

READY = "state.json"
STOPPED = "stopped.json"

POLL = 0.02
"""Seconds between two looks at a lock or a file."""


@dataclass(frozen=True, slots=True)
class DaemonState:
    """A running local cluster, as it described itself when it became ready.

    ``address`` is the scheduler's (``tls://127.0.0.1:PORT``), ``threads`` and ``memory_limit``
    (bytes) are those of the first worker process, ``members`` those of each by name, ``removed``
    names those that were taken out; ``idle_timeout`` is in seconds (0 = never), ``started`` since
    1970 UTC. ``version`` and ``python`` are those the daemon runs with.
    """

    address: str
    pid: int
    workers: int
    threads: int
    memory_limit: int
    idle_timeout: float
    started: float
    folder: str
    version: str
    python: str
    host: str
    members: Mapping[str, Sequence[int]] = field(default_factory=dict)
    removed: Sequence[str] = ()

    @property
    def path(self) -> Path:
        """Return the daemon's folder."""
        return Path(self.folder)


def this_host() -> str:
    """Return this machine's name."""
    return os.uname().nodename


def daemon_folder() -> Path:
    """Return the folder of this ``ESS_CACHE_DIR``'s daemon; not made here."""
    return cache_dir() / "daemon"


def private_folder(folder: Path) -> Path:
    """Make ``folder`` with mode 0700, or check that it is only ours.

    Raises ``AccessError`` when it is a link, belongs to another user or others may write in it:
    who can write there can take over the cluster.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ConfigError(
            f"cannot use the cluster's folder {folder}: {error.strerror}",
            hint="set ESS_CACHE_DIR to a folder you may write",
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise AccessError(
            f"{folder} is not a folder of your own user",
            hint="remove it, or set ESS_CACHE_DIR to a folder of yours",
        )
    if found.st_mode & 0o022:
        raise AccessError(
            f"{folder} can be written by other users (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"look at what is in it, then: chmod 700 {folder}",
        )
    folder.chmod(0o700)
    return folder


def alive(folder: Path) -> bool:
    """Say whether a daemon holds ``folder``: starting, ready or stopping."""
    return is_held(folder / "lock")


def running(folder: Path, timeout: float = 60.0) -> DaemonState | None:
    """Return the ready daemon of ``folder``, or None.

    Waits up to ``timeout`` seconds for one that is just starting or stopping; raises
    ``LockedError`` after that.
    """
    deadline = time.monotonic() + timeout
    while alive(folder):
        state = read_state(folder)
        if state is not None:
            return state
        if time.monotonic() > deadline:
            raise LockedError(
                f"process {holder(folder, 'lock')} holds {folder} but is no ready cluster "
                f"after {timeout:.0f} s",
                hint=f"see {folder / 'log'}; if it hangs, end that process",
            )
        time.sleep(POLL)
    return None


def read_state(folder: Path, name: str = READY) -> DaemonState | None:
    """Return what ``state.json``, or ``name``, says; None when it is not there or not ours."""
    try:
        found = json.loads((folder / name).read_bytes())
        return state_of(found | {"folder": str(folder)})
    except (OSError, ValueError, TypeError):
        return None


def state_of(found: Mapping[str, Any]) -> DaemonState:
    """Return the state that JSON says.

    Another release may say more or less; its version must still be readable. Raises
    ``ValueError`` or ``TypeError`` for what is no state.
    """
    said = {each.name: found.get(each.name, "") for each in fields(DaemonState)}
    said |= {"members": said["members"] or {}, "removed": tuple(said["removed"])}
    return DaemonState(**{**said, "pid": int(said["pid"])})


def write_state(state: DaemonState, name: str = READY) -> None:
    """Write ``state.json``, or ``name``, in one step, mode 0600."""
    part = state.path / f"{name}.part"
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        json.dump(asdict(state), out)
    part.replace(state.path / name)


def hold(folder: Path, name: str, timeout: float) -> int | None:
    """Take the lock file ``name``; return its descriptor, None if not free in ``timeout`` s.

    The process id in it is for people and messages; it proves nothing.
    """
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                return None
            time.sleep(POLL)
        else:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, b"%d\n" % os.getpid())
            return descriptor


def holder(folder: Path, name: str) -> str:
    """Return the process id that the last holder of lock ``name`` wrote, '?' when unknown."""
    with suppress(OSError):
        return (folder / name).read_text().strip() or "?"
    return "?"


def starting(folder: Path, timeout: float = 90.0) -> AbstractContextManager[None]:
    """Let one command at a time start a daemon in ``folder``."""
    busy = f"has been starting the local cluster for {timeout:.0f} s"
    return holding(folder, "start.lock", timeout, busy, f"see {folder / 'log'}")


@contextmanager
def holding(folder: Path, name: str, timeout: float, busy: str, hint: str) -> Iterator[None]:
    """Hold the lock file ``name`` while the block runs.

    When it is not free in ``timeout`` seconds, ``LockedError`` names the process that holds it;
    ``busy`` says what that does.
    """
    lock = hold(folder, name, timeout)
    if lock is None:
        raise LockedError(f"process {holder(folder, name)} {busy}", hint=hint)
    try:
        yield
    finally:
        os.close(lock)


def check_compatible(state: DaemonState) -> DaemonState:
    """Return ``state``; raise ``ConfigError`` when this program cannot talk to that daemon."""
    if state.host != this_host():
        raise ConfigError(
            f"the cluster in {state.folder} runs on {state.host}, this is {this_host()}",
            hint="set ESS_CACHE_DIR to a folder that is not shared between machines",
        )
    theirs = (state.version, _minor(state.python))
    if theirs != (__version__, _minor(platform.python_version())):
        raise ConfigError(
            f"the running local cluster is ess-dask {state.version} on Python {state.python}, "
            f"this is ess-dask {__version__} on Python {platform.python_version()}",
            hint="restart it with this one (its tables are lost): ess udbd restart",
        )
    return state


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
