"""Functions that have a Polars expression with exactly their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ess_dask.aq.functions.comparisons import parts_of
from ess_dask.aq.kinds import INT64_MAX, INT64_MIN, Type
from ess_dask.aq.patterns.glob import glob_source
from ess_dask.aq.patterns.regex import is_regex
from ess_dask.aq.tree import Call

if TYPE_CHECKING:
    import polars as pl

Native = Callable[[Call, "list[pl.Expr]"], "pl.Expr | None"]
"""Returns the expression of a call, None if this call has none."""


def truncated(value: pl.Expr) -> pl.Expr:
    """Return floats as 64-bit integers: towards zero, clamped, NaN as 0."""
    import polars as pl

    top = 2.0**63
    inside = pl.when((value > -top) & (value < top)).then(value).otherwise(0.0).cast(pl.Int64)
    return (
        pl.when(value.is_nan())
        .then(pl.lit(0, dtype=pl.Int64))
        .when(value >= top)
        .then(pl.lit(INT64_MAX, dtype=pl.Int64))
        .when(value <= -top)
        .then(pl.lit(INT64_MIN, dtype=pl.Int64))
        .otherwise(inside)
    )


def _length(_: Call, values: list[pl.Expr]) -> pl.Expr:
    import polars as pl

    # Characters stand for bytes.
    return values[0].str.len_chars().cast(pl.Int64)


def _literals(call: Call, values: list[pl.Expr]) -> pl.Expr | None:
    import polars as pl

    text = values[0]
    tests = [_place(text, part, place) for part, place in parts_of(call)]
    joined = pl.all_horizontal(tests) if call.function.endswith("All") else pl.any_horizontal(tests)
    return joined.cast(pl.Int64)


def _place(text: pl.Expr, part: str, place: str) -> pl.Expr:
    if place == "SUB":
        return text.str.contains(part, literal=True)
    return text.str.starts_with(part) if place == "BEG" else text.str.ends_with(part)


def _glob(call: Call, values: list[pl.Expr]) -> pl.Expr | None:
    import polars as pl

    pattern = call.constants[0]
    if is_regex(call.attributes) or not pattern.isascii():
        return None
    # The further forms that Unicode has of ASCII letters are all beyond the characters of bytes.
    flags = "si" if "ncas" in call.attributes else "s"
    source = rf"(?{flags})\A(?:{glob_source(pattern)})\z"
    return values[0].str.contains(source).cast(pl.Int64)


def _substring(call: Call, values: list[pl.Expr]) -> pl.Expr:
    import polars as pl

    numbers = [
        truncated(value) if node.type is Type.FLOAT else value
        for node, value in zip(call.values[1:], values[1:], strict=True)
    ]
    text = values[0]
    size = text.str.len_chars().cast(pl.Int64)
    start = (
        pl.when(numbers[0] < 0).then(pl.max_horizontal(numbers[0] + size, 0)).otherwise(numbers[0])
    )
    if len(numbers) == 1:
        return text.str.slice(pl.min_horizontal(start, size))
    longest = pl.max_horizontal(size - start, 0)
    length = (
        pl.when(numbers[1] < 0)
        .then(pl.max_horizontal(numbers[1] + longest, 0))
        .otherwise(numbers[1])
    )
    return text.str.slice(pl.min_horizontal(start, size), pl.min_horizontal(length, longest))


def _to_float(call: Call, values: list[pl.Expr]) -> pl.Expr | None:
    import polars as pl

    return values[0].cast(pl.Float64) if call.values[0].type.is_number else None


def _to_integer(call: Call, values: list[pl.Expr]) -> pl.Expr | None:
    if call.values[0].type is Type.FLOAT:
        return truncated(values[0])
    return values[0] if call.values[0].type is Type.INT else None


def _to_string(call: Call, values: list[pl.Expr]) -> pl.Expr | None:
    import polars as pl

    if call.values[0].type is Type.FLOAT:
        return None
    return values[0].cast(pl.String)


def _rounding(how: str) -> Native:
    def native(_: Call, values: list[pl.Expr]) -> pl.Expr:
        import polars as pl

        value = values[0].cast(pl.Float64)
        return value.ceil() if how == "ceil" else value.floor()

    return native


def _integer_extreme(call: Call, values: list[pl.Expr]) -> pl.Expr | None:
    import polars as pl

    if call.type is not Type.INT:
        return None
    return pl.min_horizontal(values) if call.function == "Min" else pl.max_horizontal(values)


NATIVE: dict[str, Native] = {
    "SLeng": _length,
    "BegCmp": _literals,
    "EndCmp": _literals,
    "SubCmp": _literals,
    "SubCmpAll": _literals,
    "MixedCmp": _literals,
    "MixedCmpAll": _literals,
    "Contain": _literals,
    "ContainAll": _literals,
    "PatCmp": _glob,
    "SubStr": _substring,
    "ToF": _to_float,
    "ToI": _to_integer,
    "ToS": _to_string,
    "Ceil": _rounding("ceil"),
    "Floor": _rounding("floor"),
    "Min": _integer_extreme,
    "Max": _integer_extreme,
}
