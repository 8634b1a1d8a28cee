"""Column types in Redshift: what a table has for each of ours, and how it is called.

Redshift has no unsigned integers, none of one byte, and texts and binaries of a greatest length in
bytes. A text's length follows the data, with room to grow: ``planned_width``. Source: Amazon
Redshift Database Developer Guide, "Data types".
"""

from __future__ import annotations

from dataclasses import replace

from ess_dask.records.spec import Column, DataType
from ess_dask.warehouse import schema

MAX_TEXT = 65_535
"""Greatest length of a VARCHAR, in bytes."""
MAX_BINARY = 1_024_000
"""Greatest length of a VARBYTE that every release of Redshift has, in bytes."""
MAX_SCALE = 37
DEFAULT_TEXT = 256
"""Length of a text of which nothing is known, in bytes; Redshift's own."""
DEFAULT_BINARY = 64_000
"""Length of a binary of which nothing is known, in bytes; Redshift's own."""
NESTED = "nested"
"""Name of the type of lists, structs and maps, which only cleaning steps make."""
_LEAST_WIDTH = 16
_HEAD_ROOM = 1.5

_WIDER = {"int8": "int16", "uint8": "int16", "uint16": "int32", "uint32": "int64"}
_SQL = {
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float32": "REAL",
    "float64": "DOUBLE PRECISION",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    NESTED: "SUPER",
}
_NAMES = {
    "smallint": "int16",
    "integer": "int32",
    "bigint": "int64",
    "real": "float32",
    "double precision": "float64",
    "boolean": "boolean",
    "date": "date",
    "timestamp without time zone": "timestamp",
    "super": NESTED,
}

REDSHIFT_TYPES = frozenset({*_SQL, *_WIDER, "uint64", "decimal", "string", "binary", "ip"})
"""Names of the types a Redshift table can hold."""


def stored(type_: DataType) -> DataType:
    """Return the type that a Redshift table has for values of this one.

    ``precision`` of a text or binary is its greatest length in bytes, 0 when it is not known.
    """
    if type_.name == "uint64":
        return DataType("decimal", precision=20)
    plain = schema.stored(type_)
    return replace(plain, name=_WIDER.get(plain.name, plain.name))


def sql_type(type_: DataType) -> str:
    """Return Redshift's name of a type; one that ``parse`` did not know keeps Redshift's own."""
    kept = stored(type_)
    if kept.name == "decimal":
        return f"DECIMAL({kept.precision},{kept.scale})"
    if kept.name == "string":
        return f"VARCHAR({kept.precision or DEFAULT_TEXT})"
    if kept.name == "binary":
        return f"VARBYTE({kept.precision or DEFAULT_BINARY})"
    if kept.name == "timestamp" and kept.zone:
        return "TIMESTAMPTZ"
    return _SQL.get(kept.name, kept.name)


def parse(name: str, length: int = 0, precision: int = 0, scale: int = 0) -> DataType:
    """Return the type that the catalogue calls ``name``, with its numbers.

    One we never make keeps Redshift's own name.
    """
    if name == "character varying":
        return DataType("string", precision=length)
    if name == "binary varying":
        return DataType("binary", precision=length)
    if name == "numeric":
        return DataType("decimal", precision=precision, scale=scale)
    if name == "timestamp with time zone":
        return DataType("timestamp", zone="UTC")
    return DataType(_NAMES.get(name, name))


def planned_width(longest: int, limit: int = MAX_TEXT, least: int = _LEAST_WIDTH) -> int:
    """Return the length to give a column whose longest value has so many bytes.

    A power of two at least half as long again, so that a table is seldom widened; not less than
    ``least`` and at most ``limit``.
    """
    wanted = int(longest * _HEAD_ROOM)
    return least if wanted <= least else min(1 << (wanted - 1).bit_length(), limit)


def with_width(column: Column, longest: int, known: DataType | None = None) -> Column:
    """Return the column with the length that its longest value asks for; others as they are.

    ``known`` is the column in the table that is there already: it stays as it is while it has room.
    A binary has at least Redshift's own length, because no ``ALTER TABLE`` makes it longer.
    """
    kind = stored(column.type).name
    if kind not in {"string", "binary"}:
        return column
    if known is not None and known.name == kind and longest <= known.precision:
        return replace(column, type=DataType(kind, precision=known.precision))
    limits = (MAX_TEXT,) if kind == "string" else (MAX_BINARY, DEFAULT_BINARY)
    return replace(column, type=DataType(kind, precision=planned_width(longest, *limits)))
