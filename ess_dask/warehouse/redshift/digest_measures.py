"""The measures of a column by its type, as SQL for Redshift, and how its answer is read.

Only functions that Redshift documents; PostgreSQL has them all but ``strtol``.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from ess_dask.records.spec import DataType
from ess_dask.warehouse.redshift.types import NESTED, stored

Found = list[tuple[str, Any]]
"""Name and value of each measure of one column."""

MAGNITUDE = "magnitude"
"""Name of the measure of floats that says how much their sum may differ."""
SCALE = 2.0**-100
"""Finite doubles may overflow when added; a power of two loses nothing that is compared."""
LARGEST = 1.7976931348623157e308
SMALLEST = 1e-270
"""Floats nearer to zero are added as zero: scaled they underflow, which is an error in SQL."""
_SUMMED_DIGITS = 26
"""Decimals of so many digits can be added as they are: a trillion of them fit into 38 digits."""
_LIMB = 19
"""Digits of the lower limb of a decimal of up to 38 digits."""

_KINDS = {
    "string": "text",
    "binary": "binary",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "decimal": "decimal",
    "float32": "float",
    "float64": "float",
    NESTED: NESTED,
}


def kind_of(type_: DataType) -> str:
    """Return text, binary, boolean, date, timestamp, decimal, float, nested or integer."""
    return _KINDS.get(stored(type_).name, "integer")


def sql_measures(name: str, type_: DataType, *, text: bool) -> list[str]:
    """Return the expressions of a column; ``name`` is quoted. ``read_measures`` takes them."""
    kind = kind_of(type_)
    counted = f"count({name})"
    if kind == NESTED:
        return [counted]
    if kind == "decimal":
        return [counted, *_sql_decimal(name, stored(type_))]
    if kind == "float":
        return [counted, *_sql_float(f"{name}::double precision")]
    sums = {
        "integer": f"sum({name}::decimal(38,0))",
        "boolean": f"sum(CASE WHEN {name} THEN 1 ELSE 0 END)",
        "date": f"sum({name} - date '1970-01-01')",
        "timestamp": _sql_timestamp(name, type_),
        "text": f"sum(octet_length({name}))",
        "binary": f"sum(octet_length({name}))",
    }
    md5 = [f"sum(strtol(left(md5({name}), 8), 16))"] if text and kind == "text" else []
    return [counted, sums[kind], *md5]


def read_measures(values: Iterator[Any], type_: DataType, *, text: bool) -> Found:
    """Take a column's values from the answer; a sum of nothing is zero."""
    kind = kind_of(type_)
    found: Found = [("non-null values", int(next(values)))]
    if kind == NESTED:
        return found
    if kind == "decimal":
        return [*found, ("sum", _read_decimal(values, stored(type_)))]
    if kind == "float":
        found.append(("finite values", int(next(values) or 0)))
        return [*found, *((name, float(next(values) or 0.0)) for name in ("float sum", MAGNITUDE))]
    found.append((label(kind), int(next(values) or 0)))
    if text and kind == "text":
        found.append(("md5 sum", int(next(values) or 0)))
    return found


def label(kind: str) -> str:
    """Return the name of the sum that a kind of column has."""
    return "bytes" if kind in {"text", "binary"} else "sum"


def unscaled(number: int, scale: int) -> Decimal:
    """Return ``number`` / 10 ** ``scale``, exactly."""
    digits = tuple(map(int, str(abs(number))))
    return Decimal((int(number < 0), digits, -scale))


def _sql_timestamp(name: str, type_: DataType) -> str:
    utc = f"({name} at time zone 'UTC')" if type_.zone else name
    return f"sum(to_char({utc}, 'YYYYMMDDHH24MISSUS')::decimal(38,0))"


def _sql_decimal(name: str, kept: DataType) -> list[str]:
    if kept.precision <= _SUMMED_DIGITS:
        return [f"sum({name}::decimal(38,{kept.scale}))"]
    # A sum of 38 digits overflows at the second row: the digits are added in two halves.
    exact = f"{name}::decimal({kept.precision},{kept.scale})"
    digits = f"lpad(replace(replace({exact}::varchar, '-', ''), '.', ''), {2 * _LIMB}, '0')"
    return [
        f"sum(CASE WHEN {name} < 0 THEN -({half}::decimal(20,0)) ELSE {half}::decimal(20,0) END)"
        for half in (f"left({digits}, {_LIMB})", f"right({digits}, {_LIMB})")
    ]


def _read_decimal(values: Iterator[Any], kept: DataType) -> Decimal:
    if kept.precision <= _SUMMED_DIGITS:
        return Decimal(next(values) or 0)
    high, low = int(next(values) or 0), int(next(values) or 0)
    return unscaled(high * 10**_LIMB + low, kept.scale)


def _sql_float(name: str) -> list[str]:
    # NaN is greater than all numbers in PostgreSQL and equal to nothing in IEEE: either way this
    # is not true of it.
    size = f"abs({name})"
    finite = f"{size} <= {_double(LARGEST)}"
    scaled = f"{name} * {_double(SCALE)}"
    added = f"CASE WHEN {finite} AND {size} >= {_double(SMALLEST)} THEN"
    return [
        f"sum(CASE WHEN {finite} THEN 1 ELSE 0 END)",
        f"sum({added} {scaled} ELSE 0 END)",
        f"sum({added} abs({scaled}) ELSE 0 END)",
    ]


def _double(value: float) -> str:
    return f"'{value!r}'::double precision"
