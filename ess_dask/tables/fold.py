"""Blocks of rows, each grouped by key, folded in their order.

A block is grouped by whoever has time for it; folding then goes through its different keys and
through the floats that are to be summed, which are added one after the other, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.tables.layout import ORDER, TableLayout
from ess_dask.tables.merge import Groups, merge_groups

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Block:
    """Rows by key: ``heads`` has one for each key, merged, without the columns of float sums.

    ``codes[i]`` is the head of row ``i``, ``firsts[h]`` the first row of head ``h``. ``addends``
    are the columns of float sums, by row. ``start`` is added to a row's number for its ``ORDER``.
    """

    heads: pa.Table
    codes: Codes
    firsts: Codes
    addends: pa.Table
    start: int = 0

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self.codes)

    def at(self, start: int) -> Block:
        """Return the block with the ``ORDER`` of its rows counted from ``start``."""
        return replace(self, start=start)

    def placed(self) -> pa.Table:
        """Return the heads with their ``ORDER``."""
        import numpy as np
        import pyarrow as pa

        numbers = self.firsts.astype(np.int64) + self.start
        return self.heads.append_column(pa.field(ORDER, pa.int64()), pa.array(numbers))

    def rows(self, layout: TableLayout) -> pa.Table:
        """Return rows of ``layout.stored_schema`` that merge to what the block's own rows merge to.

        Each has its key's merged values, but sums: the key's first row has all that they have.
        """
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        table = self.placed().take(pa.array(self.codes))
        first = np.zeros(self.num_rows, bool)
        first[self.firsts] = True
        for rule in layout.merge:
            if rule.how == "add" and rule.column in table.column_names:
                at = table.column_names.index(rule.column)
                zero = pa.scalar(0, table[at].type)
                sums = pc.if_else(pa.array(first), table[at], zero)
                table = table.set_column(at, table.field(at), sums)
        for name in self.addends.column_names:
            table = table.append_column(self.addends.field(name), self.addends[name])
        return table.select(layout.stored_schema.names)


def float_sums(layout: TableLayout) -> tuple[str, ...]:
    """Return the columns in which floats are added."""
    import pyarrow as pa

    types = layout.schema
    return tuple(
        rule.column
        for rule in layout.merge
        if rule.how == "add" and pa.types.is_floating(types.field(rule.column).type)
    )


def grouped(table: pa.Table, layout: TableLayout) -> Block:
    """Return rows with ``layout.schema``, without nulls in float sums, as a block."""
    import numpy as np

    summed = float_sums(layout)
    groups = Groups.of(table, layout.merge_key)
    heads = merge_groups(table.drop_columns(list(summed)), layout, groups)
    return Block(
        heads, groups.codes.astype(np.int32), groups.firsts.astype(np.int32), table.select(summed)
    )


def fold(folded: pa.Table, blocks: Sequence[Block], layout: TableLayout) -> pa.Table:
    """Return the rows of ``folded``, one per key, with those of the blocks merged in, in order.

    The result is that of ``merge_rows`` over all rows, bit for bit. Both have
    ``layout.stored_schema`` with ``ORDER``.
    """
    import pyarrow as pa

    summed = float_sums(layout)
    others = [name for name in layout.stored_schema.names if name not in summed]
    heads = [folded.select(others), *(block.placed().select(others) for block in blocks)]
    whole = pa.concat_tables(heads)
    groups = Groups.of(whole, layout.merge_key)
    merged = merge_groups(whole, layout, groups)
    for name in summed:
        sums = _sums(folded[name], [block.addends[name] for block in blocks], blocks, groups)
        merged = merged.append_column(layout.schema.field(name), sums)
    return merged.select(layout.stored_schema.names).cast(layout.stored_schema)


def _sums(
    folded: pa.ChunkedArray,
    addends: Sequence[pa.ChunkedArray],
    blocks: Sequence[Block],
    groups: Groups,
) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    at = len(folded)
    known = folded.is_valid().to_numpy()
    sums = np.zeros(len(groups.firsts), folded.type.to_pandas_dtype())
    unseen = np.ones(len(sums), bool)
    steps = [(groups.codes[:at][known], folded.drop_null())]
    for block, values in zip(blocks, addends, strict=True):
        steps.append((groups.codes[at:][block.codes], values))
        at += block.heads.num_rows
    with np.errstate(over="ignore", invalid="ignore"):  # inf and NaN are sums, too
        for codes, values in steps:
            np.add.at(sums, codes, values.to_numpy())
            unseen[codes] = False
    return pa.array(sums, mask=unseen)
