"""The rows of one file that a query keeps, as frames of the columns it needs.

Blocks are read and filtered by columns; one that only the row interpreter does exactly (the filter
fails for a row) goes through it. The rows are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from typing import TYPE_CHECKING

from ess_dask.aq.inputs.reading import FilePlace, Inputs, Row, good_rows
from ess_dask.aq.program import Program
from ess_dask.aq.rows.chain import compile_chain
from ess_dask.aq.rows.state import State, blank_row
from ess_dask.aq.stores import NoStore
from ess_dask.aq.surroundings import Surroundings, within
from ess_dask.aq.tree import Reference
from ess_dask.aq.vector.blocks import BLOCK_BYTES, Block, column_type, cut_blocks, gather
from ess_dask.aq.vector.plan import is_stateful, why_rows
from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import polars as pl

    from ess_dask.aq.vector.delimited import DelimitedReader


_QUIET = Surroundings(complain=lambda text: None)
"""A query tells the number of rows that it left out, not each of them."""


@dataclass(slots=True)
class FileRows:
    """Reads the text of one file; ``records``, ``bad`` and ``failed`` count while it is read.

    ``bad`` records do not fit the columns, on ``failed`` ones the filter could not be evaluated.
    """

    program: Program
    needed: tuple[Reference, ...]
    records: int = 0
    bad: int = 0
    failed: int = 0
    _state: State = field(init=False)
    _blank: Row = field(init=False)
    _unfinished: bytes = b""
    _run: Callable[[Row], None] = field(init=False)
    _taken: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._state = State.of(self.program, Inputs(), NoStore())
        self._blank = blank_row(self.program.kinds)
        self._run = compile_chain(self.program.rules, self._state, self._taken.append)

    def frames(self, blocks: Iterable[bytes], size: int = BLOCK_BYTES) -> Iterator[pl.DataFrame]:
        """Yield the rows of a text that the filter keeps: columns ``s<slot>`` of ``needed``.

        A frame without columns cannot be: there is at least one, whatever it is. Blocks have
        about ``size`` bytes.
        """
        reader = self._reader()
        for block in cut_blocks(iter(blocks), size):
            if self._unfinished:
                # The record before goes on in this block.
                block = Block(self._unfinished + block.data, block.final)
                self._unfinished = b""
            if not block.data:
                continue
            frame = self._by_columns(reader, block) if reader else None
            yield self._frame(self._by_rows(block)) if frame is None else frame

    def first(self, blocks: Iterable[bytes], most: int, size: int) -> list[Row] | None:
        """Return the first rows of a text that the filter keeps, ``most`` (1 or more) at most.

        They are read one record at a time. ``None`` if they, or the end of the text, do
        not come within ``size`` bytes.
        """
        # A line is not read to its end: it may have none.
        data = next(gather(iter(blocks), size + 1), b"")
        ended = len(data) <= size
        if not ended:
            data = data[: data.rfind(b"\n", 0, size) + 1]
        kept = self._by_rows(Block(data, ended), most)
        return kept if ended or len(kept) == most else None

    def _reader(self) -> DelimitedReader | None:
        from ess_dask.aq.vector.delimited import DelimitedReader
        from ess_dask.aq.vector.engine import needed_slots

        # A row's number counts bad records, too: it is known where they are read one by one.
        if why_rows(self.program) or is_stateful(self.program):
            return None
        slots = {column.slot for column in self.needed} | needed_slots(self.program)
        return DelimitedReader(self.program.inputs[0], self._blank, slots)

    def _by_columns(self, reader: DelimitedReader, block: Block) -> pl.DataFrame | None:
        from ess_dask.aq.vector.batch import Batch, NeedsRows
        from ess_dask.aq.vector.rules import Rules

        reading = reader.read(block)
        batch = Batch(self.program.kinds, self._state.variables, 1, reading.frame.height)
        try:
            rules = Rules(self.program, self._state.table)
            left = rules.run(self.program.rules, reading.frame, batch)
        except NeedsRows:
            return None
        self.records += reading.records
        self.bad += len(reading.bad)
        self._unfinished = reading.unfinished
        return left

    def _by_rows(self, block: Block, most: int | None = None) -> list[Row]:
        """Return the rows of a block, no more than ``most``; what is behind them is not counted."""
        from ess_dask.aq.vector.reading import RecordRun

        state, spec = self._state, self.program.inputs[0]
        before = state.counts.records, state.counts.errors, state.failed
        records = RecordRun(spec, self._blank, block)
        with within(_QUIET):
            for row in good_rows(records, spec, state.counts, FilePlace("")):
                self._run(row)
                if len(self._taken) == most:
                    break
        self._unfinished = records.unfinished
        self.records += state.counts.records - before[0]
        self.bad += state.counts.errors - before[1]
        self.failed += state.failed - before[2]
        rows = self._taken.copy()
        self._taken.clear()
        return rows

    def _frame(self, rows: list[Row]) -> pl.DataFrame:
        import polars as pl

        columns = self.needed or (Reference(0, "", self.program.kinds[0]),)
        schema = {f"s{column.slot}": column_type(column.kind) for column in columns}
        return pl.DataFrame(
            [[row[column.slot] for column in columns] for row in rows], schema, orient="row"
        )
