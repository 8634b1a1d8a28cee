"""Values that Python, pandas, CSV or Parquet have no place for, in words: ``3 days``, ``infinity``.

DuckDB's intervals, unions, infinities and years after 9999 come out of questions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_ENDLESS = {"D": 2**31 - 1, "us": 2**63 - 1}
"""The numbers by which DuckDB says infinity, by unit."""

_SECOND = 1_000_000_000


def values_of(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """Return the values of a column as Python has them; as text what it has none for. A map is a
    dictionary with text as keys."""
    if not _is_odd(column.type):
        try:
            values: list[Any] = column.to_pylist()
            return values
        except (OverflowError, ValueError):  # a date that only Arrow can hold
            pass
    return [value_of(scalar) for scalar in column]


def value_of(scalar: pa.Scalar) -> Any:
    """Return one value as ``values_of`` does."""
    import pyarrow as pa

    kind = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_map(kind):
        return {str(value_of(pair["key"])): value_of(pair["value"]) for pair in scalar.values}
    if pa.types.is_struct(kind):
        return {field.name: value_of(scalar[at]) for at, field in enumerate(kind)}
    if _is_list(kind):
        return [value_of(item) for item in scalar.values]
    if pa.types.is_union(kind):
        return value_of(scalar.value)
    if pa.types.is_interval(kind):
        return _interval(*scalar.as_py())
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        return _far(scalar)


def spoken(table: pa.Table, *, far: bool = True) -> pa.Table:
    """Return a table with text in place of columns that pandas cannot show and Parquet cannot hold:
    intervals, unions, and (with ``far``) dates and times that Python has no value for."""
    import pyarrow as pa

    for at, field in enumerate(table.schema):
        column, kind = table.column(at), field.type
        if pa.types.is_interval(kind) or pa.types.is_union(kind) or (far and _is_far(column)):
            texts = [None if value is None else str(value) for value in values_of(column)]
            table = table.set_column(at, field.name, pa.array(texts, pa.string()))
    return table


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow.types as kinds

    return any(of(kind) for of in (kinds.is_list, kinds.is_large_list, kinds.is_fixed_size_list))


def _is_odd(kind: pa.DataType) -> bool:
    """Whether values of a type, or of one in it, are not those that ``to_pylist`` gives."""
    import pyarrow as pa

    if pa.types.is_map(kind) or pa.types.is_interval(kind):
        return True
    return any(_is_odd(kind.field(at).type) for at in range(kind.num_fields))


def _is_far(column: pa.ChunkedArray) -> bool:
    """Whether a column of dates or times has one that Python has no value for."""
    import pyarrow as pa

    if not (pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)):
        return False
    import pyarrow.compute as pc

    try:
        pc.min_max(column).as_py()
    except (OverflowError, ValueError):
        return True
    return False


def _far(scalar: pa.Scalar) -> str:
    """Return a date or time of any year; what is none as Arrow says it."""
    import numpy as np
    import pyarrow as pa

    kind = scalar.type
    if not (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
        return str(scalar.cast(pa.string()).as_py())
    unit: Any = {"date32[day]": "D", "date64[ms]": "ms"}.get(str(kind)) or kind.unit
    number = scalar.value
    if abs(number) == _ENDLESS.get(unit):
        return "infinity" if number > 0 else "-infinity"
    day, _, time = str(np.datetime64(number, unit)).partition("T")
    year, month = day[:-6], day[-6:]
    before = int(year) < 1
    words = [f"{1 - int(year):04d}{month}" if before else day]
    if time:
        zone = "+00" if kind.tz else ""
        words.append((time.rstrip("0").rstrip(".") if "." in time else time) + zone)
    return " ".join([*words, "(BC)"] if before else words)


def _interval(months: int, days: int, nanoseconds: int) -> str:
    """Return an interval as DuckDB writes it: ``1 year 2 months 3 days 01:30:00``."""
    sign = -1 if months < 0 else 1
    years, rest = divmod(abs(months), 12)
    parts = [(sign * years, "year"), (sign * rest, "month"), (days, "day")]
    words = [f"{n} {name}{'' if abs(n) == 1 else 's'}" for n, name in parts if n]
    if nanoseconds or not words:
        seconds, fraction = divmod(abs(nanoseconds), _SECOND)
        time = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        time += f".{fraction:09d}".rstrip("0") if fraction else ""
        words.append(f"-{time}" if nanoseconds < 0 else time)
    return " ".join(words)
