"""Plain lines to columns of text and numbers, as pyarrow's CSV parser takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ess_dask.records.spec import ReadSpec
from ess_dask.records.split import LF
from ess_dask.records.title import Fields
from ess_dask.records.types import FLOATS, INTEGERS, arrow_type

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.records.lines import Bytes

BLOCK_BYTES = 4 << 20
"""What the parser takes at a time: its buffers are used again and stay near the processor."""

SAMPLE_BYTES = 64 << 10
"""Bytes at the start of a text by which it is judged what its numbers look like."""

_ODD_TEXTS = 8
ODD_SHARE = 16
"""Numbers are typed by the parser when no more than one in so many has to be looked at again."""


@dataclass(frozen=True, slots=True)
class Guess:
    """Which fields the parser may type, by position, and texts that stand for no number in them:
    the parser makes nulls of these, as of blanks."""

    kinds: Mapping[int, pa.DataType] = field(default_factory=dict)
    odd: tuple[str, ...] = ()


NO_NUMBERS = Guess()
"""Everything is text."""


def read_columns(text: Bytes, fields: Fields, spec: ReadSpec, guess: Guess) -> pa.Table:
    """Return the columns ``f<position>``, as text but for those of the guess.

    A blank text is null when blanks are nulls and nothing odd is among the numbers, else ''. Raises
    ``pa.ArrowInvalid`` for a value that the parser takes for no number.
    """
    import pyarrow as pa
    from pyarrow import csv

    names = [f"f{position}" for position in range(fields.width)]
    types = {name: guess.kinds.get(place, pa.string()) for place, name in enumerate(names)}
    return csv.read_csv(
        pa.BufferReader(pa.py_buffer(text)),
        csv.ReadOptions(
            use_threads=False,
            column_names=names,
            # No line may be longer than a block.
            block_size=max(BLOCK_BYTES, spec.max_record_bytes + 2),
        ),
        csv.ParseOptions(delimiter=spec.delimiter, quote_char=False, ignore_empty_lines=True),
        csv.ConvertOptions(
            check_utf8=False,
            column_types=types,
            include_columns=[names[position] for position in fields.positions],
            null_values=["", *guess.odd],
            strings_can_be_null=spec.blank == "null" and not guess.odd,
        ),
        # The C library's pool, which keeps what is freed (``ess_dask.allocator``): Arrow's own
        # gives it back after 10 ms, and the kernel clears it again.
        memory_pool=pa.system_memory_pool(),
    )


def guessed(text: Bytes, fields: Fields, spec: ReadSpec) -> Guess:
    """Guess by the start of a text which of its numbers the parser can type."""
    import numpy as np
    import pyarrow as pa

    ends = np.flatnonzero(text[:SAMPLE_BYTES] == LF)
    sample = text[: ends[-1] + 1] if len(ends) else text[:0]
    kinds: dict[int, pa.DataType] = {}
    odd: dict[str, None] = {}
    for place, column in enumerate(fields.columns):
        if column.type.name not in (*FLOATS, *INTEGERS):
            continue
        alone = Fields(fields.width, (column,), (fields.positions[place],))
        found = _odd_texts(sample, alone, spec)
        if found is not None:
            kinds[fields.positions[place]] = arrow_type(column.type)
            odd |= dict.fromkeys(found)
    if any(pa.types.is_integer(kind) for kind in kinds.values()) and _holds_x(text):
        kinds = {place: kind for place, kind in kinds.items() if pa.types.is_floating(kind)}
    return Guess(kinds, tuple(odd)) if kinds else NO_NUMBERS


def _odd_texts(sample: Bytes, field: Fields, spec: ReadSpec) -> list[str] | None:
    """Return the texts of one field that are no number, None when there is much of that."""
    import polars as pl
    import pyarrow as pa

    from ess_dask.records.cast import cast

    kinds = {field.positions[0]: arrow_type(field.columns[0].type)}
    try:
        read_columns(sample, field, spec, Guess(kinds))
        return []
    except pa.ArrowInvalid:
        text = pl.Series(read_columns(sample, field, spec, NO_NUMBERS).column(0))
    blank = text.is_null() | (text == "")
    failed = cast(text, field.columns[0].type, spec.blank).failed
    found = text.filter(failed).unique(maintain_order=True).to_list()
    if len(found) > _ODD_TEXTS or int((blank | failed).sum()) * ODD_SHARE > len(text):
        return None
    try:
        read_columns(sample, field, spec, Guess(kinds, tuple(found)))
    except pa.ArrowInvalid:
        return None
    return found


def _holds_x(text: Bytes) -> bool:
    # The parser reads hexadecimal integers.
    pieces = (text[start : start + SAMPLE_BYTES] for start in range(0, len(text), SAMPLE_BYTES))
    return any(bool(((piece | 0x20) == ord("x")).any()) for piece in pieces)


def without_blanks(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return strings without nulls with a null for each empty one."""
    import numpy as np
    import pyarrow as pa

    chunks = []
    for chunk in texts.chunks:
        bits, offsets, data = chunk.buffers()
        stop = chunk.offset + len(chunk)
        full = np.diff(np.frombuffer(offsets, np.int32)[: stop + 1]) > 0
        if not full[chunk.offset :].all():
            bits = pa.py_buffer(np.packbits(full, bitorder="little"))
            buffers = [bits, offsets, data]
            chunk = pa.Array.from_buffers(chunk.type, len(chunk), buffers, offset=chunk.offset)
        chunks.append(chunk)
    return pa.chunked_array(chunks, texts.type)
