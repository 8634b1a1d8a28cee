"""One batch on its way through the rules: rows as a frame, and what they leave behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any

from ess_dask.aq.kinds import Kind, Type, Value
from ess_dask.aq.program import Import
from ess_dask.aq.tree import Reference
from ess_dask.aq.vector.blocks import column_type
from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import polars as pl

ROW = "row"
"""Name of the column with the number of a row's record."""


class NeedsRows(Exception):  # noqa: N818 - a way to go, not an error
    """The batch holds something that only the row interpreter does exactly as it should be."""


@dataclass(slots=True)
class Batch:
    """A batch, its first record number and what its rows have done so far.

    Nothing of it is seen outside before ``commit``: a batch may still have to start again, row by
    row. ``logs`` has, by variable, the rows that set it and the values it had behind them.
    """

    kinds: tuple[Kind, ...]
    variables: list[Value]
    start: int
    height: int
    emitted: list[tuple[int, pl.DataFrame]] = field(default_factory=list)
    imported: list[tuple[Import, pl.DataFrame]] = field(default_factory=list)
    logs: dict[int, pl.DataFrame] = field(default_factory=dict)
    written: int = 0


def blank(kind: Kind) -> pl.Expr:
    """Return the blank value of a column."""
    import polars as pl

    return pl.lit(kind.blank, dtype=column_type(kind))


def slot_column(frame: pl.DataFrame, slot: int, kind: Kind) -> pl.Expr:
    """Return the column of a slot; blank where no rule has made it yet."""
    import polars as pl

    name = f"s{slot}"
    return pl.col(name) if name in frame.columns else blank(kind)


def variable_name(slot: int) -> str:
    """Return the name of the column with a variable's value behind each row."""
    return f"v{slot}"


def variable_column(
    frame: pl.DataFrame, source: Reference, batch: Batch
) -> tuple[pl.DataFrame, pl.Expr]:
    """Return a frame that has the value of a variable for each row, and its column."""
    import polars as pl

    name = variable_name(source.slot)
    if name in frame.columns:
        return frame, pl.col(name)
    before = pl.lit(batch.variables[source.slot], dtype=column_type(source.kind))
    log = batch.logs.get(source.slot)
    if log is None or not log.height:
        return frame, before
    joined = frame.join_asof(log, on=ROW, strategy="backward")
    return joined.with_columns(pl.col(name).fill_null(before)), pl.col(name)


def values_of(series: pl.Series, function: Callable[[Any], Any]) -> list[Any]:
    """Return the results of a pure function of one argument, for each value computed once."""
    values = series.to_list()
    if series.dtype.is_float():
        # 0 and -0 would be one value.
        return [function(value) for value in values]
    different = set(values)
    if 2 * len(different) > len(values):
        return [function(value) for value in values]
    known = {value: function(value) for value in different}
    return [known[value] for value in values]


def result_type(type_: Type) -> type[pl.DataType]:
    """Return the type of an expression's values in frames."""
    import polars as pl

    return {Type.INT: pl.Int64, Type.FLOAT: pl.Float64}.get(type_, pl.String)
