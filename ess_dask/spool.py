"""Folders for what a command spools, in the folder for temporary files; none outlives its command.

The command holds a lock on its folder. One that was killed could not remove it: the next command
removes those that nobody holds.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIXES = ("ess-stream-", "ess-query-", "ess-exec-")

_OLD_SECONDS = 3600.0
"""A younger folder may be one whose command has not locked it yet."""


@contextmanager
def spool_folder(kind: str) -> Iterator[str]:
    """Give the path of a new folder ``ess-KIND-...``, removed at the end of the block."""
    _sweep()
    with tempfile.TemporaryDirectory(prefix=f"ess-{kind}-") as folder:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(held)


def _sweep() -> None:
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIXES):
                with suppress(OSError):
                    _remove_if_left(Path(entry.path))


def _remove_if_left(folder: Path) -> None:
    # Opened first: what is judged and removed is this folder, and no link to another one.
    found = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        about = os.fstat(found)
        ours = about.st_uid == os.geteuid() and stat.S_ISDIR(about.st_mode)
        if ours and time.time() - about.st_mtime > _OLD_SECONDS:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(found)
