"""What a DuckDB file has under a name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ess_dask.records.spec import Column
from ess_dask.warehouse.duckdb.types import parse_sql_type
from ess_dask.warehouse.quote import TableName, fold
from ess_dask.warehouse.schema import TableState

if TYPE_CHECKING:
    import duckdb

_SCHEMAS = (
    "SELECT schema_name, database_name FROM duckdb_schemas() "
    "WHERE database_name = current_database()"
)
_COLUMNS = (
    "SELECT table_name, column_name, data_type FROM duckdb_columns() "
    "WHERE database_name = current_database() AND schema_name = ? "
    "AND lower(table_name) = lower(?) ORDER BY column_index"
)
_VIEWS = (
    "SELECT view_name FROM duckdb_views() "
    "WHERE database_name = current_database() AND schema_name = ?"
)


def table_state(connection: duckdb.DuckDBPyConnection, wanted: TableName) -> TableState:
    """Return what the warehouse has under this name, spelled as it is there."""
    schemas = connection.execute(_SCHEMAS).fetchall()
    catalog = schemas[0][1]
    schema = next((name for name, _ in schemas if fold(name) == fold(wanted.schema)), None)
    if schema is None:
        return TableState(replace(wanted, catalog=catalog), schema_exists=False)
    found = connection.execute(_COLUMNS, [schema, wanted.table]).fetchall()
    # SQL's lower() folds more than identifiers do.
    rows = [row for row in found if fold(row[0]) == fold(wanted.table)]
    name = TableName(schema, rows[0][0] if rows else wanted.table, catalog)
    columns = tuple(Column(row[1], parse_sql_type(row[2])) for row in rows)
    views = {row[0] for row in connection.execute(_VIEWS, [schema]).fetchall()}
    return TableState(name, schema_exists=True, columns=columns, is_view=name.table in views)
