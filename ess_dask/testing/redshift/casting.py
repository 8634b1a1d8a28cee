"""Texts of CSV fields as a column's type reads them, a column at a time.

Each rule returns the texts for PostgreSQL and marks the values that Redshift refuses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift.columns import STRINGS, Column

if TYPE_CHECKING:
    import polars as pl

MISSING = (1213, "Missing data for not-null field")
_BITS = {"smallint": 15, "integer": 31, "bigint": 63}
_INTEGER = r"^\s*[+-]?\d+\s*$"
_NUMBER = r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$"
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%Y%m%d")
_ISO_DATE = r"^\d{4}-\d\d-\d\d$"
_ISO_TIMESTAMP = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?$"
_TIMESTAMPS = (
    "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%m/%d/%Y %H:%M:%S%.f",
)  # fmt: skip
_ZONED = ("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z")
_SHOWN_TYPES = {
    "smallint": "Short", "integer": "Integer", "bigint": "Long", "numeric": "Decimal",
    "real": "Float", "double precision": "Double",
}  # fmt: skip
_TRUE, _FALSE = ["t", "true", "y", "yes", "1"], ["f", "false", "n", "no", "0"]


@dataclass(frozen=True, slots=True)
class Cast:
    """A column's texts, and the refused values: by row, (code, reason)."""

    texts: pl.Series
    errors: Mapping[int, tuple[int, str]]


def cast(column: Column, texts: pl.Series, options: Mapping[str, str]) -> Cast:
    """Return the texts of one column, checked and as PostgreSQL reads them; nulls stay nulls."""
    is_string = column.type in STRINGS
    if not is_string or "EMPTYASNULL" in options:
        # No number or date is written as nothing.
        texts = texts.replace({"": None})
    rule = _rule(column)
    done, good, why = rule(column, texts, options)
    errors = {int(i): why(texts[int(i)]) for i in (texts.is_not_null() & ~good).arg_true()}
    if column.not_null:
        errors |= {int(i): MISSING for i in texts.is_null().arg_true()}
    return Cast(done, errors)


_Why = Callable[[str], tuple[int, str]]
_Rule = Callable[[Column, Any, Mapping[str, str]], tuple[Any, Any, _Why]]


def _rule(column: Column) -> _Rule:
    if column.type in _BITS:
        return _integers
    if column.type.startswith("timestamp"):
        return _timestamps
    return {
        "numeric": _decimals, "real": _floats, "double precision": _floats, "boolean": _booleans,
        "date": _dates, "time without time zone": _times, "super": _super, "varbyte": _varbytes,
    }.get(column.type, _strings)  # fmt: skip


def _integers(column: Column, texts: Any, options: Any) -> tuple[Any, Any, _Why]:
    import polars as pl

    limit = 2 ** _BITS[column.type]
    numbers = texts.cast(pl.Int64, strict=False)
    if numbers.null_count() > texts.null_count():
        numbers = texts.str.strip_chars().str.replace(r"^\+", "").cast(pl.Int64, strict=False)
    good = texts.str.contains(_INTEGER) & numbers.is_between(-limit, limit - 1).fill_null(False)

    def why(text: str) -> tuple[int, str]:
        if text.strip().lstrip("+-").isdigit():
            kind = _SHOWN_TYPES[column.type]
            return 1204, f"Overflow ({kind} valid range {-limit} to {limit - 1})"
        return 1207, _digit(text, column.type)

    return texts, good, why


def _decimals(column: Column, texts: Any, options: Any) -> tuple[Any, Any, _Why]:
    scale, digits = column.scale or 0, (column.length or 18) - (column.scale or 0)
    plain = rf"^\s*[+-]?0*\d{{0,{digits}}}(\.\d*)?\s*$"
    # Without ROUNDEC, what does not fit behind the point is cut off; PostgreSQL would round.
    cut = texts
    if texts.str.contains(rf"\.\d{{{scale + 1}}}").any():
        cut = texts.str.replace(rf"(\.\d{{{scale}}})\d+(\s*)$", "$1")
    number = texts.str.contains(_NUMBER)
    good = number & texts.str.contains(plain)
    if not good.all():
        good |= number & texts.str.contains("[eE]") & _small_enough(texts, digits)

    def why(text: str) -> tuple[int, str]:
        if _looks_numeric(text):
            return 1204, f"Numeric data overflow, Value '{text[:40]}'"
        return 1207, _digit(text, column.type)

    return cut, good, why


def _small_enough(texts: Any, digits: int) -> Any:
    import polars as pl

    return (texts.str.strip_chars().cast(pl.Float64, strict=False).abs() < 10.0**digits).fill_null(
        value=False
    )


def _looks_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _floats(column: Column, texts: Any, options: Any) -> tuple[Any, Any, _Why]:
    import polars as pl

    numbers = texts.str.strip_chars().cast(pl.Float64, strict=False)
    return texts, numbers.is_not_null(), lambda text: (1207, _digit(text, column.type))


def _booleans(column: Column, texts: Any, options: Any) -> tuple[Any, Any, _Why]:
    low = texts.str.to_lowercase()
    return low, low.is_in([*_TRUE, *_FALSE]), lambda text: (1210, "Unknown boolean format")


def _dates(column: Column, texts: Any, options: Mapping[str, str]) -> tuple[Any, Any, _Why]:
    import polars as pl

    if _are_iso(texts, _ISO_DATE, "date32"):
        return texts, texts.is_not_null(), lambda text: (1205, "Invalid Date Format")
    formats = _DATES if "DATEFORMAT" in options else _DATES[:1]
    values = _first_that_reads(texts, (texts.str.to_date(f, strict=False) for f in formats))
    return values.cast(pl.String), values.is_not_null(), lambda text: (
        1205, "Invalid Date Format" + " - length must be 10 or more" * (len(text) < 10),
    )  # fmt: skip


def _timestamps(column: Column, texts: Any, options: Mapping[str, str]) -> tuple[Any, Any, _Why]:
    import polars as pl

    def why(text: str) -> tuple[int, str]:
        return 1206, "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]"

    if _are_iso(texts, _ISO_TIMESTAMP, "timestamp[us]"):
        return texts, texts.is_not_null(), why
    formats = _TIMESTAMPS if "TIMEFORMAT" in options else _TIMESTAMPS[:1]

    def readings() -> Iterator[Any]:
        for form in formats:
            yield texts.str.to_datetime(form, time_unit="us", strict=False)
        yield texts.str.to_date(_DATES[0], strict=False).cast(pl.Datetime("us"))
        for form in _ZONED if column.type == "timestamp with time zone" else ():
            zoned = texts.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
            yield zoned.dt.replace_time_zone(None)

    values = _first_that_reads(texts, readings())
    return values.dt.to_string("%Y-%m-%d %H:%M:%S%.6f"), values.is_not_null(), why


def _are_iso(texts: Any, pattern: str, kind: str) -> bool:
    """Whether all texts are dates or moments as PostgreSQL, too, reads them at once."""
    import pyarrow as pa

    if not texts.str.contains(pattern).all():
        return False
    try:
        texts.to_arrow().cast(pa.type_for_alias(kind))
    except pa.ArrowInvalid:
        return False
    return True


def _times(column: Column, texts: Any, options: Any) -> tuple[Any, Any, _Why]:
    values = texts.str.to_time("%H:%M:%S%.f", strict=False)
    return texts, values.is_not_null(), lambda text: (1206, f"Invalid time, Value '{text[:40]}'")


def _first_that_reads(texts: Any, readings: Iterator[Any]) -> Any:
    """Return each text's first reading; a reading is only tried where one is still missing."""
    found = next(readings)
    for reading in readings:
        if found.null_count() == texts.null_count():
            break
        found = found.zip_with(found.is_not_null(), reading)
    return found


def _super(column: Column, texts: Any, options: Any) -> tuple[Any, Any, _Why]:
    import polars as pl

    good = pl.Series([text is not None and _is_json(text) for text in texts], dtype=pl.Boolean)
    return texts, good, lambda text: (1224, f"Invalid JSON, Value '{text[:40]}'")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _varbytes(column: Column, texts: Any, options: Any) -> tuple[Any, Any, _Why]:
    hexadecimal = texts.str.contains(r"^([0-9A-Fa-f]{2})*$")
    good = hexadecimal & (texts.str.len_bytes() <= 2 * (column.length or 64000))

    def why(text: str) -> tuple[int, str]:
        if len(text) > 2 * (column.length or 64000):
            return 1204, "Value exceeds the length of VARBYTE"
        return 1219, _digit(text, "Varbyte")

    return "\\x" + texts, good, why


def _strings(column: Column, texts: Any, options: Mapping[str, str]) -> tuple[Any, Any, _Why]:
    length = column.length or 65535
    if "TRUNCATECOLUMNS" in options:
        texts = _cut_to_bytes(texts, length)
    fits = texts.str.len_bytes() <= length
    good = fits & ~texts.str.contains("\0", literal=True)
    if column.type == "character":
        good &= texts.str.len_bytes() == texts.str.len_chars()

    def why(text: str) -> tuple[int, str]:
        if "\0" in text:
            return 1220, "String contains invalid or unsupported UTF8 codepoints: 00"
        if column.type == "character" and not text.isascii():
            first = next(sign for sign in text if not sign.isascii())
            return 1220, (
                "Multibyte character not supported for CHAR (Hint: try using VARCHAR). "
                f"Invalid char: {first.encode().hex(' ')}"
            )
        return 1204, "String length exceeds DDL length"

    return texts, good, why


def _cut_to_bytes(texts: Any, length: int) -> Any:
    """Cut texts to so many bytes, between two characters."""
    import polars as pl

    too_long = (texts.str.len_bytes() > length).fill_null(value=False)
    if not too_long.any():
        return texts
    cut = [text.encode()[:length].decode("utf-8", "ignore") for text in texts.filter(too_long)]
    return texts.scatter(too_long.arg_true(), pl.Series(cut, dtype=pl.String))


def _digit(text: str, kind: str) -> str:
    wrong = next((i for i, sign in enumerate(text) if not (sign.isdigit() or sign in "+-. ")), 0)
    shown = _SHOWN_TYPES.get(kind, kind.capitalize())
    return f"Invalid digit, Value '{text[wrong : wrong + 1]}', Pos {wrong}, Type: {shown}"
