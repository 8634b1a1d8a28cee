"""A run by batches: blocks in, rules over columns, bytes out in order.

Blocks that need no earlier one are worked on side by side; what they leave is committed in the
order of the input. A block that columns cannot do exactly goes through the row interpreter when its
turn comes, and the run goes on by batches behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ess_dask.aq.inputs.opening import label_of
from ess_dask.aq.inputs.reading import FilePlace, Row, Typing, good_rows, splitter
from ess_dask.aq.inputs.records import Broken, LineSplitter
from ess_dask.aq.kinds import Kind, Value
from ess_dask.aq.program import (
    Combine,
    Grep,
    InputSpec,
    Program,
    Render,
    Rewrite,
    Substitute,
    flat,
)
from ess_dask.aq.rows.chain import Run, compile_chain
from ess_dask.aq.rows.state import State, blank_row
from ess_dask.aq.vector.batch import ROW, Batch, NeedsRows, variable_name
from ess_dask.aq.vector.blocks import Block, BlockReader, cut_blocks
from ess_dask.aq.vector.lines import LineReader
from ess_dask.aq.vector.plan import assigned, is_stateful, used
from ess_dask.aq.vector.rules import Rules
from ess_dask.aq.vector.writing import frame_bytes

if TYPE_CHECKING:
    import polars as pl

Reader = BlockReader | LineReader
_WORKERS = 2
_WINDOW = 3
"""Blocks under way at a time."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a batch leaves: records, rows written, bytes by output, rows to import, variables."""

    records: int
    written: int
    output: tuple[tuple[int, bytes], ...]
    imported: tuple[tuple[Any, Any], ...]
    variables: tuple[tuple[int, Value], ...]


class BatchRun:
    """Runs a program over its inputs by batches."""

    def __init__(self, state: State, block_bytes: int) -> None:
        # Loaded here, not by the threads at the same time.
        import numpy as np
        import polars as pl

        del np, pl
        self._state = state
        self._program: Program = state.program
        self._block_bytes = block_bytes
        self._stateful = is_stateful(self._program)
        self._needed = needed_slots(self._program)
        self._rules = Rules(self._program, state.table)
        self._blank = blank_row(self._program.kinds)
        self._chain: Run | None = None
        for rule in flat(self._program.rules):
            if isinstance(rule, Substitute | Grep | Combine):
                # Loaded before the threads start, so that each table is loaded once.
                state.table(rule)

    def run_file(self, spec: InputSpec, file: str, blocks: Iterator[bytes]) -> None:
        """Run the blocks of one file."""
        reader, place = _reader(spec), FilePlace(label_of(file))
        careful = Careful(spec, self._blank)
        with ThreadPoolExecutor(1 if self._stateful else _WORKERS) as pool:
            under_way: deque[tuple[Block, Future[Done | None]]] = deque()
            source = cut_blocks(blocks, self._block_bytes)
            try:
                for block in source:
                    under_way.append((block, pool.submit(self._work, reader, block)))
                    if len(under_way) >= (1 if self._stateful else _WINDOW):
                        self._take(under_way, spec, place, careful, reader)
                while under_way:
                    self._take(under_way, spec, place, careful, reader)
            finally:
                for _, future in under_way:
                    future.cancel()

    def _take(
        self,
        under_way: deque[tuple[Block, Future[Done | None]]],
        spec: InputSpec,
        place: FilePlace,
        careful: Careful,
        reader: Reader,
    ) -> None:
        block, future = under_way.popleft()
        if careful.unfinished:
            # The record before goes on in this block: what was made of it is void.
            future.cancel()
            block = Block(careful.join(block.data), block.final)
            done = self._work(reader, block)
        else:
            done = future.result()
        if done is None:
            self._run_rows(careful.rows(block), spec, place)
        else:
            place.records += done.records
            self._commit(done)

    def _run_rows(self, found: Iterator[Row | Broken], spec: InputSpec, place: FilePlace) -> None:
        if self._chain is None:
            self._chain = compile_chain(self._program.rules, self._state, lambda _: None)
        for row in good_rows(found, spec, self._state.counts, place):
            self._chain(row)

    def _work(self, reader: Reader, block: Block) -> Done | None:
        """Return what a block leaves; None if it needs the row interpreter."""
        frame = reader.read(block.data)
        if frame is None:
            return None
        batch = Batch(
            self._program.kinds, self._state.variables, self._state.counts.records + 1, frame.height
        )
        frame = self._prepared(frame, batch)
        try:
            self._rules.run(self._program.rules, frame, batch)
        except NeedsRows:
            return None
        return self._done(batch)

    def _prepared(self, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        import polars as pl

        kept = [name for name in frame.columns if int(name[1:]) in self._needed]
        row = pl.int_range(batch.start, batch.start + batch.height, dtype=pl.Int64).alias(ROW)
        return frame.select(row, *kept) if self._stateful or not kept else frame.select(kept)

    def _done(self, batch: Batch) -> Done:
        outputs = self._program.outputs
        written = tuple((at, frame_bytes(left, outputs[at])) for at, left in batch.emitted)
        imported = tuple(
            (rule, _arrow(left, rule.request.columns)) for rule, left in batch.imported
        )
        variables = tuple(
            (slot, log[variable_name(slot)][-1]) for slot, log in batch.logs.items() if log.height
        )
        return Done(batch.height, batch.written, written, imported, variables)

    def _commit(self, done: Done) -> None:
        state = self._state
        state.counts.records += done.records
        state.written += done.written
        for at, data in done.output:
            state.writers[at].target().write(data)
        for rule, table in done.imported:
            state.import_waiting(rule.index, rule.request)
            state.importers[rule.index].add(table)
        for slot, value in done.variables:
            state.variables[slot] = value


def _reader(spec: InputSpec) -> Reader:
    return LineReader(spec) if spec.format.name in ("div", "fix") else BlockReader(spec)


class Careful:
    """Records of irregular blocks one by one; the last one may go on in the next block."""

    def __init__(self, spec: InputSpec, blank: Row) -> None:
        self._splitter = splitter(spec)
        self._typing = Typing(spec, blank)

    @property
    def unfinished(self) -> str:
        """The text of the record that the last block left open, '' for none."""
        return self._splitter.unfinished if isinstance(self._splitter, LineSplitter) else ""

    def join(self, data: bytes) -> bytes:
        """Return the open record and the block behind it."""
        assert isinstance(self._splitter, LineSplitter)
        text, self._splitter.unfinished = self._splitter.unfinished, ""
        # Its lines lost their CR when they were read, and lose one again: what is left is data.
        return (text + "\n").replace("\n", "\r\n").encode("latin-1") + data

    def rows(self, block: Block) -> Iterator[Row | Broken]:
        """Yield the rows of a block."""
        blocks = (block.data,)
        if isinstance(self._splitter, LineSplitter):
            records = self._splitter.records(blocks, final=block.final)
        else:
            records = self._splitter.records(blocks)
        for record in records:
            yield record if isinstance(record, Broken) else self._typing.row(record)


def needed_slots(program: Program) -> set[int]:
    """Return the slots that any rule or output reads."""
    found: set[int] = set()
    for rule in flat(program.rules):
        found.update(r.slot for r in (*used(rule, program), *assigned(rule)) if not r.variable)
        if isinstance(rule, Render | Rewrite):
            found.update(slot for _, slot in rule.slots)
    return found


def _arrow(left: pl.DataFrame, columns: Any) -> Any:
    import pyarrow as pa

    from ess_dask.aq.tables import arrow_type

    arrays = []
    for at, (_, reference) in enumerate(columns):
        series = left[f"o{at}"]
        array = series.to_arrow()
        if reference.kind is Kind.S:
            if series.str.len_bytes().sum() != series.str.len_chars().sum():
                array = pa.array([text.encode("latin-1") for text in series.to_list()], pa.binary())
            else:
                array = array.cast(pa.large_string()).cast(pa.binary())
        arrays.append(array.cast(arrow_type(reference.kind)))
    return pa.table(arrays, names=[name for name, _ in columns])
