"""A step's rules over the rows of a table: by columns, or row by row where that cannot be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ess_dask.aq.inputs.reading import Inputs, Row
from ess_dask.aq.lookups import load_table
from ess_dask.aq.outputs.formats import field_formatter
from ess_dask.aq.program import Combine, Grep, Substitute, flat
from ess_dask.aq.rows.chain import compile_chain
from ess_dask.aq.rows.state import RunEnded, State, blank_row
from ess_dask.aq.step_columns import to_arrow, to_series
from ess_dask.aq.step_plan import StepPlan
from ess_dask.aq.stores import NoStore
from ess_dask.aq.vector.batch import ROW, Batch, NeedsRows
from ess_dask.aq.vector.blocks import column_type
from ess_dask.aq.vector.engine import needed_slots
from ess_dask.aq.vector.rules import Rules
from ess_dask.aq.vector.writing import column_name
from ess_dask.clean.protocol import ROW_LABEL
from ess_dask.clean.signals import RowCleanError
from ess_dask.records.arrays import from_numpy

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def run_step(plan: StepPlan, table: pa.Table, labels: pa.ChunkedArray | None) -> pa.Table:
    """Return the result of a plan on a table without the label; ``labels`` come back with it."""
    frame = _frame(plan, table)
    state = _StepState.of(plan.program, Inputs(), NoStore())
    state.tables = _lookups(plan, _signature(plan))
    left = None if plan.by_rows else _by_columns(plan, frame, state)
    return _result(plan, _by_rows(plan, frame, state) if left is None else left, table, labels)


class _StepState(State):
    """Drops a row on which an evaluation fails without a word: the account counts it."""

    def complain(self, text: str) -> None:
        self.failed += 1


def _signature(plan: StepPlan) -> tuple[tuple[str, int, int], ...]:
    """Return which versions of its lookup files a plan would read now."""
    found = []
    for file in plan.lookups:
        with suppress(OSError):  # told when it is opened
            known = os.stat(file)  # noqa: PTH116
            found.append((file, known.st_mtime_ns, known.st_size))
    return tuple(found)


@lru_cache(maxsize=16)
def _lookups(plan: StepPlan, signature: tuple[tuple[str, int, int], ...]) -> dict[int, Any]:
    return {
        id(rule): load_table(rule, Inputs())
        for rule in flat(plan.program.rules)
        if isinstance(rule, Substitute | Grep | Combine)
    }


def _frame(plan: StepPlan, table: pa.Table) -> pl.DataFrame:
    """Return the columns that rules look at, by slot, and the row's number in the last one."""
    import polars as pl

    needed = needed_slots(plan.program)
    columns = {
        f"s{slot}": to_series(table.column(name)) for slot, name in plan.inputs if slot in needed
    }
    number = plan.program.outputs[0].columns[-1].source.slot
    columns[f"s{number}"] = pl.int_range(table.num_rows, dtype=pl.Int64, eager=True)
    return pl.DataFrame(columns)


def _by_columns(plan: StepPlan, frame: pl.DataFrame, state: State) -> pl.DataFrame | None:
    """Return the rows that are left as ``o0``, ``o1`` ..; None if they need the interpreter."""
    import polars as pl

    program = plan.program
    batch = Batch(program.kinds, state.variables, 1, frame.height)
    numbered = frame.with_columns(pl.int_range(1, frame.height + 1, dtype=pl.Int64).alias(ROW))
    try:
        Rules(program, state.table).run(program.rules, numbered, batch)
    except NeedsRows:
        return None
    emitted = [left for _, left in batch.emitted]
    if not emitted:
        return _made(plan, [])
    return _printed(plan, pl.concat(emitted))


def _by_rows(plan: StepPlan, frame: pl.DataFrame, state: State) -> pl.DataFrame:
    collected = _Collected(plan, state)
    state.writers = [collected]  # type: ignore[list-item]
    chain = compile_chain(plan.program.rules, state, lambda _: None)
    with suppress(RunEnded):
        for row in _rows(plan, frame):
            state.counts.records += 1
            chain(row)
            if state.last_record:
                break
    return _printed(plan, _made(plan, collected.rows))


def _rows(plan: StepPlan, frame: pl.DataFrame) -> Iterator[Row]:
    blank = blank_row(plan.program.kinds)
    slots = [int(name[1:]) for name in frame.columns]
    for values in frame.iter_rows():
        row = blank.copy()
        for slot, value in zip(slots, values, strict=True):
            row[slot] = value
        yield row


class _Collected:
    """Takes the place of an output: keeps the values of its columns."""

    def __init__(self, plan: StepPlan, state: State) -> None:
        self._variables = state.variables
        self._columns = [
            (c.source.slot, c.source.variable) for c in plan.program.outputs[0].columns
        ]
        self.rows: list[Row] = []

    def write(self, row: Row) -> None:
        """Keep what the output would write of a row now."""
        variables = self._variables
        self.rows.append(
            [variables[slot] if variable else row[slot] for slot, variable in self._columns]
        )


def _made(plan: StepPlan, rows: list[Row]) -> pl.DataFrame:
    import polars as pl

    columns = plan.program.outputs[0].columns
    schema = {column_name(at): column_type(column.source.kind) for at, column in enumerate(columns)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _printed(plan: StepPlan, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with the columns that have a printf format as text."""
    import polars as pl

    output = plan.program.outputs[0]
    for at, column in enumerate(output.columns):
        if column.print_format:
            write = field_formatter(output.format, column)
            texts = [write(value) for value in frame[column_name(at)].to_list()]
            frame = frame.with_columns(pl.Series(column_name(at), texts, dtype=pl.String))
    return frame


def _result(
    plan: StepPlan, left: pl.DataFrame, table: pa.Table, labels: pa.ChunkedArray | None
) -> pa.Table:
    """Put computed columns and those that go through together."""
    import numpy as np
    import pyarrow as pa

    numbers = left[column_name(len(plan.computed))].to_numpy()
    rows = None
    if len(numbers) != table.num_rows or not (numbers == np.arange(len(numbers))).all():
        rows = from_numpy(numbers)
    arrays, computed = [], 0
    for (_, name), field in zip(plan.columns, plan.schema, strict=True):
        if name:
            column = table.column(name)
            arrays.append(column if rows is None else column.take(rows))
            continue
        series = left[column_name(computed)]
        computed += 1
        try:
            arrays.append(to_arrow(series, field.type))
        except UnicodeDecodeError:
            raise _not_text(field.name, series, numbers, labels) from None
    result = pa.Table.from_arrays(arrays, schema=plan.schema)
    if labels is None:
        return result
    return result.append_column(ROW_LABEL, labels if rows is None else labels.take(rows))


def _not_text(
    name: str, series: pl.Series, numbers: Any, labels: pa.ChunkedArray | None
) -> RowCleanError:
    for number, value in zip(numbers.tolist(), series.to_list(), strict=True):
        try:
            value.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            label = None if labels is None else labels[number].as_py()
            return RowCleanError(
                f"column {name!r} is not UTF-8 any more: {value!r}",
                hint="a rule cut a character in two: the language counts bytes",
                label=label,
            )
    raise AssertionError(name)
