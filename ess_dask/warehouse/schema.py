"""Columns in the warehouse: what widens into what, and the DDL that makes a table hold them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError, ConflictError, DataError
from ess_dask.records.spec import Column, DataType
from ess_dask.warehouse.quote import RESERVED, TableName, fold

if TYPE_CHECKING:
    import pyarrow as pa

LOAD_COLUMN = "_ess_load"
"""Column of every loaded table: the load that inserted the row."""
FILE_COLUMN = "_ess_file"
"""Column of every loaded table and staged part: uri of the file the row came from."""

_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_PLAIN = _INTEGERS | {"string", "float32", "float64", "boolean", "date", "timestamp", "binary"}


class Dialect(Protocol):
    """How a back end names types and makes tables."""

    def sql_type(self, type_: DataType) -> str:
        """Return the back end's name of a type."""

    def quote(self, name: str) -> str:
        """Return a column's name for SQL text."""

    def stored(self, type_: DataType) -> DataType:
        """Return the type that a table has for values of this one."""

    def create(self, name: TableName, columns: Sequence[Column]) -> str:
        """Return the statement that makes the table; our own columns are among ``columns``."""

    def alters(self, narrow: DataType, wide: DataType) -> bool:
        """Whether a column of a table can be changed from ``narrow`` to the wider ``wide``."""


def stored(type_: DataType) -> DataType:
    """Return the type as warehouses know it: without format, any zone as UTC, ip as text."""
    if type_.name == "ip":
        return DataType("string")
    zone = "UTC" if type_.name == "timestamp" and type_.zone else ""
    return replace(type_, format="", zone=zone)


def widens(narrow: DataType, wide: DataType) -> bool:
    """Whether every value of ``narrow`` is exactly a value of ``wide`` (same type included).

    Within integers, floats, decimals, and texts and binaries by their greatest length in bytes (0
    for none); nothing else widens.
    """
    narrow, wide = stored(narrow), stored(wide)
    if narrow == wide:
        return True
    if narrow.name == wide.name and narrow.name in {"string", "binary"}:
        return narrow.precision <= wide.precision
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


def from_arrow(name: str, arrow: pa.DataType, *, nested: bool = False) -> DataType:
    """Return the type for an Arrow column; ``null`` becomes string.

    With ``nested`` lists, structs and maps have one as well (named so).

    Raises ``DataError`` naming the column for a type that no table can hold.
    """
    import pyarrow.types as kinds

    if nested and kinds.is_nested(arrow):
        return DataType("nested")
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
    if found not in _PLAIN:
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

    ``name`` is spelled as the warehouse has it, where it has it. ``required`` are the columns that
    take no null, where the back end looks at that.
    """

    name: TableName
    schema_exists: bool
    columns: tuple[Column, ...] = ()
    is_view: bool = False
    required: frozenset[str] = frozenset()

    @property
    def exists(self) -> bool:
        """Whether the table is there."""
        return bool(self.columns)


def plan_ddl(state: TableState, columns: Sequence[Column], dialect: Dialect) -> tuple[str, ...]:
    """Return the statements that make the table hold these columns, in order; empty when it does.

    A missing table is created, new columns are added, others widened where the back end can. Raises
    ``ConflictError`` listing every column for which that is not enough, and for a table that is not
    ours.
    """
    check_columns(columns)
    if not state.exists:
        return _create(state, columns, dialect)
    _refuse_foreign(state)
    have = {fold(column.name): column for column in state.columns}
    _refuse_mismatches(state, have, columns, dialect)
    table, ddl = state.name.sql, []
    for column in columns:
        known, type_ = have.get(fold(column.name)), dialect.sql_type(column.type)
        if known is None:
            ddl.append(f"ALTER TABLE {table} ADD COLUMN {dialect.quote(column.name)} {type_}")
        elif not widens(dialect.stored(column.type), known.type):
            ddl.append(f"ALTER TABLE {table} ALTER COLUMN {dialect.quote(known.name)} TYPE {type_}")
    return tuple(ddl)


def _create(state: TableState, columns: Sequence[Column], dialect: Dialect) -> tuple[str, ...]:
    own = [Column(name, DataType("string")) for name in (LOAD_COLUMN, FILE_COLUMN)]
    table = dialect.create(state.name, [*columns, *own])
    return (table,) if state.schema_exists else (f"CREATE SCHEMA {state.name.schema_sql}", table)


def _refuse_foreign(state: TableState) -> None:
    missing = {LOAD_COLUMN, FILE_COLUMN} - {column.name for column in state.columns}
    if state.is_view or missing:
        what = "is a view" if state.is_view else "was not made by a load: it has no _ess_ columns"
        raise ConflictError(
            f"{state.name} {what}", hint="load into another table name, or rename the existing one"
        )


def _refuse_mismatches(
    state: TableState, have: dict[str, Column], columns: Sequence[Column], dialect: Dialect
) -> None:
    problems = []
    for column in columns:
        known = have.get(fold(column.name))
        if known and not _fits(known.type, dialect.stored(column.type), dialect):
            is_, wanted = dialect.sql_type(known.type), dialect.sql_type(column.type)
            problems.append(f"{known.name} is {is_} in the table and {wanted} in the data")
    wanted_names = {fold(column.name) for column in columns} | {LOAD_COLUMN, FILE_COLUMN}
    for key, column in have.items():
        if key not in wanted_names:
            problems.append(f"{column.name} ({dialect.sql_type(column.type)}) is not in the data")
    if problems:
        raise ConflictError(
            f"the data does not fit the table {state.name}: {'; '.join(problems)}",
            hint="columns may be added and some widened; for anything else change the "
            "pipeline's columns, or load into a new table",
        )


def _fits(known: DataType, wanted: DataType, dialect: Dialect) -> bool:
    return widens(wanted, known) or (widens(known, wanted) and dialect.alters(known, wanted))
