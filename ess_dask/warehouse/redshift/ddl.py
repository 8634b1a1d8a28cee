"""The tables that Redshift makes for our columns: types, distribution and sort keys.

DDL is written by sqlalchemy-redshift; every name is quoted. Redshift changes a column in place only
where a text or binary gets longer, and not inside a transaction (Developer Guide, "ALTER TABLE").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError
from ess_dask.records.spec import Column, DataType
from ess_dask.warehouse.model import TableLayout
from ess_dask.warehouse.quote import RESERVED, TableName, fold
from ess_dask.warehouse.redshift.names import quoted
from ess_dask.warehouse.redshift.types import sql_type, stored
from ess_dask.warehouse.schema import FILE_COLUMN, LOAD_COLUMN

if TYPE_CHECKING:
    import sqlalchemy as sa

LOAD_WIDTH, FILE_WIDTH = 256, 4096
"""Lengths of our own columns, in bytes: a load's id, a file's uri."""
MAX_NAME = 127
"""Greatest length of a name, in bytes."""
CREATE = "CREATE TABLE"
"""Beginning of the statement that makes a table."""
IN_PLACE = "ALTER COLUMN"
"""Part of the statements that cannot run inside a transaction."""


@dataclass(frozen=True, slots=True)
class RedshiftDialect:
    """``schema.Dialect`` of Redshift, with the keys that new tables are to have."""

    layout: TableLayout = field(default_factory=TableLayout)

    def sql_type(self, type_: DataType) -> str:
        """See ``types.sql_type``."""
        return sql_type(type_)

    def quote(self, name: str) -> str:
        """See ``names.quoted``; raise ``ConfigError`` for a name that cannot be."""
        _check_name(name)
        return quoted(name)

    def stored(self, type_: DataType) -> DataType:
        """See ``types.stored``."""
        return stored(type_)

    def create(self, name: TableName, columns: Sequence[Column]) -> str:
        """Return the statement that makes the table; our own columns hold a value in every row.

        Raises ``ConfigError`` for a name that cannot be and a key that is no column.
        """
        import sqlalchemy as sa
        from sqlalchemy.schema import CreateTable
        from sqlalchemy_redshift.dialect import RedshiftDialect_redshift_connector

        for text in (name.schema, name.table, *(column.name for column in columns)):
            _check_name(text)
        table = sa.Table(
            _quoted(name.table),
            sa.MetaData(),
            *(_column(column) for column in columns),
            schema=_quoted(name.schema),
            **_keys(self.layout, columns),
        )
        # With the usual style of parameters a % in a name would be doubled.
        dialect = RedshiftDialect_redshift_connector(paramstyle="qmark")
        text = str(CreateTable(table).compile(dialect=dialect))
        return " ".join(line.strip() for line in text.strip().split("\n"))

    def alters(self, narrow: DataType, wide: DataType) -> bool:
        """Whether a column can be changed: texts get longer, nothing else."""
        return narrow.name == wide.name == "string"


def _quoted(name: str) -> Any:
    import sqlalchemy as sa

    return sa.sql.quoted_name(fold(name), quote=True)


def _check_name(name: str) -> None:
    # The catalogue and the ledger hold names as texts: ``names.same_text``.
    if len(name.encode()) > MAX_NAME or "\n" in name or name.endswith(" "):
        raise ConfigError(
            f"Redshift cannot have the name {name!r}",
            hint=f"a name has at most {MAX_NAME} bytes, no line end and no blank at its end",
        )


def _column(column: Column) -> sa.Column[Any]:
    import sqlalchemy as sa

    own = fold(column.name).startswith(RESERVED)
    return sa.Column(_quoted(column.name), _type(column), nullable=not own)


def _type(column: Column) -> Any:
    """Return the SQL type as SQLAlchemy has it."""
    import sqlalchemy as sa
    from sqlalchemy_redshift.dialect import TIMESTAMPTZ

    kept = stored(column.type)
    widths = {LOAD_COLUMN: LOAD_WIDTH, FILE_COLUMN: FILE_WIDTH}
    if column.name in widths:
        return sa.VARCHAR(widths[column.name])
    if kept.name == "decimal":
        return sa.DECIMAL(kept.precision, kept.scale)
    if kept.name == "timestamp" and kept.zone:
        return TIMESTAMPTZ()
    plain = {
        "int16": sa.SMALLINT,
        "int32": sa.INTEGER,
        "int64": sa.BIGINT,
        "float32": sa.REAL,
        "float64": sa.DOUBLE_PRECISION,
        "boolean": sa.BOOLEAN,
        "date": sa.DATE,
        "timestamp": sa.TIMESTAMP,
    }
    return plain[kept.name]() if kept.name in plain else _named_type(sql_type(kept))


def _named_type(text: str) -> Any:
    """Return a type that SQLAlchemy has no class for, or that is written with its length."""
    from sqlalchemy.types import UserDefinedType

    class Named(UserDefinedType[Any]):
        def get_col_spec(self, **_: Any) -> str:
            return text

    return Named()


def _keys(layout: TableLayout, columns: Sequence[Column]) -> dict[str, Any]:
    """Return the options of the table; raise ``ConfigError`` for a key that is no column."""
    names = {fold(column.name): column.name for column in columns}
    for key in (*filter(None, (layout.dist_key,)), *layout.sort_key):
        if fold(key) not in names:
            raise ConfigError(
                f"the key column {key!r} is not among the columns",
                hint=f"they are {', '.join(column.name for column in columns)}",
            )
    found: dict[str, Any] = {}
    if layout.dist_key:
        found |= {"redshift_diststyle": "KEY"}
        found |= {"redshift_distkey": _quoted(names[fold(layout.dist_key)])}
    elif layout.dist_style:
        found |= {"redshift_diststyle": layout.dist_style.upper()}
    if layout.sort_key:
        sort_key = [_quoted(names[fold(key)]) for key in layout.sort_key]
        found |= {"redshift_sortkey": sort_key}
    return found
