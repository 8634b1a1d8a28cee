"""What a Redshift database has under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.records.spec import Column
from ess_dask.warehouse.quote import TableName, fold
from ess_dask.warehouse.redshift.types import parse
from ess_dask.warehouse.schema import TableState

if TYPE_CHECKING:
    from ess_dask.warehouse.redshift.session import Session

_SCHEMAS = "SELECT nspname FROM pg_namespace"
_TABLES = (
    "SELECT c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = ? AND c.relkind IN ('r', 'v')"
)
_COLUMNS = (
    "SELECT column_name, data_type, character_maximum_length, numeric_precision, numeric_scale, "
    "is_nullable FROM svv_columns WHERE table_schema = ? AND table_name = ? "
    "ORDER BY ordinal_position"
)


def table_state(session: Session, wanted: TableName) -> TableState:
    """Return what the database has under this name, spelled as it is there.

    The catalogue is read as it is now, whatever the transaction has seen.
    """
    schemas = (row[0] for row in session.rows(_SCHEMAS))
    schema = next((name for name in schemas if fold(name) == fold(wanted.schema)), None)
    if schema is None:
        return TableState(wanted, schema_exists=False)
    tables = session.rows(_TABLES, schema)
    found = next((row for row in tables if fold(row[0]) == fold(wanted.table)), None)
    if found is None:
        return TableState(TableName(schema, wanted.table), schema_exists=True)
    name, kind = found
    rows = session.rows(_COLUMNS, schema, name)
    return TableState(
        TableName(schema, name),
        schema_exists=True,
        columns=tuple(
            Column(row[0], parse(row[1], row[2] or 0, row[3] or 0, row[4] or 0)) for row in rows
        ),
        is_view=kind == "v",
        required=frozenset(row[0] for row in rows if row[5] == "NO"),
    )
