"""One load inside one DuckDB transaction: everything of it stands afterwards, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from ess_dask.errors import ConflictError, DataError
from ess_dask.warehouse.changes import names
from ess_dask.warehouse.decision import Work, decide, planned_ddl, same_load
from ess_dask.warehouse.digest import compare
from ess_dask.warehouse.duckdb import ledger
from ess_dask.warehouse.duckdb.digest import take_digest
from ess_dask.warehouse.duckdb.existing import table_state
from ess_dask.warehouse.duckdb.staged import (
    Rows,
    check_parts,
    check_rejects,
    last_by_key,
    rows_of,
)
from ess_dask.warehouse.duckdb.types import DIALECT, cast_sql
from ess_dask.warehouse.hooks import run_after, run_inside
from ess_dask.warehouse.model import LoadFile, LoadRequest, LoadResult
from ess_dask.warehouse.protocol import LedgerEntry, LoadEntry, Verification
from ess_dask.warehouse.quote import TableName, escape_glob, parse_table, quote
from ess_dask.warehouse.recorded import now
from ess_dask.warehouse.schema import (
    FILE_COLUMN,
    LOAD_COLUMN,
)

if TYPE_CHECKING:
    import duckdb

Watch = Callable[[str], None]
"""Called with the name of each step of a load when it is done: ``STEPS``."""

STEPS = (
    "begin", "schema", "delete", "insert", "verify", "ledger", "rejects", "record", "hooks",
    "commit",
)  # fmt: skip
"""The steps of a load, in order; all but the last are inside the transaction."""


def run_load(
    connection: duckdb.DuckDBPyConnection, request: LoadRequest, *, text: bool, watch: Watch
) -> LoadResult:
    """Do the load and commit it, or roll back and raise; see ``Warehouse.load``."""
    import duckdb

    connection.begin()
    try:
        watch("begin")
        ledger.prepare(connection)
        if recorded := ledger.loads(connection, load_id=request.load_id):
            connection.rollback()
            return same_load(request, recorded[0], "main")
        name, result = _load(connection, request, text=text, watch=watch)
        connection.commit()
    except BaseException:
        # The connection is closed next; a failed rollback must not hide what went wrong.
        with suppress(duckdb.Error):
            connection.rollback()
        raise
    watch("commit")
    run_after(request.plan.target.hooks, name.sql, partial(_execute, connection), result)
    return result


def _execute(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Run a statement of the user's."""
    import duckdb

    try:
        connection.execute(statement)
    except duckdb.Error as error:
        raise DataError(str(error).splitlines()[0]) from error


def _execute_inside(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Run a statement of the user's; what is wrong with the file, or passes, stays DuckDB's."""
    import duckdb

    try:
        _execute(connection, statement)
    except DataError as error:
        if isinstance(
            error.__cause__,
            duckdb.TransactionException | duckdb.IOException | duckdb.OutOfMemoryException,
        ):
            raise error.__cause__ from None
        raise


def verify_load(
    connection: duckdb.DuckDBPyConnection, request: LoadRequest, *, text: bool
) -> Verification:
    """Compare staged rows with those of the load in the table, as it is now."""
    name = parse_table(request.plan.target.table)
    state = table_state(connection, name)
    loaded = {
        entry.file.uri
        for entry in ledger.entries(connection, str(name), "", history=True)
        if entry.load_id == request.load_id
    }
    taken = tuple(file for file in request.files if file.uri in loaded)
    staged_rows = sum(file.rows_loaded for file in taken)
    if not state.exists or not loaded:
        lost = staged_rows or not loaded
        return Verification(staged_rows, 0, ("the load is not in the table",) if lost else ())
    check_parts(connection, request)
    source = _source(connection, request, taken)
    return _compare(connection, request, state.name, source, text=text)


def _load(
    connection: duckdb.DuckDBPyConnection, request: LoadRequest, *, text: bool, watch: Watch
) -> tuple[TableName, LoadResult]:
    check_parts(connection, request)
    work = _decide(connection, request)
    watch("schema")
    deleted = _delete_earlier(connection, request, work)
    watch("delete")
    inserted = 0
    if request.parts and any(file.rows_loaded for file in work.taken):
        source = _source(connection, request, work.taken)
        deleted += _delete_keys(connection, request, work, source)
        inserted = _insert(connection, request, work.name, source)
        watch("insert")
        _verify(connection, request, work.name, source, text=text)
    watch("verify")
    _write_ledger(connection, request, work)
    watch("ledger")
    _mark_replayed(connection, request, work)
    rejected = _write_rejects(connection, request, work)
    watch("rejects")
    result = LoadResult(
        request.load_id, len(work.taken), inserted, rejected, deleted, work.already_done
    )
    target = request.plan.target
    ledger.record_load(
        connection,
        LoadEntry(str(work.name), target.pipeline, target.mode, request.plan_digest, now(), result),
    )
    watch("record")
    run_inside(target.hooks, work.name.sql, partial(_execute_inside, connection))
    watch("hooks")
    return work.name, result


def _decide(connection: duckdb.DuckDBPyConnection, request: LoadRequest) -> Work:
    """Settle the table's columns and the files to load, by the ledger as it is now."""
    state = table_state(connection, parse_table(request.plan.target.table))
    if not state.exists:
        ledger.retire_lost(connection, str(state.name), request.load_id)
    for statement in planned_ddl(request, state, DIALECT):
        connection.execute(statement)
    return decide(request, state.name, ledger.entries(connection, str(state.name), ""))


def _source(
    connection: duckdb.DuckDBPyConnection, request: LoadRequest, taken: tuple[LoadFile, ...]
) -> Rows:
    if request.plan.target.mode == "upsert":
        return last_by_key(connection, request, taken)
    return rows_of(request, taken)


def _delete_earlier(connection: duckdb.DuckDBPyConnection, request: LoadRequest, work: Work) -> int:
    if not work.removed:
        return 0
    target, uris, table = request.plan.target, list(work.removed), str(work.name)
    deleted = 0
    if table_state(connection, work.name).exists:
        # By load as well: another pipeline may have loaded the same file into this table.
        deleted = _changed_rows(
            connection.execute(
                f"DELETE FROM {work.name.sql} AS t USING ({ledger.STANDING}) AS l "  # noqa: S608
                f"WHERE t.{FILE_COLUMN} = l.uri AND t.{LOAD_COLUMN} = l.load_id",
                [table, target.pipeline, uris],
            )
        )
    ledger.retire(connection, table, target.pipeline, uris, request.load_id)
    return deleted


def _delete_keys(
    connection: duckdb.DuckDBPyConnection, request: LoadRequest, work: Work, source: Rows
) -> int:
    if request.plan.target.mode != "upsert":
        return 0
    same = " AND ".join(
        f"t.{quote(key)} IS NOT DISTINCT FROM s.{quote(key)}" for key in request.plan.target.key
    )
    return _changed_rows(
        connection.execute(
            f"DELETE FROM {work.name.sql} AS t USING {source.relation} AS s WHERE {same}"  # noqa: S608
        )
    )


def _insert(
    connection: duckdb.DuckDBPyConnection, request: LoadRequest, name: TableName, source: Rows
) -> int:
    columns = request.plan.columns
    into = ", ".join([*(quote(column.name) for column in columns), LOAD_COLUMN, FILE_COLUMN])
    values = ", ".join([*(cast_sql(column) for column in columns), "?", FILE_COLUMN])
    return _changed_rows(
        connection.execute(
            f"INSERT INTO {name.sql} ({into}) SELECT {values} FROM {source.relation}{source.order}",  # noqa: S608
            [request.load_id, *source.parameters],
        )
    )


def _verify(
    connection: duckdb.DuckDBPyConnection,
    request: LoadRequest,
    name: TableName,
    source: Rows,
    *,
    text: bool,
) -> None:
    found = _compare(connection, request, name, source, text=text)
    if not found.ok:
        raise DataError(
            f"the rows in {name} are not those that were staged: {'; '.join(found.mismatches)}",
            hint="nothing was loaded and the staged files are kept; run again",
        )


def _compare(
    connection: duckdb.DuckDBPyConnection,
    request: LoadRequest,
    name: TableName,
    source: Rows,
    *,
    text: bool,
) -> Verification:
    columns = request.plan.columns
    staged = take_digest(connection, source.relation, source.parameters, columns, text=text)
    mine = f"{name.sql} WHERE {LOAD_COLUMN} = ?"
    loaded = take_digest(connection, mine, [request.load_id], columns, text=text)
    return Verification(staged.rows, loaded.rows, compare(staged, loaded))


def _write_ledger(connection: duckdb.DuckDBPyConnection, request: LoadRequest, work: Work) -> None:
    pipeline, at = request.plan.target.pipeline, now()
    ledger.record_files(
        connection,
        [
            LedgerEntry(str(work.name), pipeline, file, request.load_id, request.plan_digest, at)
            for file in work.taken
        ],
    )


def _mark_replayed(connection: duckdb.DuckDBPyConnection, request: LoadRequest, work: Work) -> None:
    """Take the rows that a replay read again out of those that stand, each exactly once."""
    if not request.replayed or not work.taken:
        return
    source = (
        "SELECT *, ? AS table_name, ? AS pipeline FROM read_parquet(?) "
        "WHERE uri IN (SELECT unnest(?))"
    )
    uris = [file.uri for file in work.taken]
    who = (str(work.name), request.plan.target.pipeline)
    parameters = (*who, escape_glob(request.replayed), uris)
    marked = ledger.mark_replayed(connection, source, parameters, request.load_id)
    told = sum(file.rows_read for file in work.taken)
    if marked != told:
        raise ConflictError(
            f"{told} rejected rows of {names(work.taken)} were read again, but {marked} of them "
            "stand: another replay or load was there first",
            hint="nothing was loaded; run the pipeline, then replay what is still rejected",
        )


def _write_rejects(connection: duckdb.DuckDBPyConnection, request: LoadRequest, work: Work) -> int:
    if not request.rejects or not work.taken:
        return sum(file.rows_rejected for file in work.taken)
    rows = _changed_rows(
        connection.execute(
            f"INSERT INTO {ledger.REJECTS} (load_id, table_name, pipeline, uri, etag, member, "  # noqa: S608
            "line, column_name, reason, raw, title) "
            'SELECT ?, ?, ?, r.uri, f.etag, r.member, r.line, r."column", r.reason, r.raw, r.title '
            "FROM read_parquet(?, union_by_name = true) AS r "
            "JOIN (SELECT unnest(?) AS uri, unnest(?) AS etag) AS f ON r.uri = f.uri",
            [
                request.load_id,
                str(work.name),
                request.plan.target.pipeline,
                [escape_glob(path) for path in request.rejects],
                [file.uri for file in work.taken],
                [file.etag for file in work.taken],
            ],
        )
    )
    check_rejects(request, work.taken, rows)
    return rows


def _changed_rows(cursor: duckdb.DuckDBPyConnection) -> int:
    return int(cursor.fetchall()[0][0])
