"""Rows of an import on their way to a segment: those that will merge anyway merge at once.

Merging is a left fold over the rows. Where it is associative, what an import brings for a key may
be folded before it meets what is there. A floating point sum is not: its rows are folded only onto
what is there already, so that every digit is that of row after row. They replace it then, unless
it has changed in the meantime; for this case all rows are kept aside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeGuard

from ess_dask.tables.layout import ORDER
from ess_dask.udb.spill import Spill

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.tables.fold import Block
    from ess_dask.tables.layout import TableLayout
    from ess_dask.tables.segment import Segment, SegmentWriter

FOLD_ROWS = 1 << 20
"""Rows that wait before they are folded: fewer would fold the same keys again and again."""
HOLD_ROWS = 1 << 22
"""Different keys that wait in memory; more of them go to the segment, and others follow."""

Beginning = Callable[[int], "tuple[pa.Table, int] | None"]
"""Asked how to go on with so many rows: what is there, and where ``ORDER`` goes on; or None."""


class Merger:
    """Writes rows, merged as far as they may be.

    ``beginning`` is asked once for the rows to fold onto, where it matters. ``replaces``: the
    segment holds those rows, too.
    """

    def __init__(
        self, writer: SegmentWriter, layout: TableLayout, beginning: Beginning | None
    ) -> None:
        from ess_dask.tables.fold import float_sums

        sums_floats = bool(float_sums(layout))
        self.replaces = False
        self._writer = writer
        self._layout = layout
        self._folds = layout.merges and (beginning is not None or not sums_floats)
        self._beginning = beginning if sums_floats else None
        self._spill = Spill() if self._folds and sums_floats else None
        self._folded = layout.stored_schema.empty_table()
        self._waiting: list[Block] = []
        self._waiting_rows = self._seen = self._offset = 0

    def prepare(self, table: pa.Table) -> pa.Table | Block:
        """Return rows with the layout's schema as ``add`` takes them. Threads may call it."""
        from ess_dask.tables.fold import grouped

        return grouped(table, self._layout) if self._folds and table.num_rows else table

    def add(self, ready: pa.Table | Block) -> None:
        """Take rows that were prepared."""
        if not ready.num_rows:
            return
        if self._spill is not None:
            self._spill.add(ready)
        start, self._seen = self._seen, self._seen + ready.num_rows
        if not self._folds or is_table(ready):
            self._write(ready, start)
            return
        self._waiting.append(ready.at(start))
        self._waiting_rows += ready.num_rows
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

    def again(self, writer: SegmentWriter) -> Segment:
        """Return all rows as another segment that replaces nothing; for one that ``replaces``."""
        assert self._spill is not None
        self.replaces, self._folds, self._offset, start = False, False, 0, 0
        self._writer = writer
        for ready in self._spill.read():
            self._write(ready, start)
            start += ready.num_rows
        return writer.close()

    def release(self) -> None:
        """Let go what was kept aside."""
        if self._spill is not None:
            self._spill.close()

    def abort(self) -> None:
        """Remove what was written."""
        self.release()
        self._writer.abort()

    def _write(self, ready: pa.Table | Block, start: int) -> None:
        if is_table(ready):
            self._writer.add(_numbered(ready, start + self._offset))
        else:
            self._writer.add(ready.at(start + self._offset).rows(self._layout))

    def _fold(self) -> None:
        from ess_dask.tables.fold import fold

        self._begin()
        blocks, self._waiting, self._waiting_rows = self._waiting, [], 0
        if not self._folds:
            for block in blocks:
                self._write(block, block.start)
            return
        placed = [block.at(block.start + self._offset) for block in blocks]
        self._folded = fold(self._folded, placed, self._layout)
        if self._folded.num_rows >= HOLD_ROWS:
            self._writer.add(self._folded)
            self._folded = self._layout.stored_schema.empty_table()
            # Floats that come now would have to be added to those that were written.
            self._folds = self._spill is None

    def _begin(self) -> None:
        """Find out, before the first rows are folded, what they are folded onto."""
        if self._beginning is None:
            return
        found, self._beginning = self._beginning(self._waiting_rows), None
        if found is None:
            self._folds = False
            self.release()
            self._spill = None
        else:
            self._folded, self._offset = found
            self.replaces = True


def is_table(ready: pa.Table | Block) -> TypeGuard[pa.Table]:
    """Whether rows are not grouped."""
    import pyarrow as pa

    return isinstance(ready, pa.Table)


def _numbered(table: pa.Table, start: int) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    numbers = np.arange(start, start + table.num_rows, dtype=np.int64)
    return table.append_column(pa.field(ORDER, pa.int64()), pa.array(numbers))
