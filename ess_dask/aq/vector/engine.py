"""A run by batches: blocks in, rules over columns, bytes out in order.

Blocks that need no earlier one are worked on side by side; what they leave is committed in the
order of the input. A block that columns cannot do exactly goes through the row interpreter when its
turn comes, and the run goes on by batches behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from ess_dask.aq.inputs.opening import label_of
from ess_dask.aq.inputs.reading import FilePlace, good_rows
from ess_dask.aq.kinds import Kind, Value
from ess_dask.aq.link import Rows, survives
from ess_dask.aq.program import (
    Combine,
    Grep,
    Import,
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
from ess_dask.aq.vector.blocks import Block, cut_blocks
from ess_dask.aq.vector.delimited import DelimitedReader
from ess_dask.aq.vector.lines import LineReader
from ess_dask.aq.vector.plan import assigned, is_stateful, used
from ess_dask.aq.vector.reading import BadRecord, Reading, RecordRun
from ess_dask.aq.vector.rules import Rules
from ess_dask.aq.vector.writing import column_name, frame_bytes
from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import polars as pl

Reader = DelimitedReader | LineReader
_WORKERS = 2
_WINDOW = 4
"""Blocks under way at a time: those at work, and as many that wait."""
_PARTS, _CUTS = 8, 2
"""A block with a row that columns cannot do is cut into so many parts, and so are these again."""
_STRETCH_BYTES = 128 << 10
"""No part is smaller than that; row by row it is as quick."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a batch leaves: records, rows written, bytes by output, rows to import, variables.

    ``bad`` and ``unfinished`` are those of its ``Reading``.
    """

    records: int
    written: int
    output: tuple[tuple[int, bytes | Rows], ...]
    imported: tuple[tuple[Import, Any], ...]
    variables: tuple[tuple[int, Value], ...]
    bad: tuple[BadRecord, ...]
    unfinished: bytes


@dataclass(slots=True)
class _Source:
    """A file that is run: its reader, and how far it has come."""

    spec: InputSpec
    place: FilePlace
    reader: Reader
    unfinished: bytes = b""

    def read(self, block: Block | Rows) -> Reading:
        """Return what a block holds. Threads may call it."""
        if isinstance(block, Rows):
            return read_rows(block, self.spec)
        return self.reader.read(block)

    def joined(self, block: Block) -> Block:
        """Return a block with the record in front of it that goes on in it."""
        text, self.unfinished = self.unfinished, b""
        return Block(text + block.data, block.final) if text else block


UnderWay = deque[tuple[_Source, Block | Rows, "Future[Done | None]"]]


class BatchRun:
    """Runs a program over its inputs by batches, within a ``with`` block.

    Blocks of the next file are begun while those of the one before are under way.
    """

    def __init__(self, state: State, block_bytes: int) -> None:
        # Loaded here, not by the threads at the same time.
        import numpy as np
        import polars as pl

        from ess_dask.allocator import keep_freed_memory

        del np, pl
        keep_freed_memory()
        self._state = state
        self._program: Program = state.program
        self._block_bytes = block_bytes
        self._stateful = is_stateful(self._program)
        self._needed = needed_slots(self._program)
        self._rules = Rules(self._program, state.table)
        self._blank = blank_row(self._program.kinds)
        self._chain: Run | None = None
        self._under_way: UnderWay = deque()
        self._pool = ThreadPoolExecutor(1 if self._stateful else _WORKERS)
        for rule in flat(self._program.rules):
            if isinstance(rule, Substitute | Grep | Combine):
                # Loaded before the threads start, so that each table is loaded once.
                state.table(rule)

    def run_file(self, spec: InputSpec, file: str, blocks: Iterator[bytes | Rows]) -> None:
        """Run the blocks of one file; the last ones may still be under way when it returns."""
        source = _Source(spec, FilePlace(label_of(file)), self._reader(spec))
        for block in cut_blocks(blocks, self._block_bytes):
            self._under_way.append((source, block, self._pool.submit(self._work, source, block)))
            if len(self._under_way) >= (1 if self._stateful else _WINDOW):
                self._take()

    def finish(self) -> None:
        """Let all blocks that are under way have their effects."""
        while self._under_way:
            self._take()

    def __enter__(self) -> BatchRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish, also where an input broke off: the blocks before that have their effects."""
        try:
            if kind is None or issubclass(kind, Exception):
                self.finish()
        finally:
            self._drop()
            self._pool.shutdown()

    def _drop(self) -> None:
        for _, _, future in self._under_way:
            future.cancel()
        self._under_way.clear()

    def _reader(self, spec: InputSpec) -> Reader:
        form = LineReader if spec.format.name in ("div", "fix") else DelimitedReader
        return form(spec, self._blank, self._needed)

    def _take(self) -> None:
        source, block, future = self._under_way.popleft()
        try:
            if source.unfinished and isinstance(block, Block):
                # The record before goes on in this block: what was made of it is void.
                future.cancel()
                self._run(source, block)
            else:
                self._settle(source, block, future.result())
        except BaseException:
            # The run ends with this block: none behind it has effects.
            self._drop()
            raise

    def _run(self, source: _Source, block: Block, cuts: int = _CUTS) -> None:
        block = source.joined(block)
        self._settle(source, block, self._work(source, block), cuts)

    def _settle(
        self, source: _Source, block: Block | Rows, done: Done | None, cuts: int = _CUTS
    ) -> None:
        """Let a block have its effects; they end where a bad record is one too many."""
        if done is not None and (fatal := self._fatal(source, done)):
            done = self._work(source, block, through=fatal)
        if done is None:
            text = Block(block.text(), final=False) if isinstance(block, Rows) else block
            self._run_parts(source, text, cuts)
        else:
            self._commit(source, done)

    def _fatal(self, source: _Source, done: Done) -> BadRecord | None:
        first = source.place.records + 1
        numbers = [first + record.number for record in done.bad]
        at = self._state.counts.first_over(source.spec, source.place.label, numbers)
        return None if at is None else done.bad[at]

    def _run_parts(self, source: _Source, block: Block, cuts: int) -> None:
        """Run a block of which a row needs the interpreter; most of it still goes by columns."""
        if not cuts or len(block.data) <= _STRETCH_BYTES:
            self._run_rows(source, block)
            return
        for part in block.parts(max(_STRETCH_BYTES, len(block.data) // _PARTS)):
            self._run(source, part, cuts - 1)

    def _run_rows(self, source: _Source, block: Block) -> None:
        if self._chain is None:
            self._chain = compile_chain(self._program.rules, self._state, lambda _: None)
        records = RecordRun(source.spec, self._blank, block)
        for row in good_rows(records, source.spec, self._state.counts, source.place):
            self._chain(row)
        source.unfinished = records.unfinished

    def _work(
        self, source: _Source, block: Block | Rows, through: BadRecord | None = None
    ) -> Done | None:
        """Return what a block leaves, ``through`` a record; None if it needs the interpreter."""
        reading = source.read(block)
        if through:
            reading = reading.through(through)
        frame = reading.frame
        batch = Batch(
            self._program.kinds, self._state.variables, self._state.counts.records + 1, frame.height
        )
        try:
            self._rules.run(self._program.rules, self._prepared(frame, batch), batch)
        except NeedsRows:
            return None
        return self._done(batch, reading)

    def _prepared(self, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        import polars as pl

        if self._stateful:
            return frame.with_columns(pl.col(ROW) + batch.start)
        return frame.drop(ROW) if frame.width > 1 else frame

    def _done(self, batch: Batch, reading: Reading) -> Done:
        written = tuple((at, self._printed(at, left)) for at, left in batch.emitted)
        importers = self._state.importers
        imported = tuple(
            (rule, importers[rule.index].prepare(_arrow(left, rule.request.columns)))
            for rule, left in batch.imported
        )
        variables = tuple(
            (slot, log[variable_name(slot)][-1]) for slot, log in batch.logs.items() if log.height
        )
        return Done(
            reading.records,
            batch.written,
            written,
            imported,
            variables,
            reading.bad,
            reading.unfinished,
        )

    def _printed(self, at: int, left: pl.DataFrame) -> bytes | Rows:
        """Return what an output prints of the rows that are left, as it goes to its target."""
        spec, expected = self._program.outputs[at], self._state.writers[at].expected
        frame = left.select(column_name(place) for place in range(len(spec.columns)))
        if expected is not None and survives(frame, expected):
            return Rows(frame, partial(frame_bytes, frame, spec))
        return frame_bytes(frame, spec)

    def _commit(self, source: _Source, done: Done) -> None:
        state, place = self._state, source.place
        state.counts.records += done.records
        state.written += done.written
        for at, data in done.output:
            state.writers[at].put(data)
        for rule, ready in done.imported:
            state.import_waiting(rule.index, rule.request)
            state.importers[rule.index].add(ready)
        for slot, value in done.variables:
            state.variables[slot] = value
        first = place.records + 1
        place.records += done.records
        source.unfinished = done.unfinished
        for record in done.bad:
            state.counts.drop(source.spec, place.label, first + record.number, record.reason)


def read_rows(rows: Rows, spec: InputSpec) -> Reading:
    """Return rows that another program printed as the columns of an input."""
    import polars as pl

    frame = rows.frame.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias(ROW),
        *(
            pl.col(column_name(at)).alias(f"s{slot}")
            for at, (column, slot) in enumerate(zip(spec.columns, spec.slots, strict=True))
            if column.kind is not None and slot >= 0
        ),
    )
    return Reading(frame, frame.height)


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

    from ess_dask.aq.tables import arrow_type, is_ascii

    arrays = []
    for at, (_, reference) in enumerate(columns):
        series = left[f"o{at}"]
        array = series.to_arrow()
        if reference.kind is Kind.S:
            array = array.cast(pa.large_string())
            if is_ascii(array):
                array = array.cast(pa.binary())
            else:
                array = pa.array([text.encode("latin-1") for text in series.to_list()], pa.binary())
        arrays.append(array.cast(arrow_type(reference.kind)))
    return pa.table(arrays, names=[name for name, _ in columns])
