"""The folder of a run: rejects and report stay, what was staged goes with the run's process.

lock          held while the run lives: the only proof of life, dropped by the kernel
stage/        rows on their way into the warehouse; ``elsewhere`` in it is the URL of what is in S3
rejects/      rejected rows, kept
report.json   the account, kept
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.errors import EssError
from ess_dask.folders import cache_dir
from ess_dask.locks import is_held

if TYPE_CHECKING:
    from ess_dask.settings import Settings

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What a write says to a full disk, a quota that is used up, a limit of a file's size."""

_ELSEWHERE = "elsewhere"


def runs_folder(settings: Settings) -> Path:
    """Return the folder that holds one folder per run."""
    return Path(settings.runs_folder) if settings.runs_folder else cache_dir() / "runs"


@contextmanager
def run_folder(folder: Path, staged_at: str = "") -> Iterator[None]:
    """Make a run's folder and hold it while the block runs; its ``stage`` is gone afterwards.

    So is what lies at ``staged_at``, an S3 URL, if that can be removed. What runs with the same
    parent folder had staged when they were killed, or had on its way into S3 when they failed, is
    removed first. Raises ``EssError`` when the
    folder cannot be made or its disk is full.
    """
    try:
        # In two steps: the mode of parents that are made along is the user's own.
        folder.mkdir(parents=True, mode=0o700)
        (folder / "rejects").mkdir(mode=0o700)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EssError(
            f"cannot make the run's folder {folder}: {error.strerror}",
            hint="free space, or set ESS_RUNS_FOLDER to a folder you may write",
        ) from None
    is_done = False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _sweep(folder.parent, elsewhere=bool(staged_at))
        if staged_at:
            _note(folder / "stage", staged_at)
        yield
        is_done = True
    except OSError as error:
        # A write that fails half-way knows no file name: the run's own disk is named for it.
        if error.errno not in NO_ROOM or error.filename:
            raise
        what = os.strerror(error.errno).lower()
        raise EssError(
            f"{what} while working in {folder} ({_free_bytes(folder):,} bytes free)",
            hint="make room there (or in ESS_CACHE_DIR), or set ESS_RUNS_FOLDER; then run again",
        ) from None
    finally:
        _remove(folder / "stage", elsewhere=bool(staged_at))
        if staged_at and not is_done:
            # Work that was cancelled cannot be stopped: what it still uploads is the next run's.
            with suppress(OSError):
                _note(folder / "stage", staged_at)
        (folder / "lock").unlink(missing_ok=True)
        os.close(lock)


def sweep(folder: Path, *, elsewhere: bool) -> None:
    """Remove what a run staged whose process is gone; ``elsewhere``: what lies in S3, too."""
    if not is_held(folder / "lock"):
        _remove(folder / "stage", elsewhere=elsewhere)


def _note(stage: Path, staged_at: str) -> None:
    stage.mkdir(mode=0o700, exist_ok=True)
    (stage / _ELSEWHERE).write_text(staged_at)


def _free_bytes(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _sweep(runs: Path, *, elsewhere: bool) -> None:
    # A run takes its lock before it stages anything: without one there is nothing to protect.
    for stage in runs.glob("*/stage"):
        sweep(stage.parent, elsewhere=elsewhere)


def _remove(stage: Path, *, elsewhere: bool) -> None:
    """Remove a run's stage; with ``elsewhere`` what it names in S3, too, else such a stage stays.

    So does one whose objects cannot be removed now: the next run that can tries again. A run that
    stages nothing in S3 does not wait for it.
    """
    noted = stage / _ELSEWHERE
    if noted.exists() and not (elsewhere and _removed_elsewhere(noted.read_text())):
        return
    shutil.rmtree(stage, ignore_errors=True)


def _removed_elsewhere(url: str) -> bool:
    from ess_dask.warehouse.redshift.manifest import sweep

    try:
        sweep(url)
    except EssError:
        return False
    return True
