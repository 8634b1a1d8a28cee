"""A request from the command to the cluster and back: opened, spread, gathered, written."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from ess_dask.aq.kinds import Kind, Value
from ess_dask.aq.tables import table_to_rows
from ess_dask.tables.layout import DEFAULT_PARTITIONS, ORDER
from ess_dask.udb.effects import changed_objects, needs_one_place, sets_variables
from ess_dask.udb.memory import Memory, store_errors, take_beside
from ess_dask.udb.model import Request
from ess_dask.udb.outcome import Outcome, Report, result_column
from ess_dask.udb.results import arranged, part_of
from ess_dask.udb.specs import Database, stored_type
from ess_dask.udb.texts import bytes_column, to_stored
from ess_dask.udb.work import Job, run_job, run_request

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from distributed import Future

    from ess_dask.tables.table import MemoryTable

SMALL_ROWS = 20_000
"""Up to so many rows one task is quicker than one for each partition; the result is the same."""


def execute(memory: Memory, request: Request) -> tuple[pl.DataFrame, Report]:
    """Run a request; return the rows of its result in their order, and what it counted.

    What it changes is visible when this returns. The result holds the columns
    ``request.results`` as ``r0``, ``r1`` ..
    """
    changes = changed_objects(request)
    writes = bool(changes) or sets_variables(request)
    with memory.changing() if writes else nullcontext(), store_errors():
        values = _settled(request, read_variables(memory))
        tables = {} if request.main.entity.role == "variables" else memory.keyed()
        try:
            frame, report, outcomes = _run(memory, request, values, tables)
            for name in changes:
                _write(memory, name, outcomes)
        finally:
            for table in tables.values():
                table.close()
        if sets_variables(request):
            write_variables(memory, report.variables)
    return frame, report


def _settled(request: Request, values: list[Value]) -> tuple[Value, ...]:
    for reference, value in request.settings:
        values[reference.slot] = value
    return tuple(values)


Spread = tuple["pl.DataFrame", Report, "list[Future[Outcome]]"]


def _run(
    memory: Memory, request: Request, values: tuple[Value, ...], tables: dict[str, MemoryTable]
) -> Spread:
    import polars as pl
    import pyarrow as pa

    if not tables:
        report, result, _ = run_request(Job(request, values, 1), {})
        return _final(request, pl.DataFrame(pl.from_arrow(result)), report), report, []
    client, names = memory.client, tuple(tables)
    rows = sum(sum(s.rows) for table in tables.values() for _, s in table.version.segments)
    if rows <= SMALL_ROWS or needs_one_place(request):
        job = Job(request, values, DEFAULT_PARTITIONS)
        everything = [list(table.futures) for table in tables.values()]
        outcomes = [client.submit(run_job, job, names, everything, pure=False)]
    else:
        job = Job(request, values, 1)
        outcomes = [
            client.submit(run_job, job, names, [[future] for future in parts], pure=False)
            for parts in zip(*(table.futures for table in tables.values()), strict=True)
        ]
    reports = client.gather([client.submit(_report_of, o, pure=False) for o in outcomes])
    found = client.gather([client.submit(part_of, o, request, pure=False) for o in outcomes])
    report = _together(reports)
    whole = pl.DataFrame(pl.from_arrow(pa.concat_tables(found)))
    return _final(request, whole, report), report, outcomes


def _report_of(outcome: Outcome) -> Report:
    return outcome[0]


def _together(reports: list[Report]) -> Report:
    return Report(
        sum(report.keys for report in reports),
        sum(report.rows for report in reports),
        sum(report.failed for report in reports),
        next((report.reason for report in reports if report.reason), ""),
        reports[0].variables,
    )


def _final(request: Request, frame: pl.DataFrame, report: Report) -> pl.DataFrame:
    import polars as pl

    if request.action != "cnt":
        return arranged(frame, request)
    counts = {"pkey": report.keys} | ({"row": report.rows} if request.counts_rows else {})
    return pl.DataFrame(
        {
            result_column(0): pl.Series(list(counts), dtype=pl.String),
            result_column(1): pl.Series(list(counts.values()), dtype=pl.UInt64),
        }
    )


def _write(memory: Memory, name: str, outcomes: list[Future[Outcome]]) -> None:
    """Publish the changed rows of an object."""
    entity = memory.database.find(name)
    assert entity is not None
    if not outcomes:
        return
    numbers: list[Any] = list(range(DEFAULT_PARTITIONS))
    parts = outcomes if len(outcomes) > 1 else outcomes * DEFAULT_PARTITIONS
    places = [0] * DEFAULT_PARTITIONS if len(outcomes) > 1 else numbers
    memory.rewrite(entity, _changed_part, [parts, places, [name] * DEFAULT_PARTITIONS])


def _changed_part(_: pa.Table, outcome: Outcome, place: int, name: str) -> pa.Table:
    return outcome[2][name][place]


def read_variables(memory: Memory) -> list[Value]:
    """Return the values of a database's variables, blank where none was set."""
    fields = memory.database.variables.fields
    blank = [field.kind.blank for field in fields]
    table = memory.open(memory.database.variables) if fields else None
    if table is None:
        return blank
    with table:
        rows = table.to_arrow()
    for at, field in enumerate(fields):
        if field.kind is Kind.S:
            rows = rows.set_column(at, field.name, bytes_column(rows[field.name]))
    return next(table_to_rows(rows), blank)


def write_variables(memory: Memory, values: tuple[Value, ...]) -> None:
    """Publish the values of a database's variables."""
    if values:
        row = variables_row(memory.database, values)
        memory.rewrite(memory.database.variables, take_beside, [[row]])


def variables_row(database: Database, values: tuple[Value, ...]) -> pa.Table:
    """Return the variables as the row that memory holds."""
    import pyarrow as pa

    columns = {}
    for field, value in zip(database.variables.fields, values, strict=True):
        stored = to_stored(str(value).encode("latin-1")) if field.kind is Kind.S else value
        columns[field.name] = pa.array([stored], stored_type(field.kind))
    return pa.table({**columns, ORDER: pa.array([0], pa.int64())})
