"""Rows of one key become one, in import order; sorting; and the order in which keys first came.

Merging is a left fold over the rows: ``merge(merge(a) + b) == merge(a + b)``, bit for bit, also for
floating point sums, so that an import may add to what was merged before. The first value of a key
initialises (``min`` is not a minimum with 0). Integer sums wrap at the column's width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
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
    if table.num_rows == 0:
        return table
    return merge_groups(table, layout, Groups.of(table, layout.merge_key))


def merge_groups(table: pa.Table, layout: TableLayout, groups: Groups) -> pa.Table:
    """Return one row for each group of rows, merged; a column without a rule has its first value.

    ``table`` has the layout's columns or some of them.
    """
    import polars as pl
    import pyarrow as pa

    rules = {rule.column: rule for rule in layout.merge}
    firsts, columns = pa.array(groups.firsts), []
    for name in table.column_names:
        if name in rules:
            values = pl.Series(pl.from_arrow(table[name]))
            columns.append(groups.merge(rules[name], values, table[name].type))
        else:
            columns.append(table[name].take(firsts))
    return pa.table(columns, schema=table.schema)


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


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows by key, in groups that are numbered in the order in which their keys first came.

    ``codes[i]`` is the group of row ``i``, ``firsts[g]`` the first row of group ``g``.
    """

    codes: Rows
    firsts: Rows

    @classmethod
    def of(cls, table: pa.Table, key: tuple[str, ...]) -> Groups:
        """Group the rows of a table."""
        import numpy as np
        import pyarrow as pa

        if len(key) == 1 and table[key[0]].num_chunks == 1:
            column = table[key[0]].chunk(0)
            if pa.types.is_string(column.type):
                return cls._of_strings(column)
        leaders = _leaders(table, key)
        firsts = np.flatnonzero(leaders == np.arange(len(leaders)))
        numbers = np.zeros(len(leaders), np.intp)
        numbers[firsts] = np.arange(len(firsts))
        return cls(numbers[leaders], firsts)

    @classmethod
    def _of_strings(cls, column: pa.Array) -> Groups:
        import numpy as np

        coded = column.dictionary_encode("encode")
        codes: Rows = coded.indices.to_numpy().astype(np.intp)
        firsts = np.empty(len(coded.dictionary), np.intp)
        # Of the rows that meet in one place the last one stays: the first, from the end.
        firsts[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
        return cls(codes, firsts)

    def merge(self, rule: MergeRule, values: pl.Series, kind: pa.DataType) -> pa.ChunkedArray:
        """Return the merged column, one value per group."""
        import polars as pl
        import pyarrow as pa

        if rule.how == "add":
            return pa.chunked_array([self._added(values)]).cast(kind)
        column = pl.DataFrame({"group": self.codes, "value": values})
        merged = column.group_by("group", maintain_order=True).agg(_expression(rule, values.dtype))
        return pa.chunked_array([merged["value"].to_arrow()]).cast(kind)

    def _added(self, values: pl.Series) -> pa.Array:
        """Add numbers one after the other: another order of additions rounds floats differently.

        Integers wrap.
        """
        import numpy as np
        import pyarrow as pa

        known = values.is_not_null().to_numpy()
        addends = values.drop_nulls().to_numpy()
        sums = np.zeros(len(self.firsts), addends.dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # inf and NaN are sums, too
            np.add.at(sums, self.codes[known], addends)
        unseen = np.ones(len(sums), bool)
        unseen[self.codes[known]] = False
        return pa.array(sums, mask=unseen)


def _expression(rule: MergeRule, dtype: Any) -> pl.Expr:
    import polars as pl

    value = pl.col("value")
    pending = value.filter(_not_blank(value, dtype)) if rule.nozero else value
    if rule.how in {"first", "last"}:
        chosen = pending.first() if rule.how == "first" else pending.last()
        # Nothing but zeros and blanks: the key has its first one.
        return chosen.fill_null(value.first()) if rule.nozero else chosen
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
