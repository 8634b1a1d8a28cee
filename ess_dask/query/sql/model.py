"""A question as a plan: frozen values, made before anything is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol

from ess_dask.dataclass import dataclass
from ess_dask.errors import WorkerLostError

if TYPE_CHECKING:
    import pyarrow as pa

PARTIALS = "__ess_partials"
"""The table of a merge: what the partitions gave, in their order."""

ROW = "__ess_row"
"""A column of it: the place of a row, from 0. It breaks ties, so that they keep their order."""

RESERVED = "__ess_"
"""Begins the names of the engine's own tables and columns."""


class SentLostError(WorkerLostError):
    """A worker died with what a question had sent to it; the question may be asked again."""


@dataclass(frozen=True, slots=True)
class Work:
    """What runs on one partition: ``query`` over the tables ``names`` (partition ``i`` of each
    source, ``columns`` of it only) and over sides that are the same for all. Picklable."""

    query: str
    names: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    seconds: float = 0.0
    limit: int | None = None
    """Rows after which the statement needs no further partition."""
    at: tuple[Any, ...] | None = None
    """The only values of the source's key that matter: they lie in one partition."""

    def carried(self, place: int, table: pa.Table) -> list[str]:
        """Return the columns to read of a source's partition: one where only rows are counted."""
        return list(self.columns[place]) or table.schema.names[:1]


class Partitioned(Protocol):
    """Rows that lie in parts, in a fixed order; a function of data and settings only."""

    @property
    def schema(self) -> pa.Schema:
        """The columns that a statement may name."""

    @property
    def key(self) -> tuple[str, ...]:
        """Columns whose equal values lie in one partition; () when there are none."""

    @property
    def placement(self) -> str:
        """Equal for sources whose equal keys lie in the partition of the same number; '' none."""

    @property
    def size(self) -> int:
        """About how many bytes the rows take in memory."""

    def map(
        self, work: Work, beside: Sequence[Partitioned], sides: Mapping[str, pa.Table]
    ) -> Iterable[pa.Table]:
        """Yield what ``work`` gives for each partition, in their order, however they finish.

        ``beside`` are the sources of ``work.names[1:]``, of the same kind and placement. Closing
        the iterator early stops what has not begun.
        """

    def dealt(
        self, work: Work, beside: Sequence[Partitioned], sides: Mapping[str, pa.Table], deal: Deal
    ) -> Partitioned:
        """Return what ``work`` gives, dealt anew; within a partition in the order it had."""

    def release(self) -> None:
        """Let go of what is held for questions; there is no further one."""


@dataclass(frozen=True, slots=True)
class Side:
    """One source of a statement, as the planner sees it. ``name`` is the engine's own and begins
    with ``RESERVED``; ``shown`` is what the statement calls it."""

    name: str
    shown: str
    schema: pa.Schema
    key: tuple[str, ...] = ()
    placement: str = ""
    size: int = 0
    partitions: int = 0
    """As many as it has, where ``placement`` says how equal keys lie."""


@dataclass(frozen=True, slots=True)
class Deal:
    """Rows dealt anew: equal values of ``key`` into the partition of one number, of so many."""

    key: tuple[str, ...]
    partitions: int

    @property
    def placement(self) -> str:
        """What makes two dealt tables lie alike."""
        return f"dealt/{self.partitions}"


@dataclass(frozen=True, slots=True)
class Stage:
    """Makes one table. With ``sources`` the ``map`` runs on every partition of them (read together,
    by number) and its results, one behind the other, are what ``merge`` sees as ``PARTIALS``
    ('': they are the table). Without, ``merge`` runs here on tables that earlier stages made.
    With ``deal`` nothing comes here: what the map gives is dealt anew, a source of later stages.
    """

    name: str
    sources: tuple[str, ...] = ()
    columns: tuple[tuple[str, ...], ...] = ()
    map: str = ""
    merge: str = ""
    sides: tuple[str, ...] = ()
    """Earlier tables that every partition sees."""
    uses: tuple[str, ...] = ()
    """Earlier tables that the merge sees."""
    limit: int | None = None
    at: tuple[Any, ...] | None = None
    """The only values of the source's key that matter."""
    deal: Deal | None = None
    note: str = ""
    """What the stage is for, in a few words."""


@dataclass(frozen=True, slots=True)
class SqlPlan:
    """All of a statement. The last stage's rows are the answer, under the names ``columns``.

    ``sources`` maps the engine's names to what the statement called them. ``unsplit`` says, if not
    '', why the statement's tables are collected and it runs in one place.
    """

    stages: tuple[Stage, ...]
    columns: tuple[str, ...]
    schema: pa.Schema
    sources: Mapping[str, str] = field(default_factory=dict)
    unsplit: str = ""
    collected: tuple[str, ...] = ()
    """What is collected without being reduced, and why."""
