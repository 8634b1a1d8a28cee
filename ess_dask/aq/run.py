"""A program from start to end."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from typing import TypeGuard

from ess_dask.aq.inputs.opening import label_of
from ess_dask.aq.inputs.reading import FilePlace, Inputs, Row, good_rows, typed_rows
from ess_dask.aq.link import Rows, expected_behind, rows_in_front
from ess_dask.aq.parsing.tokens import as_path
from ess_dask.aq.program import Program
from ess_dask.aq.rows.chain import compile_chain
from ess_dask.aq.rows.state import RunEnded, State, blank_row, exported
from ess_dask.aq.stores import Store
from ess_dask.aq.surroundings import complain
from ess_dask.aq.vector.blocks import BLOCK_BYTES, SMALL_BYTES
from ess_dask.aq.vector.plan import why_rows

_MARK_EVERY = 10_000_000
"""Records between two marks of ``-verb``."""


def run_program(
    program: Program,
    inputs: Inputs,
    store: Store,
    *,
    block_bytes: int = BLOCK_BYTES,
    small_bytes: int = SMALL_BYTES,
) -> State:
    """Run a program; outputs are closed and imports visible when it returns.

    Inputs under ``small_bytes`` are run row by row, others by blocks of ``block_bytes``.
    """
    state = State.of(program, inputs, store)
    by_rows = bool(why_rows(program))
    try:
        state.open_outputs(None if by_rows else expected_behind(program))
        if by_rows:
            run_rows(state)
        else:
            run_batches(state, block_bytes, small_bytes)
    except RunEnded:
        pass
    except BaseException:
        # What was right before the error leaves all the same, as it would from a stream.
        state.abort_imports()
        state.targets.close()
        raise
    state.finish()
    return state


def run_rows(state: State) -> None:
    """Send every row of the inputs through the rules."""
    chain = compile_chain(state.program.rules, state, lambda _: None)
    for row in rows_of(state):
        chain(row)
        if state.last_record:
            return
        if state.program.verbose and state.counts.records % _MARK_EVERY == 0:
            complain(f"aq_pp: {state.counts.records} records\n")


def run_batches(state: State, block_bytes: int, small_bytes: int) -> None:
    """Send the inputs through the rules by batches; row by row while all of it is small."""
    from ess_dask.aq.vector.blocks import gather

    batches = None
    chain = compile_chain(state.program.rules, state, lambda _: None)
    blank = blank_row(state.program.kinds)
    with contextlib.ExitStack() as stack:
        files = [(spec, file) for spec in state.program.inputs for file in spec.files]
        for spec, file in files:
            if batches is not None and not os.path.isfile(as_path(file)):  # noqa: PTH113 - bytes
                # Who writes into a pipe may wait for what came of the file before.
                batches.finish()
            source = rows_in_front(spec, file) or state.inputs.blocks(spec, file)
            blocks = gather(source, small_bytes)
            first, second = next(blocks, b""), next(blocks, None)
            if batches is None and second is None and _is_small(first, small_bytes):
                place = FilePlace(label_of(file))
                found = typed_rows(spec, (first,), blank)
                for row in good_rows(found, spec, state.counts, place):
                    chain(row)
                continue
            if batches is None:
                from ess_dask.aq.vector.engine import BatchRun

                batches = stack.enter_context(BatchRun(state, block_bytes))
            head = (first,) if second is None else (first, second)
            batches.run_file(spec, file, itertools.chain(head, blocks))


def _is_small(block: bytes | Rows, small_bytes: int) -> TypeGuard[bytes]:
    return isinstance(block, bytes) and len(block) < small_bytes


def rows_of(state: State) -> Iterator[Row]:
    """Yield the rows of all inputs in their order."""
    blank = blank_row(state.program.kinds)
    for spec in state.program.inputs:
        if not spec.files and state.program.export:
            for row in exported(state.store, state.program.export, spec.slots, blank):
                state.counts.records += 1
                yield row
        else:
            yield from state.inputs.rows(spec, blank, state.counts)


def check_program(program: Program, inputs: Inputs, store: Store) -> None:
    """Do what ``-test -test`` adds: open inputs and stores, load tables, write nothing."""
    state = State.of(program, inputs, store)
    for spec in program.inputs:
        for file in spec.files:
            if file != "-" and not file.startswith(("-,", "fifo@", "connect@", "listen@")):
                next(inputs.blocks(spec, file), b"")
    from ess_dask.aq.program import Emit

    rules = [rule for rule in program.rules if not isinstance(rule, Emit)]
    compile_chain(rules, state, lambda _: None)
