"""Column types as DuckDB names them, and the tables it makes of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ess_dask.records.spec import Column, DataType
from ess_dask.warehouse.quote import RESERVED, TableName, fold, quote
from ess_dask.warehouse.schema import stored

_SQL = {
    "string": "VARCHAR",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "binary": "BLOB",
}
_NAMES = {sql: name for name, sql in _SQL.items()}
_ZONED = "TIMESTAMP WITH TIME ZONE"

DUCKDB_TYPES = frozenset({*_SQL, "decimal", "ip"})
"""Names of the types a DuckDB table can hold; all but Essentia's ``skip``."""


def sql_type(type_: DataType) -> str:
    """Return DuckDB's name of a type. Timestamps with a zone become instants.

    One that ``parse_sql_type`` did not know keeps DuckDB's own name.
    """
    if type_.name == "decimal":
        return f"DECIMAL({type_.precision},{type_.scale})"
    if type_.name == "timestamp" and type_.zone:
        return _ZONED
    return _SQL.get(stored(type_).name, type_.name)


def cast_sql(column: Column) -> str:
    """Return the SQL of a staged column in its planned type."""
    return f"CAST({quote(column.name)} AS {sql_type(column.type)})"


def parse_sql_type(text: str) -> DataType:
    """Return the type that DuckDB calls ``text``; one we never make keeps DuckDB's own name."""
    if match := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", text):
        return DataType("decimal", precision=int(match[1]), scale=int(match[2]))
    if text == _ZONED:
        return DataType("timestamp", zone="UTC")
    return DataType(_NAMES.get(text, text))


class DuckDBDialect:
    """``schema.Dialect`` of DuckDB: every widening is done in place."""

    def sql_type(self, type_: DataType) -> str:
        """See ``sql_type``."""
        return sql_type(type_)

    def quote(self, name: str) -> str:
        """See ``quote.quote``."""
        return quote(name)

    def stored(self, type_: DataType) -> DataType:
        """See ``schema.stored``."""
        return stored(type_)

    def create(self, name: TableName, columns: Sequence[Column]) -> str:
        """Return the statement that makes the table; our own columns hold a value in every row."""
        lines = [f"{quote(column.name)} {_column_type(column)}" for column in columns]
        return f"CREATE TABLE {name.sql} ({', '.join(lines)})"

    def alters(self, narrow: DataType, wide: DataType) -> bool:
        """Whether a column can be changed: always."""
        return True


def _column_type(column: Column) -> str:
    own = fold(column.name).startswith(RESERVED)
    return sql_type(column.type) + (" NOT NULL" if own else "")


DIALECT = DuckDBDialect()
