"""What a warehouse back end is: plan, load, verify, and three listings of what was done.

A back end is found by the scheme of its URL (``connect.open_warehouse``) and held to
``ess_dask.testing.warehouse.WarehouseConformance``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError
from ess_dask.records.spec import Column
from ess_dask.warehouse.model import (
    LoadFile,
    LoadPlan,
    LoadRequest,
    LoadResult,
    Mode,
    StagedPart,
    Target,
)

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

    from ess_dask.catalog.bounds import Bounds
    from ess_dask.engine.model import RowCheck, Sink


Run = Callable[[Callable[[Any], Any], Sequence[Any]], Sequence[Any]]
"""Calls a function with each element of a list, on workers; returns the answers in order."""


class CapabilityError(UsageError):
    """The back end cannot do this at all; its ``capabilities`` say so beforehand."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a back end can do. Whatever is not listed raises ``CapabilityError``, nothing else.

    ``types`` are names of ``DataType``; ``widens`` says which columns of a table can be widened
    (``number``, ``string``); ``staging`` are the URL schemes staged parts may lie under ('' is a
    local path); ``lays_out`` says whether tables have a ``TableLayout``, ``direct`` whether
    rows of huge appends may go straight into the table.
    """

    name: str
    modes: frozenset[Mode]
    types: frozenset[str]
    widens: frozenset[str]
    staging: frozenset[str]
    lays_out: bool
    direct: bool

    def require(self, kind: str, wanted: str, offered: frozenset[str]) -> None:
        """Raise ``CapabilityError`` unless ``wanted`` is among ``offered``."""
        if wanted not in offered:
            raise CapabilityError(
                f"the {self.name} warehouse has no {kind} {wanted!r}",
                hint=f"it has {', '.join(sorted(offered))}",
            )


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One file version that a load put into a table. ``loaded_at`` is UTC, without a zone.

    ``replaced_by`` is '' while its rows stand, else the load that deleted them. ``digest`` is that
    of the plan the file was loaded with.
    """

    table: str
    pipeline: str
    file: LoadFile
    load_id: str
    digest: str
    loaded_at: datetime
    replaced_by: str = ""


@dataclass(frozen=True, slots=True)
class LoadEntry:
    """One committed load: where, by whom, with which plan, when (UTC, without a zone), and what."""

    table: str
    pipeline: str
    mode: Mode
    digest: str
    committed_at: datetime
    result: LoadResult


@dataclass(frozen=True, slots=True)
class Verification:
    """Staged rows against rows in the table, in rows; ``mismatches`` has a line per difference."""

    rows_staged: int
    rows_loaded: int
    mismatches: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every count and every column's digest agree."""
        return not self.mismatches


class Warehouse(Protocol):
    """A place where loaded tables live, with its ledger and rejects beside them."""

    @property
    def capabilities(self) -> Capabilities:
        """What this back end can do."""

    def plan(
        self,
        target: Target,
        columns: Sequence[Column],
        files: Sequence[LoadFile],
        replace_range: Bounds | None = None,
        digest: str = "",
    ) -> LoadPlan:
        """Return what a load of these files would do; writes nothing.

        ``replace_range`` (mode ``replace`` only; none is everything) bounds the file dates whose
        earlier rows go. Without ``columns`` the files are classified and no DDL is planned. A
        ``digest`` other than the last load's is reported in the warnings.

        Raises ``ConflictError`` listing every column that does not fit the table. Changed files are
        in ``LoadPlan.changed`` whatever the policy; ``changes.refuse_changed`` raises for ``fail``.
        """

    def sink(self, folder: str, load_id: str, plan: LoadPlan) -> Sink:
        """Return where the workers write the rows of a planned load, as this back end takes them.

        ``folder`` is the run's own, for what lies on the worker's disk.
        """

    def check(self, plan: LoadPlan) -> RowCheck | None:
        """Return what finds rows that the planned table cannot hold: they become rejects.

        None when it can hold whatever cleaning makes.
        """

    def spread(self, sink: Sink, parts: Sequence[StagedPart], run: Run) -> tuple[StagedPart, ...]:
        """Return the parts in a number that the back end reads side by side.

        ``sink`` is the one they were written with; ``run`` calls a function with each element of a
        list on the workers, and returns the answers in order.
        """

    def fit(self, plan: LoadPlan, parts: Sequence[StagedPart]) -> LoadPlan:
        """Return the plan with the DDL that the staged rows need: lengths of texts are known now.

        Raises ``ConflictError`` when the table cannot hold them.
        """

    def load(self, request: LoadRequest) -> LoadResult:
        """Load what was staged for a plan: rows, ledger and rejects in one transaction.

        A file that somebody else loaded since the plan is left out; of a request that is ``whole``
        nothing is loaded then, nor of files that came as one whole (``changes.refuse_shared``). A
        ``load_id`` that is already committed changes nothing and returns the recorded result, so a
        lost answer to a commit is asked for again by the same call. Raises ``ConflictError``
        (changed files, other table, rejected rows that were replayed by somebody else since),
        ``DataError`` (rows in the table are not those staged), ``LockedError``; nothing is loaded
        then and the staged parts are kept.
        """

    def staged_at(self, load_id: str) -> str:
        """Return the S3 URL under which all that is staged for a load lies, '' for its folder.

        The load does not remove it: that is for whoever staged it.
        """

    def verify(self, request: LoadRequest) -> Verification:
        """Compare the staged parts with the rows that this load has in the table now."""

    def loads(self, table: str = "", pipeline: str = "") -> tuple[LoadEntry, ...]:
        """Return committed loads, oldest first; '' is any."""

    def ledger(
        self, table: str = "", pipeline: str = "", *, history: bool = False
    ) -> tuple[LedgerEntry, ...]:
        """Return the loaded files in order of loading; with ``history`` the replaced ones too."""

    def rejects(
        self, table: str = "", pipeline: str = "", *, load_id: str = "", limit: int | None = None
    ) -> pa.Table:
        """Return the rejected rows that stand, in order of loading, file, member and line.

        A row stands while the load that rejected its file does, unless a replay that stands read it
        again. Columns: load_id, table_name, pipeline, uri, etag, member, line, column_name, reason,
        raw, title.
        """
