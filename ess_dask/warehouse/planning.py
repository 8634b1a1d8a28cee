"""What a load would do, from what stands in the warehouse; the same for every back end. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError
from ess_dask.records.spec import Column
from ess_dask.warehouse.changes import Classified, classify, names
from ess_dask.warehouse.dates import within
from ess_dask.warehouse.model import LoadFile, LoadPlan, TableLayout, Target
from ess_dask.warehouse.protocol import Capabilities, CapabilityError, LedgerEntry
from ess_dask.warehouse.quote import fold
from ess_dask.warehouse.schema import Dialect, TableState, check_columns, plan_ddl

if TYPE_CHECKING:
    from ess_dask.catalog.bounds import Bounds


@dataclass(frozen=True, slots=True)
class Standing:
    """What a warehouse holds for a table and pipeline.

    ``entries`` are the files that stand, ``digest`` is that of the last load's plan ('' for none).
    """

    table: TableState
    entries: tuple[LedgerEntry, ...] = ()
    digest: str = ""


def check_target(target: Target, columns: Sequence[Column], capabilities: Capabilities) -> None:
    """Raise before anything is looked at when the back end cannot do what is asked.

    ``CapabilityError`` for a mode or type it does not have, ``ConfigError`` for column names that
    clash and for an upsert without its key.
    """
    capabilities.require("mode", target.mode, frozenset(capabilities.modes))
    for column in columns:
        capabilities.require("type", column.type.name, capabilities.types)
    if target.layout != TableLayout() and not capabilities.lays_out:
        raise CapabilityError(
            f"tables of the {capabilities.name} warehouse have no distribution and sort keys",
            hint="leave them out",
        )
    if target.direct and not capabilities.direct:
        raise CapabilityError(
            f"the {capabilities.name} warehouse has no direct loads", hint="leave direct out"
        )
    check_columns(columns)
    if target.mode != "upsert":
        return
    have = {fold(column.name) for column in columns}
    missing = [key for key in target.key if columns and fold(key) not in have]
    if missing or not target.key:
        what = f"{', '.join(missing)} not among the columns" if missing else "none is given"
        raise ConfigError(
            f"an upsert into {target.table} needs key columns: {what}", hint="set load.key"
        )


def make_plan(
    target: Target,
    columns: Sequence[Column],
    files: Sequence[LoadFile],
    standing: Standing,
    dialect: Dialect,
    replace_range: Bounds | None,
    digest: str,
) -> LoadPlan:
    """Return the plan of a load; the arguments are those of ``Warehouse.plan``."""
    entries, warnings = _still_there(standing)
    _check_range(target, replace_range)
    found = classify(target, files, entries)
    return LoadPlan(
        target=target,
        columns=tuple(columns),
        new=found.new,
        done=(*found.done, *found.ignored),
        changed=found.changed,
        ddl=plan_ddl(standing.table, columns, dialect) if columns else (),
        replaces=_replaces(target, found, entries, replace_range),
        warnings=(*warnings, *_warnings(found, standing.digest, digest)),
        required=_required(standing.table, columns),
    )


def _required(table: TableState, columns: Sequence[Column]) -> tuple[str, ...]:
    """Return the names, as the data has them, of the columns in which the table takes no null."""
    required = {fold(name) for name in table.required}
    return tuple(column.name for column in columns if fold(column.name) in required)


def _check_range(target: Target, bounds: Bounds | None) -> None:
    if bounds is not None and target.mode != "replace":
        raise ConfigError(f"a range to replace was given, but the mode is {target.mode}")


def _still_there(standing: Standing) -> tuple[tuple[LedgerEntry, ...], tuple[str, ...]]:
    state, entries = standing.table, standing.entries
    lost = [entry for entry in entries if entry.file.rows_loaded]
    if state.exists or not lost:
        return entries, ()
    text = f"the table {state.name} is gone: {len(lost)} loaded file(s) are taken as new"
    return tuple(entry for entry in entries if not entry.file.rows_loaded), (text,)


def _replaces(
    target: Target,
    found: Classified,
    standing: Sequence[LedgerEntry],
    bounds: Bounds | None,
) -> tuple[str, ...]:
    if target.mode != "replace":
        return tuple(file.uri for file in found.changed if target.on_change == "reprocess")
    own = {file.uri for file in found.new}
    gone = {e.file.uri for e in standing if within(e.file.date, bounds) or e.file.uri in own}
    return tuple(sorted(gone))


def _warnings(found: Classified, last: str, digest: str) -> tuple[str, ...]:
    warnings = []
    if found.ignored:
        warnings.append(
            f"{len(found.ignored)} file(s) changed since they were loaded and are left as they "
            f"are: {names(found.ignored)}"
        )
    if digest and last and digest != last:
        warnings.append(
            f"the plan changed since the last load (from {last} to {digest}): rows loaded before "
            "were made by the earlier one"
        )
    return tuple(warnings)
