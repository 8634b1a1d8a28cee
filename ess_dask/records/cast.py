"""Text to typed columns, whole columns at a time, and why a text is not a value of its type.

Blanks around a value are tolerated except in strings, where they are data. A value of nothing but
blanks is blank. Floats may be written with exponents and as inf, infinity or nan in any case.
Decimals are plain digits and must fit exactly. Years are 1000 to 9999. Without a format, a date is
ISO 8601, and so is a timestamp: ``T`` or a blank between date and time, seconds, fractions (kept
to the microsecond) and an offset may be missing; without a declared zone an offset is converted
to UTC. A local time that the zone skips is refused, of two the earlier is taken.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from ess_dask.dataclass import dataclass
from ess_dask.records.rejects import quote_value
from ess_dask.records.spec import DataType
from ess_dask.records.types import FLOATS, INTEGERS

if TYPE_CHECKING:
    import polars as pl

_BLANKS = " \t"
_INTEGER = r"[+-]?[0-9]+"
_IS_WORD = re.compile(r"(?!inf|nan)[a-z]+", re.ASCII | re.IGNORECASE)
"""Texts that are surely no number."""
_TRUE, _FALSE = ("true", "t", "yes", "1"), ("false", "f", "no", "0")
_EPOCH = date(1970, 1, 1).toordinal()
_FIRST_DAY, _LAST_DAY = (day.toordinal() - _EPOCH for day in (date(1000, 1, 1), date.max))
_DAY_MICROSECONDS = 86_400_000_000
_ISO = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]([0-9]{2}:[0-5][0-9])(?:(:[0-5][0-9])(\.[0-9]{1,9})?)?"
    r" ?(Z|z|[+-][0-9]{2}:?[0-5][0-9])?)?$"
)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_IPV4 = rf"^{_OCTET}(?:\.{_OCTET}){{3}}$"


@dataclass(frozen=True, slots=True)
class Casted:
    """A typed column and, for each row, whether its text was no value of the type."""

    values: pl.Series
    failed: pl.Series


def polars_type(type_: DataType) -> pl.DataType:
    """Return the Polars type of a column."""
    import polars as pl

    if type_.name == "decimal":
        return pl.Decimal(type_.precision, type_.scale)
    if type_.name == "timestamp":
        return pl.Datetime("us", type_.zone or None)
    if type_.name in (*INTEGERS, *FLOATS):
        name = type_.name.replace("uint", "UInt").replace("int", "Int").replace("float", "Float")
        return getattr(pl, name)()  # type: ignore[no-any-return]
    plain = {"boolean": pl.Boolean(), "date": pl.Date(), "binary": pl.Binary()}
    return plain.get(type_.name, pl.String())


def cast(text: pl.Series, type_: DataType, blank: Literal["null", "zero"]) -> Casted:
    """Cast a column of text (null where blank) to ``type_``.

    A blank becomes null, or with ``zero`` 0 for a number and '' for a string or address; there a
    lone ``-`` is a blank integer.
    """
    import polars as pl

    if type_.name in ("string", "binary"):
        if blank == "zero":
            text = text.fill_null("")
        elif (empty := text == "").any():
            text = text.set(empty, None)
        return Casted(text.cast(polars_type(type_)), pl.repeat(False, len(text), eager=True))
    if type_.name == "timestamp" and not type_.format:
        return _cast_iso(text, type_, blank)
    if type_.name in (*INTEGERS, *FLOATS):
        return _cast_number(text, type_, blank)
    return _cast_any(text, type_, blank)


def cast_each(
    texts: Sequence[str], type_: DataType, blank: Literal["null", "zero"]
) -> list[tuple[Any, bool]]:
    """Return what ``cast`` makes of some different texts, and whether each is no value of its type
    (then what it is made of does not matter)."""
    number = type_.name in (*INTEGERS, *FLOATS)
    nothing = 0 if blank == "zero" else None
    judged: list[tuple[Any, bool]] = [(None, True) if text else (nothing, False) for text in texts]
    left = [
        place
        for place, text in enumerate(texts)
        if not number or (text and not _IS_WORD.fullmatch(text))
    ]
    if not left:
        return judged  # Polars takes a quarter of a second to import.
    import polars as pl

    casted = cast(
        pl.Series([texts[place] or None for place in left], dtype=pl.String), type_, blank
    )
    for place, value, failed in zip(left, casted.values, casted.failed, strict=True):
        judged[place] = (value, failed)
    return judged


def _cast_iso(text: pl.Series, type_: DataType, blank: Literal["null", "zero"]) -> Casted:
    """Take the usual spelling of a timestamp at once, and only the others with care."""
    import polars as pl

    values = text.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    values = _localize(_in_years(values), type_.zone)
    # Second 60 comes out as the next minute's first.
    usual = values.is_not_null() & (text.str.len_bytes() == 19) & ~text.str.ends_with("60")
    other = ~usual.fill_null(False)
    failed = pl.repeat(False, len(text), eager=True)
    if other.any():
        rest = _cast_any(text.filter(other), type_, blank)
        where = other.arg_true()
        values = values.scatter(where, rest.values)
        failed = failed.scatter(where, rest.failed)
    return Casted(values, failed)


def _cast_number(text: pl.Series, type_: DataType, blank: Literal["null", "zero"]) -> Casted:
    """Take what Polars reads at once, and only the others with care."""
    import polars as pl

    values = text.cast(polars_type(type_), strict=False)
    other = values.is_null() & text.is_not_null()
    failed = pl.repeat(False, len(text), eager=True)
    if other.any():
        rest = _cast_any(text.filter(other), type_, blank)
        where = other.arg_true()
        values, failed = values.scatter(where, rest.values), failed.scatter(where, rest.failed)
    return Casted(values.fill_null(0) if blank == "zero" else values, failed)


def _cast_any(text: pl.Series, type_: DataType, blank: Literal["null", "zero"]) -> Casted:
    import polars as pl

    text = text.str.strip_chars(_BLANKS)
    empty = text.is_null() | (text == "")
    if blank == "zero" and type_.name in INTEGERS:
        empty |= (text == "-").fill_null(False)
    text = text.set(empty, None)
    values = _CASTS[type_.name](text, type_)
    failed = values.is_null() & ~empty
    if blank == "zero" and type_.name in (*INTEGERS, *FLOATS, "ip"):
        zero = "" if type_.name == "ip" else 0
        filled = pl.when(pl.lit(empty)).then(pl.lit(zero)).otherwise(pl.col("v"))
        values = values.to_frame("v").select(filled.alias("v")).to_series()
    return Casted(values.cast(polars_type(type_)), failed)


@lru_cache(maxsize=1024)
def reason(text: str, type_: DataType) -> str:
    """Return why ``text``, which failed to be cast, is no value of ``type_``."""
    stripped = text.strip(_BLANKS)
    fits = type_.name in INTEGERS and re.fullmatch(_INTEGER, stripped)
    label = "address" if type_.name == "ip" else type_.name
    if type_.name == "decimal":
        label = f"decimal({type_.precision},{type_.scale})"
        fits = re.fullmatch(_decimal_grammar(type_.scale), stripped)
    if fits:
        return f"out of range for {label}: {quote_value(text)}"
    article = "an" if label.startswith(("i", "a")) else "a"
    return f"not {article} {label}: {quote_value(text)}"


def _integer(text: pl.Series, type_: DataType) -> pl.Series:
    import polars as pl

    wide = text.set(~text.str.contains(f"^{_INTEGER}$").fill_null(False), None)
    return wide.cast(pl.Int128, strict=False).cast(polars_type(type_), strict=False)


def _float(text: pl.Series, type_: DataType) -> pl.Series:
    return text.cast(polars_type(type_), strict=False)


def _boolean(text: pl.Series, type_: DataType) -> pl.Series:
    import polars as pl

    words = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
    return text.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)


def _decimal_grammar(scale: int) -> str:
    return rf"[+-]?(?:[0-9]+(?:\.[0-9]{{0,{scale}}}0*)?|\.[0-9]{{1,{max(scale, 1)}}}0*)"


def _decimal(text: pl.Series, type_: DataType) -> pl.Series:
    exact = text.str.contains(f"^{_decimal_grammar(type_.scale)}$").fill_null(False)
    return text.set(~exact, None).cast(polars_type(type_), strict=False)


def _date(text: pl.Series, type_: DataType) -> pl.Series:
    days = text.str.to_date(_chrono(type_.format or "%Y-%m-%d"), strict=False)
    return _in_years(days)


def _in_years(values: pl.Series) -> pl.Series:
    # Polars reads "9/1/14" with %Y as the year 14.
    import polars as pl

    unit = 1 if values.dtype == pl.Date else _DAY_MICROSECONDS
    number = values.to_physical()
    inside = (number >= _FIRST_DAY * unit) & (number < (_LAST_DAY + 1) * unit)
    return values if inside.all() else values.set(~inside.fill_null(False), None)


def _timestamp(text: pl.Series, type_: DataType) -> pl.Series:
    import polars as pl

    if not type_.format:
        return _iso(text, type_.zone)
    pattern = _chrono(type_.format)
    if "%M" not in pattern:
        # Polars refuses a format with hours alone: give every text its minutes.
        text, pattern = text + "\0" + "00", pattern + "\0%M"
        if "%H" not in pattern and "%I" not in pattern:
            text, pattern = text + "\0" + "00", pattern + "\0%H"
    values = text.str.to_datetime(pattern, time_unit="us", strict=False)
    values = _no_leap_second(text, values) if "%S" in pattern else values
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone:
        values = values.dt.convert_time_zone(type_.zone or "UTC")
        return _in_years(values if type_.zone else values.dt.replace_time_zone(None))
    return _localize(_in_years(values), type_.zone)


def _no_leap_second(text: pl.Series, values: pl.Series) -> pl.Series:
    # Second 60 comes out as the next minute's first: only texts that hold a 60 can be meant.
    suspicious = text.str.contains("60", literal=True).fill_null(False) & (values.dt.second() == 0)
    return values.set(suspicious.fill_null(False) & _is_leap(text), None)


def _is_leap(text: pl.Series) -> pl.Series:
    return text.str.contains(r":60(?:\D|$)").fill_null(False)


def _localize(values: pl.Series, zone: str) -> pl.Series:
    if not zone:
        return values
    return values.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")


def _iso(text: pl.Series, zone: str) -> pl.Series:
    import polars as pl

    part = text.to_frame("text").select(
        *(pl.col("text").str.extract(_ISO, i + 1).alias(f"p{i}") for i in range(5))
    )
    time = pl.col("p1").fill_null("00:00") + pl.col("p2").fill_null(":00")
    local = (pl.col("p0") + "T" + time + pl.col("p3").fill_null(".0")).str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False
    )
    digits = pl.col("p4").str.replace_all(r"[^0-9]", "")
    minutes = digits.str.slice(0, 2).cast(pl.Int64) * 60 + digits.str.slice(2, 2).cast(pl.Int64)
    sign = pl.when(pl.col("p4").str.starts_with("-")).then(-1).otherwise(1)
    shift = pl.when(pl.col("p4").str.to_lowercase() == "z").then(0).otherwise(minutes * sign)
    both = part.select(local.alias("local"), shift.alias("shift"))
    shifted = both.select(
        pl.when(pl.col("shift").is_null())
        .then(None)
        .otherwise(pl.col("local") - pl.duration(minutes=pl.col("shift")))
    ).to_series()
    here = _localize(_in_years(both["local"]).set(both["shift"].is_not_null(), None), zone)
    utc = _in_years(shifted)
    if zone:
        utc = utc.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    return here.to_frame("here").select(pl.coalesce("here", pl.lit(utc))).to_series()


def _chrono(pattern: str) -> str:
    # Python's %f is microseconds; Polars calls a point with any digits %.f, six digits %6f.
    return pattern.replace(".%f", "%.f").replace("%f", "%6f")


def _address(text: pl.Series, type_: DataType) -> pl.Series:
    good = text.str.contains(_IPV4).fill_null(False)
    six = text.str.contains(":", literal=True).fill_null(False)
    if six.any():
        known = {item: _is_ipv6(item) for item in text.filter(six).unique()}
        import polars as pl

        good |= text.replace_strict(known, default=False, return_dtype=pl.Boolean)
    return text.set(~good, None)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


_CASTS = {
    **dict.fromkeys(INTEGERS, _integer),
    **dict.fromkeys(FLOATS, _float),
    "boolean": _boolean,
    "decimal": _decimal,
    "date": _date,
    "timestamp": _timestamp,
    "ip": _address,
}
