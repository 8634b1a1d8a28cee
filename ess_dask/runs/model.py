"""The words of a run: its state, its record in the journal, its events. Plain values, no I/O."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from ess_dask.dataclass import dataclass


class State(StrEnum):
    """Where a run is. The last three are final: what comes after is another run."""

    PLANNED = "planned"
    RUNNING = "running"
    STAGED = "staged"
    LOADING = "loading"
    VERIFIED = "verified"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to the run."""
        return self in FINAL


FINAL = frozenset({State.DONE, State.FAILED, State.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What the journal knows of a run. Times are seconds since 1970 (UTC), ``ended`` None while it
    lives; ``exit_code`` None until it ended, and for good when nobody saw it end (it was killed).

    ``lower`` and ``upper`` are its bounds as resolved (``*`` is open), ``digest`` its plan's,
    ``pipeline_file`` a path or a shipped pipeline's name ('' for one made in Python), ``folder``
    the run's own. ``pid``, ``host`` and ``beat`` (the last heartbeat) are its process's; a run that
    was read from a warehouse's ledger has none. ``backfill`` is the id of that it belongs to, or
    ''. Counts are 0 until they are known. ``error`` is one line. ``target`` names what it fills,
    as the lock does: two runs with the same one are never there at a time.
    """

    run_id: str
    pipeline: str
    state: State
    started: float
    ended: float | None = None
    exit_code: int | None = None
    lower: str = "*"
    upper: str = "*"
    digest: str = ""
    pipeline_file: str = ""
    folder: str = ""
    pid: int = 0
    host: str = ""
    beat: float = 0.0
    backfill: str = ""
    files: int = 0
    rows_read: int = 0
    rows_loaded: int = 0
    rows_rejected: int = 0
    rows_dropped: int = 0
    error: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One line of a run's journal: number from 0, seconds since 1970, the state after it, what
    happened, and details as plain JSON values."""

    run_id: str
    number: int
    at: float
    state: State
    name: str
    detail: Mapping[str, Any]


def new_run_id() -> str:
    """Return a name that sorts by time (UTC) and is taken by no other run."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
