"""Rows of an import on their way to a segment: those that will merge anyway merge at once.

Merging is a left fold over the rows. Where it is associative, what an import brings for a key may
be folded before it meets what is there. A floating point sum is not: its rows are folded here only
onto nothing, that is while the object is empty, so that every digit is that of row after row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.tables.layout import ORDER

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.tables.layout import TableLayout
    from ess_dask.tables.segment import Segment, SegmentWriter

FOLD_ROWS = 1 << 20
"""Rows that wait before they are folded: fewer would fold the same keys again and again."""
HOLD_ROWS = 1 << 22
"""Different keys that wait in memory; more of them go to the segment, and others follow."""


class Merger:
    """Writes rows, merged as far as they may be. ``fresh``: the object has no rows yet."""

    def __init__(self, writer: SegmentWriter, layout: TableLayout, *, fresh: bool) -> None:
        self._writer = writer
        self._layout = layout
        self._sums_floats = _sums_floats(layout)
        self._folds = layout.merges and (fresh or not self._sums_floats)
        self._folded = layout.stored_schema.empty_table()
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._seen = 0

    def add(self, table: pa.Table) -> None:
        """Take rows with the layout's schema."""
        import numpy as np
        import pyarrow as pa

        if not table.num_rows:
            return
        numbers = np.arange(self._seen, self._seen + table.num_rows, dtype=np.int64)
        table = table.append_column(pa.field(ORDER, pa.int64()), pa.array(numbers))
        self._seen += table.num_rows
        if not self._folds:
            self._writer.add(table)
            return
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        if self._waiting_rows >= max(FOLD_ROWS, self._folded.num_rows):
            self._fold()

    def close(self) -> Segment | None:
        """Return the finished segment, None if there were no rows."""
        if self._waiting:
            self._fold()
        if self._folded.num_rows:
            self._writer.add(self._folded)
        if self._seen:
            return self._writer.close()
        self._writer.abort()
        return None

    def abort(self) -> None:
        """Remove what was written."""
        self._writer.abort()

    def _fold(self) -> None:
        import pyarrow as pa

        from ess_dask.tables.merge import merge_rows

        self._folded = merge_rows(pa.concat_tables([self._folded, *self._waiting]), self._layout)
        self._waiting, self._waiting_rows = [], 0
        if self._folded.num_rows >= HOLD_ROWS:
            self._writer.add(self._folded)
            self._folded = self._layout.stored_schema.empty_table()
            # What comes now is folded onto something.
            self._folds = not self._sums_floats


def _sums_floats(layout: TableLayout) -> bool:
    import pyarrow as pa

    return any(
        rule.how == "add" and pa.types.is_floating(layout.schema.field(rule.column).type)
        for rule in layout.merge
    )
