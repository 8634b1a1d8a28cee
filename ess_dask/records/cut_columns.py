"""Fields that were cut out of plain lines as columns of text and numbers.

The columns are those the parser would make of the lines (``plain_read.read_columns``).
"""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import TYPE_CHECKING

from ess_dask.records.arrays import cast, with_nulls
from ess_dask.records.plain_read import Guess, holds_x, read_numbers, without_blanks
from ess_dask.records.spec import ReadSpec
from ess_dask.records.title import Fields

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.records.cut import Cut
    from ess_dask.records.lines import Bytes


def cut_columns(cut: Cut, fields: Fields, spec: ReadSpec, guess: Guess) -> pa.Table:
    """Return the columns ``f<position>``, as text but for those of the guess.

    A blank text is null when blanks are nulls and nothing odd is among the numbers, else ''. Raises
    ``pa.ArrowInvalid`` for a value that Arrow takes for no number, and where it might read
    hexadecimal integers.
    """
    import pyarrow as pa

    columns = {}
    for position in fields.positions:
        if kind := guess.kinds.get(position):
            column = _numbers(cut, position, kind, spec, guess)
        else:
            column = pa.chunked_array([cut.texts(position)])
            if spec.blank == "null" and not guess.odd:
                column = without_blanks(column)
        columns[f"f{position}"] = column
    return pa.table(columns)


def _numbers(
    cut: Cut, position: int, kind: pa.DataType, spec: ReadSpec, guess: Guess
) -> pa.ChunkedArray:
    import numpy as np
    import pyarrow as pa

    texts = cut.texts(position)
    _refuse_x(np.frombuffer(texts.buffers()[2], np.uint8), kind)
    try:
        return pa.chunked_array([cast(_without_odd(texts, odd=bool(guess.odd)), kind)])
    except pa.ArrowInvalid:
        # The parser does not mind blanks around a number, and knows what else is odd.
        text = cut.column(position)
    if text[: len(BOM_UTF8)].tobytes() == BOM_UTF8:
        raise pa.ArrowInvalid("the parser would take a byte order mark off")
    return read_numbers(text, kind, spec, guess.odd)


def _without_odd(texts: pa.Array, *, odd: bool) -> pa.Array:
    """Return texts with a null for each empty one, and for those that begin like a word if some are
    ``odd``: these are looked at again."""
    import numpy as np

    _, offsets, data = texts.buffers()
    edges = np.frombuffer(offsets, np.int32)
    valid = edges[1:] > edges[:-1]
    if odd:
        text = np.append(np.frombuffer(data, np.uint8), np.uint8(0))
        valid &= text[edges[:-1]] <= ord("9")
    return with_nulls(texts, valid)


def _refuse_x(text: Bytes, kind: pa.DataType) -> None:
    import pyarrow as pa

    if pa.types.is_integer(kind) and holds_x(text):
        raise pa.ArrowInvalid("the parser would read hexadecimal integers")
