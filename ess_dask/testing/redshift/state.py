"""How a session stands: its statements, its open messages, its transaction."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import field

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift.columns import Target
from ess_dask.testing.redshift.errors import ServerError
from ess_dask.testing.redshift.loading import Load
from ess_dask.testing.redshift.statements import Statement
from ess_dask.testing.redshift.unload import Field, Unloading

IDLE, OPEN, FAILED = b"I", b"T", b"E"
"""Of a transaction, as PostgreSQL tells it."""


@dataclass
class Prepared:
    """A statement that was looked up: COPY's target, UNLOAD's columns, places of VARBYTE."""

    statement: Statement
    target: Target | None = None
    fields: Sequence[Field] = ()
    types: bytes = b""
    binary: tuple[int, ...] = ()


@dataclass
class Step:
    """A message that the back end has not answered yet; it ends with one of these kinds."""

    ends: bytes
    prepared: Prepared | None = None
    error: ServerError | None = None
    load: Load | None = None
    unloading: Unloading | None = None
    is_hidden: bool = False
    is_lost: bool = False


@dataclass
class State:
    """How a session stands."""

    status: bytes = IDLE
    case_sensitive: bool = False
    case_committed: bool = False
    is_truncated: bool = False
    is_spoiled: bool = False
    is_undone: bool = False
    is_losing: bool = False
    pending: deque[Step] = field(default_factory=deque)
    holder: Step | None = None
