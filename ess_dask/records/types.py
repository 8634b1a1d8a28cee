"""The type names of pipeline files and Python, and the Arrow type each one becomes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ess_dask.errors import ConfigError
from ess_dask.records.spec import Column, DataType

if TYPE_CHECKING:
    import pyarrow as pa

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float32", "float64")
TYPE_NAMES = (
    "string",
    *INTEGERS,
    *FLOATS,
    "decimal(precision,scale)",
    "boolean",
    "date",
    "date[format]",
    "timestamp",
    "timestamp[format]",
    "timestamp[format, zone]",
    "binary",
)
"""Every spelling ``parse_type`` takes; formats are those of ``strptime``, zones those of IANA."""

MAX_PRECISION = 38
_PLAIN = frozenset(("string", *INTEGERS, *FLOATS, "boolean", "date", "timestamp", "binary"))
_DECIMAL = re.compile(r"decimal\(\s*(\d+)\s*,\s*(\d+)\s*\)")
_BRACKETS = re.compile(r"(date|timestamp)\[(.*)\]", re.DOTALL)
_DIRECTIVES = frozenset("YymdHIMSfzbBpjaA%")


def parse_type(text: str) -> DataType:
    """Return the type that ``text`` names; raise ``ConfigError`` listing the names otherwise."""
    text = text.strip()
    if text in _PLAIN:
        return DataType(text)
    if match := _DECIMAL.fullmatch(text):
        return _decimal(text, int(match[1]), int(match[2]))
    if match := _BRACKETS.fullmatch(text):
        return _dated(text, match[1], match[2])
    raise ConfigError(f"unknown type {text!r}", hint="the types are " + ", ".join(TYPE_NAMES))


def format_type(type_: DataType) -> str:
    """Return the spelling that ``parse_type`` turns back into ``type_``."""
    if type_.name == "decimal":
        return f"decimal({type_.precision},{type_.scale})"
    inside = ", ".join((type_.format, type_.zone)) if type_.zone else type_.format
    return f"{type_.name}[{inside}]" if inside else type_.name


def arrow_type(type_: DataType) -> pa.DataType:
    """Return the Arrow type of a column; timestamps are in microseconds. ``skip`` has none."""
    import pyarrow as pa

    if type_.name == "skip":
        raise ConfigError("a skipped column has no type", hint="leave it out of the table")
    if type_.name == "decimal":
        return pa.decimal128(type_.precision, type_.scale)
    if type_.name == "timestamp":
        return pa.timestamp("us", tz=type_.zone or None)
    names = {"boolean": "bool_", "date": "date32", "ip": "string"}
    return getattr(pa, names.get(type_.name, type_.name))()


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """Return the Arrow schema of the declared columns."""
    import pyarrow as pa

    return pa.schema([(column.name, arrow_type(column.type)) for column in columns])


def _decimal(text: str, precision: int, scale: int) -> DataType:
    if not 1 <= precision <= MAX_PRECISION or scale > precision:
        raise ConfigError(
            f"impossible type {text!r}",
            hint=f"precision is 1 to {MAX_PRECISION}, scale at most the precision",
        )
    return DataType("decimal", precision=precision, scale=scale)


def _dated(text: str, name: str, inside: str) -> DataType:
    # A format may hold commas, a zone never a percent sign: the last part without one is the zone.
    head, comma, tail = inside.rpartition(",")
    zoned = name == "timestamp" and bool(comma) and "%" not in tail
    pattern, zone = (head.strip(), tail.strip()) if zoned else (inside.strip(), "")
    _check_format(text, pattern, required=not zone)
    if zone:
        _check_zone(text, zone)
    return DataType(name, format=pattern, zone=zone)


def _check_format(text: str, pattern: str, *, required: bool) -> None:
    directives = re.findall(r"%(.?)", pattern, re.DOTALL)
    unknown = [f"%{letter}" for letter in directives if letter not in _DIRECTIVES]
    if unknown or (required and not directives) or (pattern and not directives):
        what = ", ".join(unknown) or "no directive"
        raise ConfigError(
            f"bad format in type {text!r}: {what}",
            hint="use strptime's %" + " %".join(sorted(_DIRECTIVES - {"%"})),
        )


def _check_zone(text: str, zone: str) -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"unknown time zone {zone!r} in type {text!r}",
            hint="use a name such as UTC or Europe/Berlin",
        ) from None
