"""A state file that is damaged: kept aside under another name, so that a new one can be begun.

Datastores and categories were only there, and have to be added again. Runs, and what was loaded,
stand in the warehouse's ledger: the next run of a pipeline takes them from it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_damage(error: sqlite3.Error) -> bool:
    """Say whether SQLite means that the file itself is wrong, and not the disk or who holds it."""
    # The low byte: what stands above it says more of the same.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _CODES


def set_aside(path: Path) -> None:
    """Rename a damaged state to ``*.corrupt-TIME``, with what SQLite keeps beside it, and say so.

    Of several processes that find it damaged one does so, the others find a new one. Raises
    ``OSError`` when it cannot be renamed.
    """
    lock = os.open(path.with_name(f"{path.name}.damaged"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_damaged(path):
            return
        aside = path.with_name(
            f"{path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        )
        for end in ("-wal", "-shm", ""):
            part = path.with_name(path.name + end)
            if part.exists():
                part.rename(aside.with_name(aside.name + end))
    finally:
        os.close(lock)
    sys.stderr.write(
        f"ess: {path} is damaged; it is kept as {aside.name} and a new one is begun. Add "
        "datastores and categories again (ess select, ess category add); the next run of each "
        "pipeline takes what was loaded from its warehouse's ledger\n"
    )


def _is_damaged(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path)) as connection:
            return bool(connection.execute("pragma quick_check(1)").fetchone() != ("ok",))
    except sqlite3.DatabaseError as error:
        return is_damage(error)
