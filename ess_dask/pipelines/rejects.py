"""Rejected rows, listed and shown: from the runs' folders and from a warehouse.

A run keeps what it rejected in its folder, also when the limit kept it from publishing anything. A
load copies them into its warehouse, where a row stands until a replay loads it or its file is
loaded anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.warehouse.protocol import LoadEntry, Warehouse

SHOWN = ("run", "uri", "member", "line", "column", "reason", "raw")
"""Columns of rejected rows as they are shown."""

UNFINISHED = "unfinished"
"""State of a run that left rejects and no report: it still runs, failed or was killed."""

_RUN_ID_TIME = "%Y%m%dT%H%M%S"


@dataclass(frozen=True, slots=True)
class RejectGroup:
    """What one run or load rejected. ``when`` is UTC, without a zone; ``state`` the run's.

    ``standing`` counts the rows that stand in the warehouse, None when none was asked. ``reasons``
    are of all rows, or (when the run's folder is gone) of those that stand, most frequent first.
    """

    run: str
    pipeline: str
    table: str
    when: datetime | None
    state: str
    files: int
    rows: int
    standing: int | None
    reasons: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look: the runs' folder, and a warehouse ('' for none) with the pipeline's table."""

    runs: Path
    url: str = ""
    table: str = ""

    def warehouse(self) -> Warehouse | None:
        """Return the warehouse, if there is one to look into."""
        from ess_dask.warehouse.connect import open_warehouse

        return open_warehouse(self.url) if self.url else None


@dataclass(frozen=True, slots=True)
class Which:
    """Which rejected rows to show: ``reason`` a part of the reason, ``file`` a glob pattern."""

    reason: str = ""
    file: str = ""
    limit: int | None = None


def list_rejects(place: Place, pipeline: str = "", run: str = "") -> tuple[RejectGroup, ...]:
    """Return what each run and load rejected, oldest first; '' is any pipeline and run.

    Raises ``UsageError`` for a pipeline or run that nothing is known of.
    """
    _check_known(place, pipeline, run)
    groups = {group.run: group for group in _of_folders(place.runs, run)}
    warehouse = place.warehouse()
    if warehouse is not None:
        groups |= _of_loads(warehouse, groups, place.table, pipeline, run)
    wanted = (group for group in groups.values() if pipeline in ("", group.pipeline))
    return tuple(sorted(wanted, key=lambda group: group.run))


def read_rejects(place: Place, pipeline: str, run: str, which: Which) -> pa.Table:
    """Return rejected rows with the columns ``SHOWN``, in the order of loading, file and line.

    Of a ``run``: those in its folder, else those of the load of that name. Of a ``pipeline``: those
    that stand in its warehouse; when it never loaded any, those of its newest run. Raises
    ``UsageError`` for a run or pipeline that nothing is known of.
    """
    _check_known(place, pipeline, run)
    rows = _of_run(place, run) if run else _of_pipeline(place, pipeline)
    rows = rows.filter(_mask(rows, which)) if which.reason or which.file else rows
    return rows.slice(0, which.limit)


def _of_run(place: Place, run: str) -> pa.Table:
    tables = [_shown(table, run) for table in _kept(place.runs / run)]
    warehouse = place.warehouse()
    if not tables and warehouse is not None:
        tables = [_stored(warehouse.rejects(load_id=run))]
    return _joined(tables)


def _check_known(place: Place, pipeline: str, run: str) -> None:
    """Raise ``UsageError`` for a name that no run and no load of the warehouse has.

    A pipeline whose ``table`` is known was read from its file: it may have rejected nothing yet.
    """
    if run:
        known = (place.runs / run).is_dir()
    else:
        known = not pipeline or bool(place.table) or _is_recorded(place.runs, pipeline)
    warehouse = None if known else place.warehouse()
    if warehouse is not None:
        loads = warehouse.loads(pipeline=pipeline)
        known = any(run in ("", load.result.load_id) for load in loads)
    if not known:
        raise UsageError(
            f"no run or pipeline {run or pipeline!r}", hint=_like(place, run or pipeline)
        )


def _like(place: Place, name: str) -> str:
    from difflib import get_close_matches

    from ess_dask.pipelines.load import shipped_pipelines

    known = [*_recorded(place.runs), *shipped_pipelines()]
    known += [path.name for path in place.runs.glob("*")]
    if near := get_close_matches(name, known, 1):
        return f"did you mean {near[0]!r}?"
    return "ess rejects list shows the runs; --warehouse URL looks into a warehouse, too"


def _is_recorded(runs: Path, pipeline: str) -> bool:
    return pipeline in _recorded(runs)


def _recorded(runs: Path) -> Iterator[str]:
    """Yield the names that runs are recorded under; the newest are looked at first."""
    for path in sorted(runs.glob("*/report.json"), reverse=True):
        yield str(_report(path.parent).get("pipeline") or "")


def _of_pipeline(place: Place, pipeline: str) -> pa.Table:
    warehouse = place.warehouse()
    if warehouse is not None and warehouse.loads(place.table, pipeline):
        return _stored(warehouse.rejects(place.table, pipeline))
    runs = [group.run for group in _of_folders(place.runs, "") if group.pipeline == pipeline]
    return _of_run(place, max(runs)) if runs else _joined([])


def _of_folders(runs: Path, run: str) -> Iterator[RejectGroup]:
    """Yield what each run's folder holds; a folder without rejects is passed over."""
    for folder in sorted(runs.glob("*")) if not run else [runs / run]:
        tables = list(_kept(folder, ["uri", "column", "reason"]))
        if tables:
            yield _of_folder(folder, tables)


def _of_folder(folder: Path, tables: list[pa.Table]) -> RejectGroup:
    from ess_dask.engine.tally import reasons

    report = _report(folder)
    return RejectGroup(
        run=folder.name,
        pipeline=str(report.get("pipeline", "")),
        table=str(report.get("table", "")),
        when=_time_of(folder.name),
        state=str(report.get("state", UNFINISHED)),
        files=len({uri for table in tables for uri in table["uri"].unique().to_pylist()}),
        rows=sum(table.num_rows for table in tables),
        standing=None,
        reasons=reasons(tables),
    )


def _of_loads(
    warehouse: Warehouse, groups: dict[str, RejectGroup], table: str, pipeline: str, run: str
) -> dict[str, RejectGroup]:
    """Return the groups of a warehouse's loads that rejected something, with what stands."""
    import pyarrow.compute as pc

    standing = warehouse.rejects(table, pipeline, load_id=run)
    found = {}
    for load in warehouse.loads(table, pipeline):
        name = load.result.load_id
        if load.result.rows_rejected and run in ("", name):
            mine = standing.filter(pc.equal(standing["load_id"], name))
            group = groups.get(name) or _of_load(load, mine)
            found[name] = replace(group, standing=mine.num_rows)
    return found


def _of_load(load: LoadEntry, standing: pa.Table) -> RejectGroup:
    from ess_dask.engine.tally import reasons

    return RejectGroup(
        run=load.result.load_id,
        pipeline=load.pipeline,
        table=load.table,
        when=load.committed_at,
        state="loaded",
        files=len(standing["uri"].unique()),
        rows=load.result.rows_rejected,
        standing=None,
        reasons=reasons([standing.rename_columns({"column_name": "column"})]),
    )


def _kept(folder: Path, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rejected rows in a run's folder."""
    import pyarrow.parquet as pq

    for path in sorted((folder / "rejects").glob("*.parquet")):
        yield pq.read_table(path, columns=columns)


def _report(folder: Path) -> dict[str, Any]:
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return report if isinstance(report, dict) else {}


def _time_of(run: str) -> datetime | None:
    try:
        moment = datetime.strptime(run.partition("-")[0], _RUN_ID_TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment.replace(tzinfo=None)


def _stored(rejects: pa.Table) -> pa.Table:
    """Return a warehouse's rows with the columns ``SHOWN``."""
    return rejects.rename_columns({"column_name": "column", "load_id": "run"}).select(SHOWN)


def _shown(rejects: pa.Table, run: str) -> pa.Table:
    import pyarrow as pa

    return rejects.append_column("run", pa.repeat(run, rejects.num_rows)).select(SHOWN)


def _joined(tables: list[pa.Table]) -> pa.Table:
    import pyarrow as pa

    from ess_dask.records.rejects import reject_schema

    return pa.concat_tables(tables or [_shown(reject_schema().empty_table(), "")])


def _mask(rows: pa.Table, which: Which) -> pa.Array:
    import pyarrow as pa

    from ess_dask.records.rejects import reason_class

    part = which.reason.casefold()
    names = ("uri", "member", "column", "reason")
    wanted = [
        fnmatchcase(f"{uri}!{member}" if member else uri, _anywhere(which.file))
        and (part in reason.casefold() or part in reason_class(reason, column).casefold())
        for uri, member, column, reason in zip(
            *(rows[name].to_pylist() for name in names), strict=True
        )
    ]
    return pa.array(wanted, pa.bool_())


def _anywhere(pattern: str) -> str:
    """Let a pattern that names no place match at any folder."""
    if not pattern:
        return "*"
    return pattern if pattern.startswith(("/", "*", "s3://")) else f"*/{pattern}"
