"""Plain lines to typed columns, by pyarrow's CSV parser.

Text comes out as Arrow strings. Numbers are typed by the parser where a look at the first lines
promises that it can, otherwise by ``cast``, from text: the parser gives up a whole column for one
value that is none. The few texts that stand for no number there become nulls, and rows with a null
are looked at again, as text. What the parser takes for a number and ``cast`` does not (``0x1f``,
``nan(1)``) never reaches a row: a text in which that is possible goes the second way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ess_dask.records.arrays import to_numpy
from ess_dask.records.cast import cast, reason
from ess_dask.records.parse import Failure
from ess_dask.records.plain_read import (
    NO_NUMBERS,
    Guess,
    guessed,
    read_columns,
    without_blanks,
)
from ess_dask.records.spec import Column, ReadSpec
from ess_dask.records.title import Fields
from ess_dask.records.types import FLOATS, INTEGERS, arrow_type, schema_of
from ess_dask.records.usual import usual_times

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from ess_dask.records.lines import Bytes, Indices

    Texts = Callable[[Indices], list[bytes]]

AGAIN_SHARE = 4
"""Text is read anew as a whole when more than one row in so many is to be looked at again."""


def parse_lines(
    text: Bytes, fields: Fields, spec: ReadSpec, texts: Texts
) -> tuple[pa.Table, list[Failure]]:
    """Return one row for each line that is not empty, and the failures in row order.

    There is such a line, and each has as many fields as ``fields`` (two at least); ``texts`` gives
    the lines of some rows. There is at most one failure for a row, that of its first failing
    column.
    """
    import pyarrow as pa

    table, guess = _read(text, fields, spec)
    again = _Again(table, guess, fields, spec, texts)
    failures: dict[int, Failure] = {}
    arrays = []
    for position, column in zip(fields.positions, fields.columns, strict=True):
        array = table.column(f"f{position}")
        if position in guess.kinds:
            array = again.settled(array, position, column, failures)
        else:
            array = _from_text(array, column, spec, guess, failures)
        arrays.append(array)
    typed = pa.Table.from_arrays(arrays, schema=schema_of(fields.columns))
    return typed, [failures[row] for row in sorted(failures)]


def _read(text: Bytes, fields: Fields, spec: ReadSpec) -> tuple[pa.Table, Guess]:
    """Return the columns, and how they were read."""
    import pyarrow as pa

    guess = guessed(text, fields, spec)
    try:
        table = read_columns(text, fields, spec, guess)
        numbers = [table.column(f"f{position}") for position in guess.kinds]
        nulls = sum(column.null_count for column in numbers) if guess.odd else 0
        if nulls * AGAIN_SHARE <= table.num_rows and all(map(_finite, numbers)):
            return table, guess
    except pa.ArrowInvalid:
        pass
    return read_columns(text, fields, spec, NO_NUMBERS), NO_NUMBERS


@dataclass(slots=True)
class _Again:
    """The rows of a table in which a number is null: blank, odd, or no number at all."""

    table: pa.Table
    guess: Guess
    fields: Fields
    spec: ReadSpec
    texts: Texts
    _rows: Indices | None = None
    _read: dict[str, pa.ChunkedArray] = field(default_factory=dict)

    def settled(
        self, array: pa.ChunkedArray, position: int, column: Column, failures: dict[int, Failure]
    ) -> pa.ChunkedArray:
        """Return the numbers of a column; note the first failure of each row."""
        if not array.null_count:
            return array
        if self.guess.odd:
            array = self._settled(array, position, column, failures)
        return array.fill_null(0) if self.spec.blank == "zero" else array

    def _settled(
        self, array: pa.ChunkedArray, position: int, column: Column, failures: dict[int, Failure]
    ) -> pa.ChunkedArray:
        import polars as pl

        if self._rows is None:
            self._look()
        assert self._rows is not None
        text = pl.Series(self._read[f"f{position}"])
        casted = cast(text, column.type, self.spec.blank)
        _note(casted.failed, text, column, failures, self._rows)
        kept = (casted.values.is_not_null() & ~casted.failed).arg_true().to_numpy()
        if not len(kept):
            return array
        values = pl.Series(array).scatter(self._rows[kept], casted.values[kept])
        return _as_arrow(values, column)

    def _look(self) -> None:
        """Read the rows with a null as text."""
        import numpy as np

        nulls = np.zeros(self.table.num_rows, bool)
        for position in self.guess.kinds:
            array = self.table.column(f"f{position}")
            if array.null_count:
                nulls |= to_numpy(array.is_null().cast("uint8")).astype(bool)
        self._rows = np.flatnonzero(nulls)
        lines = b"".join(line + b"\n" for line in self.texts(self._rows))
        places = tuple(self.guess.kinds)
        some = tuple(
            column
            for position, column in zip(self.fields.positions, self.fields.columns, strict=True)
            if position in self.guess.kinds
        )
        data = np.frombuffer(lines, np.uint8)
        found = read_columns(data, Fields(self.fields.width, some, places), self.spec, NO_NUMBERS)
        self._read = dict(zip(found.column_names, found.columns, strict=True))


def _finite(column: pa.ChunkedArray) -> bool:
    """Whether no number is NaN or infinite: those the parser spells in more ways than ``cast``."""
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_floating(column.type):
        return True
    filled = column.drop_null() if column.null_count else column
    return bool(np.isfinite(to_numpy(filled)).all())


def _from_text(
    array: pa.ChunkedArray,
    column: Column,
    spec: ReadSpec,
    guess: Guess,
    failures: dict[int, Failure],
) -> pa.ChunkedArray:
    """Return a column that was read as text with its type; note the first failure of each row."""
    import polars as pl

    is_number = column.type.name in (*FLOATS, *INTEGERS)
    if (spec.blank == "null" and guess.odd) or (spec.blank == "zero" and is_number):
        array = without_blanks(array)
    if column.type.name == "string":
        return array
    if (usual := usual_times(array, column.type)) is not None:
        return usual
    text = pl.Series(array)
    casted = cast(text, column.type, spec.blank)
    _note(casted.failed, text, column, failures)
    return _as_arrow(casted.values, column)


def _note(
    failed: pl.Series,
    text: pl.Series,
    column: Column,
    failures: dict[int, Failure],
    rows: Indices | None = None,
) -> None:
    """Note values that are none of their type; ``rows`` are those of ``text``, if not all."""
    if not failed.any():
        return
    places = failed.arg_true().to_numpy()
    found = (places if rows is None else rows[places]).tolist()
    for row, value in zip(found, text.filter(failed).to_list(), strict=True):
        failures.setdefault(row, Failure(row, column.name, reason(value, column.type)))


def _as_arrow(values: pl.Series, column: Column) -> pa.ChunkedArray:
    import pyarrow as pa

    return pa.chunked_array([values.to_arrow()]).cast(arrow_type(column.type))
