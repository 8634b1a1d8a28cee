"""What a Redshift database has under a name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ess_dask.errors import AccessError
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

    The catalogue is read as it is now, whatever the transaction has seen. Of two names that differ
    in their case only, the one that is written in lower case counts. Raises ``AccessError`` for a
    table whose columns are hidden from this user: it must not be taken for one that is gone.
    """
    schema = _found([row[0] for row in session.rows(_SCHEMAS)], wanted.schema)
    if schema is None:
        return TableState(wanted, schema_exists=False)
    kinds: dict[str, str] = dict(session.rows(_TABLES, schema))
    name = _found(kinds, wanted.table)
    if name is None:
        return TableState(TableName(schema, wanted.table), schema_exists=True)
    rows = session.rows(_COLUMNS, schema, name)
    if not rows:
        raise AccessError(
            f"{schema}.{name} is there, and its columns are hidden from this user",
            hint=f"let its owner grant it: GRANT SELECT, INSERT, DELETE ON {schema}.{name} TO ...",
        )
    return TableState(
        TableName(schema, name),
        schema_exists=True,
        columns=tuple(
            Column(row[0], parse(row[1], row[2] or 0, row[3] or 0, row[4] or 0)) for row in rows
        ),
        is_view=kinds[name] == "v",
        required=frozenset(row[0] for row in rows if row[5] == "NO"),
    )


def _found(names: Iterable[str], wanted: str) -> str | None:
    """Return the name that is meant: several differ in their case only where a session asks for it
    (``enable_case_sensitive_identifier``), and ours are folded."""
    same = [name for name in names if fold(name) == fold(wanted)]
    return min(same, key=lambda name: name != fold(wanted), default=None)
