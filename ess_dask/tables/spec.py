"""What a database is made of: columns with attributes, tables, vectors, variables. Plain values.

A column is written ``TYPE[,attr..]:name`` (``i,+add:total``). A database has one primary key;
every table and vector starts with its columns. Names are compared without case, as Essentia does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError

TYPES = {"s": "S", "f": "F", "l": "L", "ls": "LS", "i": "I", "is": "IS", "ip": "IP"}
"""Accepted type letters (any case) and their usual spelling."""

KEY_SPELLINGS = frozenset({"pkey", "key", "hash"})
MERGES = frozenset({"+first", "+last", "+add", "+bor", "+min", "+max"})
INTEGERS = frozenset({"L", "LS", "I", "IS"})
MAX_COLUMNS = 2048
VARIABLES = "var"
"""The name by which aq_udb addresses a database's variables, and under which memory holds them."""
KEYS = "."
"""The same for its primary keys: memory holds those that have no rows."""

_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,30}")
_OBJECT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")

Kind = Literal["table", "vector"]


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column. ``type`` is S, F, L, LS, I, IS or IP; ``attrs`` in the order they were written.

    The old spellings ``key`` and ``hash`` are held as ``pkey``.
    """

    name: str
    type: str
    attrs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{','.join((self.type, *self.attrs))}:{self.name}"

    @property
    def is_key(self) -> bool:
        """Whether it belongs to the primary key."""
        return "pkey" in self.attrs

    @property
    def merge(self) -> str:
        """How values merge: first, last (the default), add, bor, min or max."""
        return next((attr[1:] for attr in self.attrs if attr in MERGES), "last")


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table (many rows per key) or a vector (one); ``columns`` without the primary key's."""

    name: str
    kind: Kind
    columns: tuple[ColumnSpec, ...]

    @property
    def merge_key(self) -> tuple[str, ...]:
        """Names of the +key columns: rows that agree in them and in the primary key become one."""
        return tuple(column.name for column in self.columns if "+key" in column.attrs)

    @property
    def time_key(self) -> str:
        """Name of the tkey column, or ''."""
        return next((column.name for column in self.columns if "tkey" in column.attrs), "")


@dataclass(frozen=True, slots=True)
class DatabaseSpec:
    """One database: its servers (``host:port``), primary key, tables, vectors and variables."""

    name: str
    servers: tuple[str, ...] = ()
    port: int = 0
    key: tuple[ColumnSpec, ...] = ()
    tables: tuple[TableSpec, ...] = ()
    variables: tuple[ColumnSpec, ...] = ()

    def find(self, name: str) -> TableSpec | None:
        """Return the table or vector of that name (any case), or None."""
        return next((table for table in self.tables if same(table.name, name)), None)


def same(one: str, other: str) -> bool:
    """Whether two names mean the same thing."""
    return one.lower() == other.lower()


def check_name(name: str, what: str) -> str:
    """Return ``name`` when it may name a database, table or vector; ``UsageError`` otherwise."""
    if not _OBJECT_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a {what}",
            hint="use up to 64 letters, digits, _ and -, not starting with -",
        )
    return name


def parse_column(text: str) -> ColumnSpec:
    """Read one ``TYPE[,attr..]:name``; ``UsageError`` says what is wrong with it."""
    head, colon, name = text.partition(":")
    letter, *attrs = (part.strip().lower() for part in head.split(","))
    if not colon or letter not in TYPES:
        raise UsageError(
            f"{text!r} is not a column",
            hint="write TYPE[,attr..]:name, TYPE one of S F L LS I IS IP, such as i,+add:total",
        )
    if not _COLUMN_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} in {text!r} is not a column name",
            hint="use up to 31 letters, digits and _, not starting with a digit",
        )
    column = ColumnSpec(name, TYPES[letter], tuple(_attribute(attr, text) for attr in attrs))
    _check_attributes(column)
    return column


def parse_columns(items: Iterable[str]) -> tuple[ColumnSpec, ...]:
    """Read columns given one by one or several in one string, separated by blanks."""
    columns = tuple(parse_column(part) for item in items for part in item.split())
    check_unique(columns)
    return columns


def check_unique(columns: Iterable[ColumnSpec]) -> None:
    """Raise ``UsageError`` when two columns have one name, or there are more than 2,048."""
    seen: set[str] = set()
    for column in columns:
        if column.name.lower() in seen:
            raise UsageError(f"column {column.name} is given twice")
        seen.add(column.name.lower())
    if len(seen) > MAX_COLUMNS:
        raise UsageError(f"{len(seen)} columns are more than the {MAX_COLUMNS} allowed")


def make_table(
    name: str, kind: Kind, columns: Iterable[ColumnSpec], key: tuple[ColumnSpec, ...]
) -> tuple[TableSpec, tuple[ColumnSpec, ...]]:
    """Check a table's columns against the database's key; return the table and the key.

    ``key`` is empty for the first table, whose pkey columns become the database's. A later table
    either repeats exactly these columns or leaves them out.
    """
    columns = tuple(columns)
    own = tuple(column for column in columns if column.is_key)
    if not (own or key):
        raise UsageError(
            f"{kind} {name} has no primary key", hint="mark its key column(s): s,pkey:user"
        )
    if key and own and _identity(own) != _identity(key):
        raise UsageError(
            f"{kind} {name} has the key {_written(own)}, but its database has {_written(key)}",
            hint="all tables and vectors of a database share one primary key",
        )
    rest = tuple(column for column in columns if not column.is_key)
    check_unique((*(key or own), *rest))
    for column in rest:
        _check_use(column, kind, merged=kind == "vector" or any("+key" in c.attrs for c in rest))
    if sum("tkey" in column.attrs for column in rest) > 1:
        raise UsageError(f"table {name} has more than one tkey column")
    return TableSpec(name, kind, rest), key or own


def check_variables(columns: Iterable[ColumnSpec]) -> None:
    """Raise ``UsageError`` when a variable has an attribute that means nothing for it."""
    for column in columns:
        for attr in ("pkey", "tkey", "+key"):
            if attr in column.attrs:
                raise UsageError(f"variable {column.name} cannot be {attr}")


def _identity(columns: Iterable[ColumnSpec]) -> list[tuple[str, str]]:
    return [(column.name.lower(), column.type) for column in columns]


def _written(columns: Iterable[ColumnSpec]) -> str:
    return " ".join(f"{column.type}:{column.name}" for column in columns)


def _attribute(attr: str, text: str) -> str:
    if attr in KEY_SPELLINGS:
        return "pkey"
    if attr in MERGES or attr in {"tkey", "+key", "+nozero"}:
        return attr
    raise UsageError(
        f"{attr!r} in {text!r} is not a column attribute",
        hint="known are pkey tkey +key +first +last +add +bor +min +max +nozero",
    )


def _check_attributes(column: ColumnSpec) -> None:
    if len(set(column.attrs)) < len(column.attrs):
        raise UsageError(f"column {column} has an attribute twice")
    roles = [a for a in column.attrs if a in MERGES or a in {"pkey", "+key"}]
    if len(roles) > 1:
        raise UsageError(f"column {column}: {roles[0]} and {roles[1]} exclude each other")
    if "+nozero" in column.attrs and roles in (["pkey"], ["+key"]):
        raise UsageError(f"column {column}: a key column is not merged, so +nozero means nothing")
    if column.merge == "add" and column.type in {"S", "IP"}:
        raise UsageError(f"column {column}: +add needs a number")
    if column.merge == "bor" and column.type not in INTEGERS:
        raise UsageError(f"column {column}: +bor needs an integer")
    if "tkey" in column.attrs and (column.type not in INTEGERS or "pkey" in column.attrs):
        raise UsageError(f"column {column}: tkey needs an integer column that is not the key")


def _check_use(column: ColumnSpec, kind: Kind, *, merged: bool) -> None:
    if kind == "vector" and ("tkey" in column.attrs or "+key" in column.attrs):
        raise UsageError(f"column {column}: a vector has one row per key, so no tkey or +key")
    if not merged and any(attr in MERGES or attr == "+nozero" for attr in column.attrs):
        raise UsageError(
            f"column {column} would never be merged: the table has no +key column",
            hint="mark the columns that identify a row with +key, or create a vector",
        )
