"""What a load does, decided inside its transaction by the ledger as it is then. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConflictError, UsageError
from ess_dask.warehouse.changes import classify, refuse_changed, refuse_shared
from ess_dask.warehouse.model import LoadFile, LoadRequest, LoadResult
from ess_dask.warehouse.protocol import LedgerEntry, LoadEntry
from ess_dask.warehouse.quote import TableName, parse_table
from ess_dask.warehouse.schema import Dialect, TableState, plan_ddl


@dataclass(frozen=True, slots=True)
class Work:
    """What a load does: the files it takes, and what goes for them."""

    name: TableName
    taken: tuple[LoadFile, ...]
    removed: tuple[str, ...]
    """Uris whose earlier rows go."""
    already_done: int


def check_request(request: LoadRequest) -> None:
    """Raise before anything is opened when the request contradicts its plan."""
    refuse_changed(request.plan)
    planned = {
        (file.uri, file.etag, file.part) for file in (*request.plan.new, *request.plan.changed)
    }
    for file in request.files:
        if (file.uri, file.etag, file.part) not in planned:
            raise UsageError(f"{file.uri} is not among the files the plan would load")


def same_load(request: LoadRequest, recorded: LoadEntry, default_schema: str) -> LoadResult:
    """Return what was recorded of this load; raise ``ConflictError`` when it is another one."""
    asked = (
        str(parse_table(request.plan.target.table, default_schema)),
        request.plan.target.pipeline,
    )
    if asked != (recorded.table, recorded.pipeline):
        raise ConflictError(
            f"load {request.load_id} is recorded for {recorded.table} by {recorded.pipeline}",
            hint="every load needs its own id",
        )
    return recorded.result


def planned_ddl(request: LoadRequest, state: TableState, dialect: Dialect) -> tuple[str, ...]:
    """Return the statements that the table needs; raise ``ConflictError`` for one not planned."""
    if not request.plan.columns:
        return ()
    needed = plan_ddl(state, request.plan.columns, dialect)
    unplanned = [statement for statement in needed if statement not in request.plan.ddl]
    if unplanned:
        raise ConflictError(
            f"the table {state.name} is not as planned; it would need: {'; '.join(unplanned)}",
            hint="plan and load again",
        )
    return needed


def decide(request: LoadRequest, name: TableName, standing: Sequence[LedgerEntry]) -> Work:
    """Return what the load does; ``standing`` are the table's entries of all pipelines.

    Raises ``ConflictError`` for changed files and for rows that stand as a whole.
    """
    plan, target = request.plan, request.plan.target
    refuse_shared(target, request.files, standing, whole=request.whole)
    own = [entry for entry in standing if entry.pipeline == target.pipeline]
    found = classify(target, request.files, own, frozenset(plan.again))
    refuse_changed(replace(plan, changed=found.changed))
    taken = (*found.new, *found.changed)
    removed = {file.uri for file in found.changed}
    if target.mode == "replace":
        # Rows of a file that failed, or was not reached, stay until there are others for them.
        unread = {file.uri for file in plan.new} - {file.uri for file in request.files}
        removed = {*plan.replaces, *(file.uri for file in taken)} - unread
    already = len(found.done) + len(found.ignored)
    return Work(name, taken, tuple(sorted(removed)), already)
