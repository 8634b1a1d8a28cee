"""Column types in the warehouse: their names in DuckDB, what widens into what, the table's DDL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ess_dask.errors import ConfigError, ConflictError, DataError
from ess_dask.records.spec import Column, DataType
from ess_dask.warehouse.quote import RESERVED, TableName, fold, quote

if TYPE_CHECKING:
    import pyarrow as pa

LOAD_COLUMN = "_ess_load"
"""Column of every loaded table: the load that inserted the row."""
FILE_COLUMN = "_ess_file"
"""Column of every loaded table and staged part: uri of the file the row came from."""

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
    """Return DuckDB's name of a type. Timestamps with a zone become instants."""
    if type_.name == "decimal":
        return f"DECIMAL({type_.precision},{type_.scale})"
    if type_.name == "timestamp" and type_.zone:
        return _ZONED
    return _SQL["string" if type_.name == "ip" else type_.name]


def parse_sql_type(text: str) -> DataType:
    """Return the type that DuckDB calls ``text``; one we never make keeps DuckDB's own name."""
    if match := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", text):
        return DataType("decimal", precision=int(match[1]), scale=int(match[2]))
    if text == _ZONED:
        return DataType("timestamp", zone="UTC")
    return DataType(_NAMES.get(text, text))


def stored(type_: DataType) -> DataType:
    """Return the type as a warehouse knows it: without format, any zone as UTC, ip as text."""
    if type_.name == "ip":
        return DataType("string")
    zone = "UTC" if type_.name == "timestamp" and type_.zone else ""
    return replace(type_, format="", zone=zone)


def widens(narrow: DataType, wide: DataType) -> bool:
    """Whether every value of ``narrow`` is exactly a value of ``wide`` (same type included).

    Within integers, within floats, within decimals; nothing else widens.
    """
    narrow, wide = stored(narrow), stored(wide)
    if narrow == wide:
        return True
    if narrow.name == wide.name == "decimal":
        whole = wide.precision - wide.scale >= narrow.precision - narrow.scale
        return whole and wide.scale >= narrow.scale
    if (narrow.name, wide.name) == ("float32", "float64"):
        return True
    return _integer_widens(narrow.name, wide.name)


def _integer_widens(narrow: str, wide: str) -> bool:
    from_ = re.fullmatch(r"(u?)int(\d+)", narrow)
    to = re.fullmatch(r"(u?)int(\d+)", wide)
    if not from_ or not to or (to[1] and not from_[1]):
        return False
    bits, room = int(from_[2]), int(to[2])
    return room > bits or (room == bits and from_[1] == to[1])


def from_arrow(name: str, arrow: pa.DataType) -> DataType:
    """Return the type for an Arrow column; ``null`` becomes string.

    Raises ``DataError`` naming the column for a type that no table can hold.
    """
    import pyarrow.types as kinds

    if kinds.is_dictionary(arrow):
        return from_arrow(name, arrow.value_type)
    if kinds.is_decimal(arrow) and arrow.precision <= 38 and 0 <= arrow.scale <= arrow.precision:
        return DataType("decimal", precision=arrow.precision, scale=arrow.scale)
    if kinds.is_timestamp(arrow):
        return DataType("timestamp", zone=arrow.tz or "")
    plain = {
        "large_string": "string",
        "string_view": "string",
        "null": "string",
        "large_binary": "binary",
        "binary_view": "binary",
        "bool": "boolean",
        "date32[day]": "date",
        "date64[ms]": "date",
        "float": "float32",
        "halffloat": "float32",
        "double": "float64",
    }
    found = plain.get(str(arrow), str(arrow))
    if found not in _SQL:
        raise DataError(
            f"column {name!r} has the type {arrow}, which no table can hold",
            hint="let the last cleaning command turn it into a text or into several columns",
        )
    return DataType(found)


def check_columns(columns: Sequence[Column]) -> None:
    """Raise ``ConfigError`` for names that clash: twice the same, or kept for ourselves."""
    seen: dict[str, str] = {}
    for column in columns:
        key = fold(column.name)
        if key.startswith(RESERVED) or not key:
            raise ConfigError(
                f"a column cannot be called {column.name!r}",
                hint=f"names that start with {RESERVED} are kept for the ledger",
            )
        if key in seen:
            raise ConfigError(
                f"two columns have the same name in a warehouse: {seen[key]!r} and {column.name!r}",
                hint="rename one of them",
            )
        seen[key] = column.name


@dataclass(frozen=True, slots=True)
class TableState:
    """What the warehouse has under a name. ``columns`` is empty when there is no such table.

    ``name`` is spelled as the warehouse has it, where it has it.
    """

    name: TableName
    schema_exists: bool
    columns: tuple[Column, ...] = ()
    is_view: bool = False

    @property
    def exists(self) -> bool:
        """Whether the table is there."""
        return bool(self.columns)


def plan_ddl(state: TableState, columns: Sequence[Column]) -> tuple[str, ...]:
    """Return the statements that make the table hold these columns, in order; empty when it does.

    A missing table is created, new columns are added, numbers widened. Raises ``ConflictError``
    listing every column for which that is not enough, and for a table that is not ours.
    """
    check_columns(columns)
    if not state.exists:
        return _create(state, columns)
    _refuse_foreign(state)
    have = {fold(column.name): column for column in state.columns}
    _refuse_mismatches(state, have, columns)
    table, ddl = state.name.sql, []
    for column in columns:
        known, type_ = have.get(fold(column.name)), sql_type(column.type)
        if known is None:
            ddl.append(f"ALTER TABLE {table} ADD COLUMN {quote(column.name)} {type_}")
        elif not widens(column.type, known.type):
            ddl.append(f"ALTER TABLE {table} ALTER COLUMN {quote(known.name)} TYPE {type_}")
    return tuple(ddl)


def _create(state: TableState, columns: Sequence[Column]) -> tuple[str, ...]:
    lines = [f"{quote(column.name)} {sql_type(column.type)}" for column in columns]
    lines += [f"{quote(name)} VARCHAR NOT NULL" for name in (LOAD_COLUMN, FILE_COLUMN)]
    table = f"CREATE TABLE {state.name.sql} ({', '.join(lines)})"
    return (table,) if state.schema_exists else (f"CREATE SCHEMA {state.name.schema_sql}", table)


def _refuse_foreign(state: TableState) -> None:
    missing = {LOAD_COLUMN, FILE_COLUMN} - {column.name for column in state.columns}
    if state.is_view or missing:
        what = "is a view" if state.is_view else "was not made by a load: it has no _ess_ columns"
        raise ConflictError(
            f"{state.name} {what}", hint="load into another table name, or rename the existing one"
        )


def _refuse_mismatches(
    state: TableState, have: dict[str, Column], columns: Sequence[Column]
) -> None:
    problems = []
    for column in columns:
        known = have.get(fold(column.name))
        if known and not widens(column.type, known.type) and not widens(known.type, column.type):
            is_, wanted = _shown(known.type), _shown(column.type)
            problems.append(f"{known.name} is {is_} in the table and {wanted} in the data")
    wanted_names = {fold(column.name) for column in columns} | {LOAD_COLUMN, FILE_COLUMN}
    for key, column in have.items():
        if key not in wanted_names:
            problems.append(f"{column.name} ({_shown(column.type)}) is not in the data")
    if problems:
        raise ConflictError(
            f"the data does not fit the table {state.name}: {'; '.join(problems)}",
            hint="columns may be added and numbers widened; for anything else change the "
            "pipeline's columns, or load into a new table",
        )


def _shown(type_: DataType) -> str:
    return sql_type(type_) if type_.name in DUCKDB_TYPES else type_.name
