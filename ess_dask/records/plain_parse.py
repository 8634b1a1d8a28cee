"""Plain lines to typed columns, by pyarrow's CSV parser.

Text comes out as Arrow strings. Numbers are typed by the parser where a look at the first lines
promises that it can, otherwise by ``cast``, from text: the parser gives up a whole column for one
value that is none. The few texts that stand for no number there become nulls, and rows with a null
are looked at again, as text. What the parser takes for a number and ``cast`` does not (``0x1f``,
``nan(1)``) never reaches a row: a text in which that is possible goes the second way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ess_dask.records.arrays import to_numpy, zero
from ess_dask.records.cast import cast, cast_one, reason
from ess_dask.records.parse import Failure
from ess_dask.records.plain_read import (
    NO_NUMBERS,
    Guess,
    Ragged,
    different,
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

AGAIN_SHARE = 16
"""Text is read anew as a whole when more than one row in so many is to be looked at again."""


@dataclass(frozen=True, slots=True)
class Read:
    """Lines as the parser took them: ``ragged`` are those with a wrong number of fields, each row
    of ``table`` is one of the others."""

    table: pa.Table
    guess: Guess
    ragged: Ragged


def read_lines(text: Bytes, fields: Fields, spec: ReadSpec) -> Read:
    """Let the parser have a text, in which there is a line that is not empty."""
    import pyarrow as pa

    guess = guessed(text, fields, spec)
    try:
        table, ragged = read_columns(text, fields, spec, guess)
        numbers = [table.column(f"f{position}") for position in guess.kinds]
        nulls = sum(column.null_count for column in numbers) if guess.odd else 0
        if nulls * AGAIN_SHARE <= table.num_rows and all(map(_finite, numbers)):
            return Read(table, guess, ragged)
    except pa.ArrowInvalid:
        pass
    table, ragged = read_columns(text, fields, spec, NO_NUMBERS)
    return Read(table, NO_NUMBERS, ragged)


def typed_rows(
    read: Read, fields: Fields, spec: ReadSpec, texts: Texts
) -> tuple[pa.Table, list[Failure]]:
    """Return the rows with their types, and the failures in row order.

    ``texts`` gives the lines of some rows. There is at most one failure for a row, that of its
    first failing column.
    """
    import pyarrow as pa

    failures: dict[int, Failure] = {}
    arrays = []
    for position, column in zip(fields.positions, fields.columns, strict=True):
        array = read.table.column(f"f{position}")
        if position in read.guess.kinds:
            if array.null_count and read.guess.odd:
                alone = Fields(fields.width, (column,), (position,))
                array = _settled(array, _Nulls(alone, spec, texts), column, failures)
            if array.null_count and spec.blank == "zero":
                array = array.fill_null(zero(array.type))
        else:
            array = _from_text(array, column, spec, read.guess, failures)
        arrays.append(array)
    typed = pa.Table.from_arrays(arrays, schema=schema_of(fields.columns))
    return typed, [failures[row] for row in sorted(failures)]


def _settled(
    array: pa.ChunkedArray, nulls: _Nulls, column: Column, failures: dict[int, Failure]
) -> pa.ChunkedArray:
    """Look at the nulls among numbers again; note the first failure of each row."""
    import numpy as np

    rows = np.flatnonzero(to_numpy(array.is_null().cast("uint8")))
    if not len(rows):
        return array
    texts, which = different(nulls.texts(rows))
    values: dict[int, Any] = {}
    for place, text in enumerate(texts):
        value, failed = cast_one(text, column.type, nulls.spec.blank)
        if failed:
            why = reason(text, column.type)
            for row in rows[which == place].tolist():
                failures.setdefault(row, Failure(row, column.name, why))
        elif text and value is not None:
            values |= dict.fromkeys(rows[which == place].tolist(), value)
    return _with(array, values, column) if values else array


def _with(array: pa.ChunkedArray, values: dict[int, Any], column: Column) -> pa.ChunkedArray:
    import polars as pl

    series = pl.Series(array)
    return _as_arrow(series.scatter(list(values), list(values.values())), column)


@dataclass(frozen=True, slots=True)
class _Nulls:
    """The texts of one field in which the parser saw no number: blanks, and what the guess calls
    odd."""

    fields: Fields
    spec: ReadSpec
    lines: Texts

    def texts(self, rows: Indices) -> pa.ChunkedArray:
        """Return the texts of some rows."""
        import numpy as np

        # The parser takes them much faster apart than Python does. It would take a byte order mark
        # off the first line: that is an empty one, which is passed over.
        text = np.frombuffer(b"\n".join([b"", *self.lines(rows), b""]), np.uint8)
        return read_columns(text, self.fields, self.spec, NO_NUMBERS)[0].column(0)


def _finite(column: pa.ChunkedArray) -> bool:
    """Whether no number is NaN or infinite: those the parser spells in more ways than ``cast``."""
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_floating(column.type):
        return True
    # What stands in the place of a null is mostly a zero, and to drop nulls costs a copy.
    return all(map(_all_finite, column.chunks)) or bool(
        np.isfinite(to_numpy(column.drop_null())).all()
    )


def _all_finite(numbers: pa.Array) -> bool:
    import numpy as np

    if not len(numbers):
        return True
    kind = np.dtype(f"f{numbers.type.bit_width // 8}")
    values = np.frombuffer(numbers.buffers()[1], kind)[numbers.offset :][: len(numbers)]
    return bool(np.isfinite(values).all())


def _from_text(
    array: pa.ChunkedArray,
    column: Column,
    spec: ReadSpec,
    guess: Guess,
    failures: dict[int, Failure],
) -> pa.ChunkedArray:
    """Return a column that was read as text with its type; note the first failure of each row."""
    is_number = column.type.name in (*FLOATS, *INTEGERS)
    if (spec.blank == "null" and guess.odd) or (spec.blank == "zero" and is_number):
        array = without_blanks(array)
    if column.type.name == "string":
        return array
    if (usual := usual_times(array, column.type)) is not None:
        return usual
    import polars as pl

    text = pl.Series(array)
    casted = cast(text, column.type, spec.blank)
    if casted.failed.any():
        rows = casted.failed.arg_true().to_list()
        for row, value in zip(rows, text.filter(casted.failed).to_list(), strict=True):
            failures.setdefault(row, Failure(row, column.name, reason(value, column.type)))
    return _as_arrow(casted.values, column)


def _as_arrow(values: pl.Series, column: Column) -> pa.ChunkedArray:
    import pyarrow as pa

    return pa.chunked_array([values.to_arrow()]).cast(arrow_type(column.type))
