"""The rows of one file that a query keeps, as frames of the columns it needs.

Blocks are sifted and filtered by columns; what only the row interpreter does exactly (quotes gone
wrong, a filter that fails for a row) goes through it, block by block. The rows are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ess_dask.aq.inputs.reading import FilePlace, Inputs, Row, good_rows
from ess_dask.aq.program import Program
from ess_dask.aq.rows.chain import compile_chain
from ess_dask.aq.rows.state import State, blank_row
from ess_dask.aq.stores import NoStore
from ess_dask.aq.tree import Reference
from ess_dask.aq.vector.blocks import BLOCK_BYTES, Block, column_type, cut_blocks
from ess_dask.aq.vector.plan import is_stateful, why_rows

if TYPE_CHECKING:
    import polars as pl

    from ess_dask.aq.vector.engine import Careful
    from ess_dask.aq.vector.sieve import Sieve


@dataclass(slots=True)
class QuietState(State):
    """A state that only counts the rows that an evaluation failed on."""

    def complain(self, text: str) -> None:
        """Count a row."""
        self.failed += 1


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
    _state: QuietState = field(init=False)
    _blank: Row = field(init=False)

    def __post_init__(self) -> None:
        self._state = QuietState.of(self.program, Inputs(), NoStore())  # type: ignore[assignment]
        self._blank = blank_row(self.program.kinds)

    def frames(self, blocks: Iterable[bytes], size: int = BLOCK_BYTES) -> Iterator[pl.DataFrame]:
        """Yield the rows of a text that the filter keeps: columns ``s<slot>`` of ``needed``.

        A frame without columns cannot be: there is at least one, whatever it is. Blocks have
        about ``size`` bytes.
        """
        from ess_dask.aq.vector.engine import Careful

        careful, sieve = Careful(self.program.inputs[0], self._blank), self._sieve()
        run, taken = self._interpreter()
        for block in cut_blocks(iter(blocks), size):
            if careful.unfinished:
                block = Block(careful.join(block.data), block.final)
            if not block.data:
                continue
            frame = self._by_columns(sieve, block) if sieve else None
            yield self._by_rows(careful, block, run, taken) if frame is None else frame

    def _sieve(self) -> Sieve | None:
        from ess_dask.aq.vector.engine import needed_slots
        from ess_dask.aq.vector.sieve import Sieve

        # A row's number counts bad records, too: it is known where they are read one by one.
        if why_rows(self.program) or is_stateful(self.program):
            return None
        slots = {column.slot for column in self.needed} | needed_slots(self.program)
        return Sieve(self.program.inputs[0], slots, self._blank)

    def _interpreter(self) -> tuple[Callable[[Row], None], list[Row]]:
        taken: list[Row] = []
        return compile_chain(self.program.rules, self._state, taken.append), taken

    def _by_columns(self, sieve: Sieve, block: Block) -> pl.DataFrame | None:
        from ess_dask.aq.vector.batch import Batch, NeedsRows
        from ess_dask.aq.vector.rules import Rules

        sifted = sieve.sift(block.data, final=block.final)
        if sifted is None:
            return None
        batch = Batch(self.program.kinds, self._state.variables, 1, sifted.frame.height)
        try:
            rules = Rules(self.program, self._state.table)
            left = rules.run(self.program.rules, sifted.frame, batch)
        except NeedsRows:
            return None
        self.records += sifted.records
        self.bad += sifted.bad
        return left

    def _by_rows(
        self, careful: Careful, block: Block, run: Callable[[Row], None], taken: list[Row]
    ) -> pl.DataFrame:
        import polars as pl

        state, spec = self._state, self.program.inputs[0]
        before = state.counts.records, state.counts.errors, state.failed
        for row in good_rows(careful.rows(block), spec, state.counts, FilePlace("")):
            run(row)
        self.records += state.counts.records - before[0]
        self.bad += state.counts.errors - before[1]
        self.failed += state.failed - before[2]
        columns = self.needed or (Reference(0, "", self.program.kinds[0]),)
        schema = {f"s{column.slot}": column_type(column.kind) for column in columns}
        frame = pl.DataFrame(
            [[row[column.slot] for column in columns] for row in taken], schema, orient="row"
        )
        taken.clear()
        return frame
