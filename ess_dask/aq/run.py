"""A program from start to end."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from ess_dask.aq.inputs.reading import Inputs, Row
from ess_dask.aq.program import Program
from ess_dask.aq.rows.chain import compile_chain
from ess_dask.aq.rows.state import RunEnded, State, blank_row, exported
from ess_dask.aq.stores import Store

_MARK_EVERY = 10_000_000
"""Records between two marks of ``-verb``."""


def run_program(program: Program, inputs: Inputs, store: Store) -> State:
    """Run a program; outputs are closed and imports visible when it returns."""
    state = State.of(program, inputs, store)
    state.open_outputs()
    try:
        run_rows(state)
    except RunEnded:
        pass
    except BaseException:
        # What was right before the error has left already, as it would from a stream.
        state.targets.flush()
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
            sys.stderr.write(f"aq_pp: {state.counts.records} records\n")


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
