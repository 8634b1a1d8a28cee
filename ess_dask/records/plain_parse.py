"""Plain lines to typed columns, by pyarrow's CSV parser.

Text comes out as Arrow strings. Numbers are typed by the parser where a look at the first lines
promises that it can, otherwise by ``cast``, from text: the parser gives up a whole column for one
value that is none. The few texts that stand for no number there become nulls, and rows with a null
are looked at again, as text. What the parser takes for a number and ``cast`` does not (``0x1f``,
``nan(1)``) never reaches a row: a text in which that is possible goes the second way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.records.arrays import different, to_numpy, with_zeros
from ess_dask.records.cast import cast, reason
from ess_dask.records.cut_columns import cut_columns
from ess_dask.records.odd import Failed, Failures, as_arrow, settled
from ess_dask.records.plain_read import (
    NO_NUMBERS,
    Guess,
    Ragged,
    guesses,
    read_columns,
    without_blanks,
    without_hexadecimals,
)
from ess_dask.records.spec import Column, ReadSpec
from ess_dask.records.title import Fields
from ess_dask.records.types import FLOATS, INTEGERS, schema_of
from ess_dask.records.usual import usual_times

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.records.cut import Cut
    from ess_dask.records.lines import Bytes, Indices

    TextsOf = Callable[[int, Indices], Sequence[str | None]]

AGAIN_SHARE = 16
"""Text is read anew as a whole when more than one row in so many is to be looked at again."""


@dataclass(frozen=True, slots=True)
class Read:
    """Lines as they were read: ``ragged`` are those with a wrong number of fields, each row of
    ``table`` is one of the others. ``texts_of`` gives a field's text in some rows, where it is at
    hand."""

    table: pa.Table
    guess: Guess
    ragged: Ragged
    texts_of: TextsOf | None = None


def read_lines(text: Bytes, fields: Fields, spec: ReadSpec) -> Read:
    """Let the parser have a text, in which there is a line that is not empty."""
    found = (without_hexadecimals(guess, text) for guess in guesses(text, fields, spec))
    return _numbers_or_text(found, lambda guess: read_columns(text, fields, spec, guess))


def read_cut(cut: Cut, fields: Fields, spec: ReadSpec) -> Read:
    """Take the fields of lines that are cut, in which there is a good one."""
    found = guesses(cut.data, fields, spec)
    read = _numbers_or_text(found, lambda guess: (cut_columns(cut, fields, spec, guess), Ragged()))
    return replace(read, texts_of=cut.some)


def field_texts(text: Bytes, position: int, fields: Fields, spec: ReadSpec) -> list[str | None]:
    """Return a field's text in each line, of lines behind an empty one: of a first line the parser
    would take a byte order mark off. A blank is null or ''."""
    alone = fields.alone(position)
    # The parser takes the fields much faster apart than Python does.
    found: list[str | None] = read_columns(text, alone, spec, NO_NUMBERS)[0].column(0).to_pylist()
    return found


def _numbers_or_text(
    guesses: Iterable[Guess], read: Callable[[Guess], tuple[pa.Table, Ragged]]
) -> Read:
    """Read with the first guess that turns out to be right, else everything as text."""
    for guess in guesses:
        if (found := _numbers(guess, read)) is not None:
            return found
    table, ragged = read(NO_NUMBERS)
    return Read(table, NO_NUMBERS, ragged)


def _numbers(guess: Guess, read: Callable[[Guess], tuple[pa.Table, Ragged]]) -> Read | None:
    """Read with a guess, None if it turns out to be wrong."""
    import pyarrow as pa

    try:
        table, ragged = read(guess)
    except pa.ArrowInvalid:
        return None
    numbers = [table.column(f"f{position}") for position in guess.kinds]
    nulls = sum(column.null_count for column in numbers) if guess.odd else 0
    right = nulls * AGAIN_SHARE <= table.num_rows and all(map(_finite, numbers))
    return Read(table, guess, ragged) if right else None


def typed_rows(
    read: Read, fields: Fields, spec: ReadSpec, texts_of: TextsOf
) -> tuple[pa.Table, Failures]:
    """Return the rows with their types, and which of them failed.

    ``texts_of`` gives a field's text in some rows.
    """
    import pyarrow as pa

    failed: list[Failed] = []
    arrays = []
    for position, column in zip(fields.positions, fields.columns, strict=True):
        array = read.table.column(f"f{position}")
        if position in read.guess.kinds:
            if array.null_count and read.guess.odd:
                array = settled(array, column, spec, partial(texts_of, position), failed)
            if array.null_count and spec.blank == "zero":
                array = with_zeros(array)
        else:
            array = _from_text(array, column, spec, read.guess, failed)
        arrays.append(array)
    typed = pa.Table.from_arrays(arrays, schema=schema_of(fields.columns))
    return typed, Failures.of(failed)


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
    array: pa.ChunkedArray, column: Column, spec: ReadSpec, guess: Guess, failed: list[Failed]
) -> pa.ChunkedArray:
    """Return a column that was read as text with its type; add what is none to ``failed``."""
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
        rows = casted.failed.arg_true().to_numpy().astype("int64")
        texts, which = different(text.filter(casted.failed).to_list())
        reasons = [reason(each, column.type) for each in texts]
        failed.append(Failed(column.name, rows, reasons, which))
    return as_arrow(casted.values, column)
