"""Rows of one key become one, in import order; sorting; and the order in which keys first came.

Merging is a left fold over the rows: ``merge(merge(a) + b) == merge(a + b)``, bit for bit, also for
floating point sums, so that an import may add to what was merged before. The first value of a key
initialises (``min`` is not a minimum with 0). Integer sums wrap at the column's width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ess_dask.tables.layout import ORDER, MergeRule, TableLayout

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl
    import pyarrow as pa

    Rows = npt.NDArray[np.intp]


def arrange(table: pa.Table, layout: TableLayout) -> pa.Table:
    """Return a partition's rows as the layout wants them: merged and sorted."""
    if layout.merges:
        table = merge_rows(table, layout)
    return sort_rows(table, layout.sort) if layout.sort else table


def merge_rows(table: pa.Table, layout: TableLayout) -> pa.Table:
    """Return one row per ``layout.merge_key``, in the order in which the keys first came."""
    import numpy as np
    import polars as pl
    import pyarrow as pa

    if table.num_rows == 0:
        return table
    leaders = _leaders(table, layout.merge_key)
    firsts = np.flatnonzero(leaders == np.arange(len(leaders)))
    merged = {name: table[name].take(pa.array(firsts)) for name in layout.merge_key}
    grouped = _Groups(pl.DataFrame(pl.from_arrow(table)), leaders, firsts)
    for rule in layout.merge:
        merged[rule.column] = grouped.merge(rule, table[rule.column].type)
    if layout.ordered:
        merged[ORDER] = table[ORDER].take(pa.array(firsts))
    return pa.table([merged[name] for name in table.column_names], schema=table.schema)


def sort_rows(table: pa.Table, columns: tuple[str, ...]) -> pa.Table:
    """Return the rows sorted by ``columns``, nulls first, ties as they were."""
    import polars as pl
    import pyarrow as pa

    frame = pl.DataFrame(pl.from_arrow(table.select(list(columns))))
    rows = frame.select(pl.arg_sort_by(frame.columns, maintain_order=True)).to_series()
    return table.combine_chunks().take(pa.array(rows.to_numpy()))


def key_order(table: pa.Table, key: tuple[str, ...]) -> pa.Table:
    """Return an ordered table's rows by key: keys in the order they first came, rows as imported.

    ``table`` holds ``ORDER``; so does the result.
    """
    import polars as pl
    import pyarrow as pa

    names = [*dict.fromkeys((*key, ORDER))]
    frame = pl.DataFrame(pl.from_arrow(table.select(names)))
    first = pl.col(ORDER).min()
    first = first.over(list(key)) if key else first
    rows = frame.select(pl.arg_sort_by([first, pl.col(ORDER)], maintain_order=True)).to_series()
    return table.combine_chunks().take(pa.array(rows.to_numpy()))


class _Groups:
    """Rows in groups, each named by its first row: ``leaders[i]`` is the group of row ``i``."""

    def __init__(self, frame: pl.DataFrame, leaders: Rows, firsts: Rows) -> None:
        self._frame = frame
        self._leaders = leaders
        self._firsts = firsts

    def merge(self, rule: MergeRule, kind: pa.DataType) -> pa.ChunkedArray:
        """Return the merged column, one value per group in the order of ``firsts``."""
        import polars as pl
        import pyarrow as pa

        values = self._frame[rule.column]
        if rule.how == "add" and values.dtype.is_float():
            return pa.chunked_array([self._fold_floats(values)]).cast(kind)
        column = pl.DataFrame({"group": self._leaders, "value": values})
        merged = column.group_by("group", maintain_order=True).agg(_expression(rule, values.dtype))
        return pa.chunked_array([merged["value"].to_arrow()]).cast(kind)

    def _fold_floats(self, values: pl.Series) -> pa.Array:
        """Add floats one after the other: any other order of additions rounds differently."""
        import numpy as np
        import pyarrow as pa

        known = values.is_not_null().to_numpy()
        sums = np.zeros(len(values), dtype=values.fill_null(0.0).to_numpy().dtype)
        np.add.at(sums, self._leaders[known], values.drop_nulls().to_numpy())
        seen = np.zeros(len(values), dtype=bool)
        seen[self._leaders[known]] = True
        return pa.array(sums[self._firsts], mask=~seen[self._firsts])


def _expression(rule: MergeRule, dtype: Any) -> pl.Expr:
    import polars as pl

    value = pl.col("value")
    pending = value.filter(_not_blank(value, dtype)) if rule.nozero else value
    if rule.how in {"first", "last"}:
        chosen = pending.first() if rule.how == "first" else pending.last()
        # Nothing but zeros and blanks: the key has its first one.
        return chosen.fill_null(value.first()) if rule.nozero else chosen
    if rule.how == "add":
        wide = pl.UInt64 if dtype.is_unsigned_integer() else pl.Int64
        summed = value.drop_nulls().cast(wide).sum().cast(dtype, wrap_numerical=True)
        return pl.when(value.is_not_null().any()).then(summed)
    if rule.how == "bor":
        return value.bitwise_or()
    extreme = pending.min() if rule.how == "min" else pending.max()
    return extreme.fill_null(value.first()) if rule.nozero else extreme


def _not_blank(value: pl.Expr, dtype: Any) -> pl.Expr:
    import polars as pl

    if dtype.is_numeric():
        return value != 0
    return value != "" if dtype == pl.String else value.is_not_null()


def _leaders(table: pa.Table, key: tuple[str, ...]) -> Rows:
    """Return for each row the first row with the same key."""
    import numpy as np
    import polars as pl

    rows = np.arange(table.num_rows)
    if not key:
        return np.zeros_like(rows)
    columns = {str(place): pl.Series(pl.from_arrow(table[n])) for place, n in enumerate(key)}
    frame = pl.DataFrame({**columns, "row": rows})
    leaders: Rows = frame.select(pl.col("row").first().over(list(columns))).to_series().to_numpy()
    return leaders
