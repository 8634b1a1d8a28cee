"""One run of a pipeline into a target at a time: a lock in ``locks/`` of the state folder.

The kernel holds it (``flock``) as long as the process lives, so one whose process is gone is free
at once. In the file stands who holds it: run, pid, host, since when and the last heartbeat. A state
folder that several machines share may lie where their kernels do not see each other's locks: what a
process of another host wrote there is believed until its heartbeat is ``STALE_SECONDS`` old.

A backfill holds the lock for all its runs: its ``Claim`` has the backfill's id and no run. These
runs, which may be several at once, are its members (``Claim.member``): they take the lock
``*.members`` shared, which needs that the holder names their backfill. Whoever takes the lock for
himself needs that nobody is a member any more, so runs that outlived their backfill are safe too.
Each writes its own claim first and looks at the other's then: of two that come at the same moment
at most one goes on.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path

from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError, LockedError
from ess_dask.folders import cache_dir
from ess_dask.locks import is_held

BEAT_SECONDS = 5.0
"""How often a run says that it lives."""

STALE_SECONDS = 120.0
"""A heartbeat of another host that is older than this is of a process that is gone."""

_SIZE = 1024
"""Bytes of a lock file, blanks included: a heartbeat on a full disk needs no new block."""

_GLANCES = 3
"""Somebody who only looks holds the lock for a moment: so often it is asked for."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LockKey:
    """What is locked: a pipeline's name, and the name of what it fills."""

    pipeline: str
    target: str = ""

    @property
    def path(self) -> Path:
        """The lock file, in the state folder."""
        digest = hashlib.sha256(f"{self.pipeline}\0{self.target}".encode(errors="surrogatepass"))
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", self.pipeline)[:60]
        return cache_dir() / "locks" / f"{name}-{digest.hexdigest()[:12]}.lock"


@dataclass(frozen=True, slots=True)
class Claim:
    """Who wants the lock: a run (of a backfill, or of none), or a backfill (no run).

    ``wait`` is how many seconds one may wait for it.
    """

    run_id: str = ""
    backfill: str = ""
    wait: float = 0.0

    @property
    def member(self) -> bool:
        """Whether it is a run that its backfill holds the lock for."""
        return bool(self.run_id and self.backfill)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, as its file says. Times in seconds since 1970 (UTC)."""

    run_id: str = ""
    backfill: str = ""
    pid: int = 0
    host: str = ""
    since: float = 0.0
    beat: float = 0.0

    @property
    def shown(self) -> str:
        """The holder in a few words."""
        if not self.pid:
            return "another process"
        what = f"run {self.run_id}" if self.run_id else f"backfill {self.backfill}"
        since = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(self.since))
        return f"{what} (process {self.pid} on {self.host}, since {since})"


class PipelineLock:
    """A lock that is held; ``beat`` says so to other hosts."""

    def __init__(self, key: LockKey, holder: Holder, descriptor: int) -> None:
        self.key, self.holder, self._descriptor = key, holder, descriptor

    def beat(self) -> None:
        """Write that the holder lives."""
        if self.holder.run_id and self.holder.backfill:
            return
        _write(self._descriptor, {**asdict(self.holder), "beat": time.time()})


@contextmanager
def hold(key: LockKey, claim: Claim, say: Say = lambda text: None) -> Iterator[PipelineLock]:
    """Hold the lock while the block runs; wait for it as long as the claim says.

    ``say`` is told of a lock that is waited for, or taken over from a process that is gone. Raises
    ``LockedError`` naming the holder, ``EssError`` when the lock file cannot be written.
    """
    path, holder = key.path, _me(claim)
    with _disk_errors(path):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        lock = _wait(path, holder, claim, say)
    try:
        yield PipelineLock(key, holder, lock)
    finally:
        if not claim.member:
            with suppress(OSError):
                os.pwrite(lock, b" " * _SIZE, 0)
        os.close(lock)


def holder_of(key: LockKey) -> Holder | None:
    """Return who holds a lock now, None when it is free."""
    path = key.path
    found = _read(path)
    if is_held(path):
        return found or Holder()
    return found if found is not None and _may_live(found) else None


def is_gone(pid: int, host: str, beat: float, folder: str) -> bool:
    """Say whether the process of a run that has not ended is gone: by the lock in the run's folder
    on this host, by its last heartbeat on another."""
    if host == os.uname().nodename and pid:
        return not is_held(Path(folder) / "lock")
    return abs(time.time() - beat) > STALE_SECONDS


def _me(claim: Claim) -> Holder:
    now = time.time()
    return Holder(claim.run_id, claim.backfill, os.getpid(), os.uname().nodename, now, now)


def _wait(path: Path, holder: Holder, claim: Claim, say: Say) -> int:
    """Return the descriptor of the lock, taken now or after a while."""
    begun = time.monotonic()
    watched = _Watched()
    told = False
    while True:
        try:
            return _join(path, holder) if claim.member else _take(path, holder, watched, say)
        except LockedError as error:
            if time.monotonic() - begun >= claim.wait:
                raise
            if not told:
                say(f"waiting: {error.message}")
                told = True
        time.sleep(min(0.2, claim.wait))


class _Watched:
    """Holders of other hosts as seen by our own clock: one whose heartbeat stands still is gone,
    whatever the clocks say."""

    def __init__(self) -> None:
        self._beat = 0.0
        self._seen = time.monotonic()

    def is_still(self, holder: Holder) -> bool:
        """Say whether the heartbeat has stood still for long."""
        if holder.beat != self._beat:
            self._beat, self._seen = holder.beat, time.monotonic()
        return time.monotonic() - self._seen > STALE_SECONDS


def _take(path: Path, holder: Holder, watched: _Watched, say: Say) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _locks(lock):
            raise _locked(_read(path) or Holder())
        found = _read(path)
        if found is not None and _may_live(found) and not watched.is_still(found):
            raise _locked(found, hint=f"wait for it; should it be gone: {path} may be removed")
        _write(lock, asdict(holder))
        if _has_members(path):
            _write(lock, asdict(found) if found else {})
            raise _locked(found or Holder(), "runs of it that outlived it: ")
        if found is not None:
            say(f"the lock of {found.shown} is taken over: that process is gone")
    except BaseException:
        os.close(lock)
        raise
    return lock


def _join(path: Path, holder: Holder) -> int:
    """Return the descriptor of a member's lock."""
    lock = os.open(_members(path), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Somebody who takes the lock for himself may look whether it is held in this moment.
        fcntl.flock(lock, fcntl.LOCK_SH)
        found = _read(path)
        if found is None or found.backfill != holder.backfill or found.run_id:
            raise _locked(found or Holder(), f"backfill {holder.backfill} does not hold it: ")
        if not is_held(path) and not _may_live(found):
            raise _locked(found, "that process is gone: ")
    except BaseException:
        os.close(lock)
        raise
    return lock


def _locks(lock: int) -> bool:
    """Take a lock for oneself; say whether it was free."""
    for _ in range(_GLANCES):
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.01)
    return False


def _has_members(path: Path) -> bool:
    with suppress(FileNotFoundError):
        lock = os.open(_members(path), os.O_RDWR)
        try:
            return not _locks(lock)
        finally:
            os.close(lock)
    return False


def _locked(holder: Holder, why: str = "", hint: str = "") -> LockedError:
    return LockedError(
        f"the pipeline is held: {why}{holder.shown}",
        hint=hint or "wait for it, or give --wait SECONDS",
    )


def _may_live(holder: Holder) -> bool:
    """Say whether a holder whose lock this kernel does not see may be alive: on another host."""
    if holder.host == os.uname().nodename:
        return False
    # In the future: one of the two clocks is wrong, and ours may be.
    return time.time() - holder.beat <= STALE_SECONDS


def _members(path: Path) -> Path:
    return path.with_suffix(".members")


def _read(path: Path) -> Holder | None:
    """Return who is written in a lock file; None for nobody."""
    try:
        values = json.loads(path.read_bytes() or b"{}")
        known = {field.name for field in fields(Holder)}
        return Holder(**{name: values[name] for name in known & values.keys()}) if values else None
    except (OSError, ValueError):
        return None


def _write(lock: int, values: dict[str, object]) -> None:
    os.pwrite(lock, json.dumps(values).encode().ljust(_SIZE), 0)


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EssError(
            f"cannot take the lock {path}: {error.strerror}",
            hint="free space there, or set ESS_CACHE_DIR to a folder you may write",
        ) from None
