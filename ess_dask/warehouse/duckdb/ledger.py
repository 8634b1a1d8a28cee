"""The ledger in DuckDB: which files stand in which table, the loads, and the rejected rows.

Tables (schema ``main``): ``_ess_meta`` one row, the ledger's version and the row every load writes
first, so that two loads of one process cannot pass each other; ``_ess_loads`` one row per load;
``_ess_ledger`` one per file version; ``_ess_rejects`` one per rejected row. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ess_dask.warehouse.protocol import LedgerEntry, LoadEntry
from ess_dask.warehouse.recorded import (
    ENTRY_COLUMNS,
    LOAD_COLUMNS,
    VERSION,
    check_version,
    entry_of,
    entry_row,
    load_of,
    load_row,
    where,
)

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

LEDGER = 'main."_ess_ledger"'
LOADS = 'main."_ess_loads"'
REJECTS = 'main."_ess_rejects"'
META = 'main."_ess_meta"'

_ADDED = ("member", "title", "replayed_by")
"""Columns that a ledger of an earlier release may lack in its rejects."""

_CREATE = (
    f"CREATE TABLE IF NOT EXISTS {META} (version INTEGER NOT NULL, loads BIGINT NOT NULL)",
    f"CREATE TABLE IF NOT EXISTS {LOADS} (load_id VARCHAR NOT NULL, table_name VARCHAR NOT NULL, "
    "pipeline VARCHAR NOT NULL, mode VARCHAR NOT NULL, digest VARCHAR NOT NULL, "
    "committed_at TIMESTAMP NOT NULL, files BIGINT NOT NULL, rows_loaded BIGINT NOT NULL, "
    "rows_rejected BIGINT NOT NULL, rows_deleted BIGINT NOT NULL, already_done BIGINT NOT NULL)",
    f"CREATE TABLE IF NOT EXISTS {LEDGER} (table_name VARCHAR NOT NULL, pipeline VARCHAR NOT NULL, "
    "uri VARCHAR NOT NULL, etag VARCHAR NOT NULL, date VARCHAR NOT NULL, part VARCHAR NOT NULL, "
    "rows_read BIGINT NOT NULL, rows_loaded BIGINT NOT NULL, rows_rejected BIGINT NOT NULL, "
    "rows_dropped BIGINT NOT NULL, load_id VARCHAR NOT NULL, digest VARCHAR NOT NULL, "
    "loaded_at TIMESTAMP NOT NULL, replaced_by VARCHAR NOT NULL)",
    f"CREATE TABLE IF NOT EXISTS {REJECTS} (load_id VARCHAR NOT NULL, table_name VARCHAR NOT NULL, "
    "pipeline VARCHAR NOT NULL, uri VARCHAR NOT NULL, etag VARCHAR NOT NULL, line BIGINT, "
    "column_name VARCHAR, reason VARCHAR, raw BLOB)",
    *(
        f"ALTER TABLE {REJECTS} ADD COLUMN IF NOT EXISTS {name} VARCHAR DEFAULT ''"
        for name in _ADDED
    ),
)

STANDING = (
    f"SELECT uri, load_id FROM {LEDGER} "  # noqa: S608 - constants of this module
    "WHERE table_name = ? AND pipeline = ? AND replaced_by = '' AND uri IN (SELECT unnest(?))"
)
"""Uris and loads of the files whose rows stand; parameters: table, pipeline, list of uris."""


def exists(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the warehouse has a ledger; raises ``ConfigError`` when it is of a later release.

    Not for use inside a transaction: a missing table would end it.
    """
    import duckdb

    try:
        _check_version(connection)
    except duckdb.CatalogException:
        return False
    return True


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the ledger's tables where they are missing and take the ledger for this transaction."""
    for statement in _CREATE:
        connection.execute(statement)
    _check_version(connection)
    connection.execute(
        f"INSERT INTO {META} SELECT ?, 0 WHERE NOT EXISTS (FROM {META})",
        [VERSION],
    )
    # The second of two transactions that are open at once fails here, before it read the ledger.
    connection.execute(f"UPDATE {META} SET loads = loads + 1")  # noqa: S608


def _check_version(connection: duckdb.DuckDBPyConnection) -> None:
    check_version(connection.execute(f"SELECT version FROM {META}").fetchall())  # noqa: S608


def entries(
    connection: duckdb.DuckDBPyConnection, table: str, pipeline: str, *, history: bool = False
) -> tuple[LedgerEntry, ...]:
    """Return ledger entries in order of loading; '' is any table or pipeline."""
    asked, parameters = where(table, pipeline)
    standing = "" if history else " AND replaced_by = ''"
    rows = connection.execute(
        f"SELECT {', '.join(ENTRY_COLUMNS)} FROM {LEDGER} "  # noqa: S608
        f"WHERE {asked}{standing} ORDER BY loaded_at, rowid",
        parameters,
    ).fetchall()
    return tuple(map(entry_of, rows))


def loads(
    connection: duckdb.DuckDBPyConnection, table: str = "", pipeline: str = "", load_id: str = ""
) -> tuple[LoadEntry, ...]:
    """Return committed loads, oldest first; '' is any."""
    asked, parameters = where(table, pipeline, load_id)
    rows = connection.execute(
        f"SELECT {', '.join(LOAD_COLUMNS)} FROM {LOADS} "  # noqa: S608
        f"WHERE {asked} ORDER BY committed_at, rowid",
        parameters,
    ).fetchall()
    return tuple(map(load_of, rows))


def rejects(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    pipeline: str,
    load_id: str,
    limit: int | None,
) -> pa.Table:
    """Return the rejected rows of files that stand; '' is any."""
    asked, parameters = where(table, pipeline, load_id, prefix="r.")
    have = {row[0] for row in connection.execute(f"DESCRIBE {REJECTS}").fetchall()}
    added = {name: f"r.{name}" if name in have else "''" for name in _ADDED}
    query = (
        "SELECT r.load_id, r.table_name, r.pipeline, r.uri, r.etag, "  # noqa: S608 - constants
        f"{added['member']} AS member, r.line, r.column_name, r.reason, r.raw, "
        f"{added['title']} AS title FROM {REJECTS} r JOIN {LEDGER} l "
        "USING (load_id, table_name, pipeline, uri) WHERE l.replaced_by = '' AND "
        f"{asked} AND NOT {_stands(added['replayed_by'])} "
        "ORDER BY l.loaded_at, l.rowid, member, r.line, r.rowid"
    )
    limited = f"{query} LIMIT {int(limit)}" if limit is not None else query
    # A relation gives Arrow without a second copy; a result does not.
    return connection.sql(limited, params=parameters).to_arrow_table()


def mark_replayed(
    connection: duckdb.DuckDBPyConnection, source: str, parameters: Sequence[Any], by: str
) -> int:
    """Mark standing rejected rows as read again by a load; return how many were.

    ``source`` is the SQL of a relation with the columns of ``REPLAYED_FIELDS``, ``table_name`` and
    ``pipeline``.
    """
    found = connection.execute(
        f"UPDATE {REJECTS} AS r SET replayed_by = ? FROM ({source}) AS p "  # noqa: S608
        "WHERE r.load_id = p.load_id AND r.table_name = p.table_name AND r.pipeline = p.pipeline "
        "AND r.uri = p.uri AND r.member = p.member AND r.line = p.line "
        f"AND {_stands('r.load_id')} AND NOT {_stands('r.replayed_by')}",
        [by, *parameters],
    )
    return int(found.fetchall()[0][0])


def _stands(load_id: str) -> str:
    """Return the SQL that says whether what a load put in of a rejected row's file stands."""
    return (
        f"EXISTS (SELECT 1 FROM {LEDGER} s WHERE s.load_id = {load_id} AND s.uri = r.uri "  # noqa: S608
        "AND s.table_name = r.table_name AND s.pipeline = r.pipeline AND s.replaced_by = '')"
    )


def record_files(connection: duckdb.DuckDBPyConnection, entries_: Sequence[LedgerEntry]) -> None:
    """Write the entries of one load."""
    _insert(connection, LEDGER, [entry_row(entry) for entry in entries_])


def record_load(connection: duckdb.DuckDBPyConnection, load: LoadEntry) -> None:
    """Write one load."""
    _insert(connection, LOADS, [load_row(load)])


def retire(
    connection: duckdb.DuckDBPyConnection, table: str, pipeline: str, uris: list[str], by: str
) -> None:
    """Mark the standing entries of these files as replaced by a load."""
    connection.execute(
        f"UPDATE {LEDGER} SET replaced_by = ? WHERE table_name = ? AND pipeline = ? "  # noqa: S608
        "AND replaced_by = '' AND uri IN (SELECT unnest(?))",
        [by, table, pipeline, uris],
    )


def retire_lost(connection: duckdb.DuckDBPyConnection, table: str, by: str) -> None:
    """Mark every entry whose rows went with a table that was dropped."""
    connection.execute(
        f"UPDATE {LEDGER} SET replaced_by = ? "  # noqa: S608
        "WHERE table_name = ? AND replaced_by = '' AND rows_loaded > 0",
        [by, table],
    )


def _insert(
    connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    if rows:
        # One list per column: thousands of files go in with one statement.
        columns = [list(values) for values in zip(*rows, strict=True)]
        unnested = ", ".join("unnest(?)" for _ in columns)
        connection.execute(f"INSERT INTO {table} SELECT {unnested}", columns)
