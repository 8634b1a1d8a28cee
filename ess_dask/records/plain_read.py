"""Plain lines to columns of text and numbers, as pyarrow's CSV parser takes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.records.arrays import different, with_nulls
from ess_dask.records.cast import cast_each
from ess_dask.records.spec import ReadSpec
from ess_dask.records.split import LF
from ess_dask.records.title import Fields
from ess_dask.records.types import FLOATS, INTEGERS, arrow_type

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv

    from ess_dask.records.lines import Bytes

BLOCK_BYTES = 4 << 20
"""What the parser takes at a time: its buffers are used again and stay near the processor."""

SAMPLE_BYTES = 64 << 10
"""Bytes at the start of a text by which it is judged what its numbers look like."""

_ODD_TEXTS = 8
ODD_SHARE = 16
"""Numbers are typed by the parser when no more than one in so many has to be looked at again."""

_USUAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Guess:
    """Which fields the parser may type, by position, and texts that stand for no number in them:
    the parser makes nulls of these, as of blanks."""

    kinds: Mapping[int, pa.DataType] = field(default_factory=dict)
    odd: tuple[str, ...] = ()


NO_NUMBERS = Guess()
"""Everything is text."""

_MOST_SERVED = 64
_served: dict[tuple[Fields, str], Guess] = {}
"""The last guess for some fields: it mostly fits the next text, too, and to look at the start of a
text takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Ragged:
    """Lines with a wrong number of fields: their numbers, from 0, empty lines not counted; how many
    fields each has, and its text."""

    lines: list[int] = field(default_factory=list)
    fields: list[int] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)


def read_columns(
    text: Bytes, fields: Fields, spec: ReadSpec, guess: Guess
) -> tuple[pa.Table, Ragged]:
    """Return the columns ``f<position>``, as text but for those of the guess, and the lines that
    gave no row. Empty lines are passed over.

    A blank text is null when blanks are nulls and nothing odd is among the numbers, else ''. Raises
    ``pa.ArrowInvalid`` for a value that the parser takes for no number.
    """
    import pyarrow as pa
    from pyarrow import csv

    names = [f"f{position}" for position in range(fields.width)]
    types = {name: guess.kinds.get(place, pa.string()) for place, name in enumerate(names)}
    wrong: list[csv.InvalidRow] = []
    keep = wrong.append

    def skip(row: csv.InvalidRow) -> str:
        # Called in the middle of parsing, once for each of them: no more than is needed.
        keep(row)
        return "skip"

    parse = csv.ParseOptions(
        delimiter=spec.delimiter,
        quote_char=False,
        ignore_empty_lines=True,
        invalid_row_handler=skip,
    )
    convert = csv.ConvertOptions(
        check_utf8=False,
        column_types=types,
        include_columns=[names[position] for position in fields.positions],
        null_values=["", *guess.odd],
        strings_can_be_null=spec.blank == "null" and not guess.odd,
    )
    table = _read(text, names, spec, parse, convert)
    return table, Ragged(
        [row.number - 1 for row in wrong],
        [row.actual_columns for row in wrong],
        [row.text.encode() for row in wrong],
    )


def read_numbers(
    text: Bytes, kind: pa.DataType, spec: ReadSpec, odd: Sequence[str]
) -> pa.ChunkedArray:
    """Return the numbers of a text that has one on each line; null for a blank and what is odd.

    Raises ``pa.ArrowInvalid`` for a value that the parser takes for no number.
    """
    from pyarrow import csv

    parse = csv.ParseOptions(delimiter=spec.delimiter, quote_char=False, ignore_empty_lines=False)
    convert = csv.ConvertOptions(check_utf8=False, column_types={"n": kind}, null_values=["", *odd])
    return _read(text, ["n"], spec, parse, convert).column(0)


def _read(
    text: Bytes,
    names: list[str],
    spec: ReadSpec,
    parse: csv.ParseOptions,
    convert: csv.ConvertOptions,
) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    # No line may be longer than a block.
    block_size = max(BLOCK_BYTES, spec.max_record_bytes + 2)
    return csv.read_csv(
        pa.BufferReader(pa.py_buffer(text)),
        csv.ReadOptions(use_threads=False, column_names=names, block_size=block_size),
        parse,
        convert,
        # The C library's pool, which keeps what is freed (``ess_dask.allocator``): Arrow's own
        # gives it back after 10 ms, and the kernel clears it again.
        memory_pool=pa.system_memory_pool(),
    )


def guesses(text: Bytes, fields: Fields, spec: ReadSpec) -> Iterator[Guess]:
    """Yield guesses which of a text's numbers the parser can type, the likeliest first: the one
    taken for the text before, then one by the start of this text. The next is asked for when the
    last was wrong."""
    kinds = {
        position: arrow_type(column.type)
        for position, column in zip(fields.positions, fields.columns, strict=True)
        if column.type.name in (*FLOATS, *INTEGERS)
    }
    if not kinds:
        return
    key = (fields, spec.blank)
    known = _served.get(key, NO_NUMBERS)
    if known.kinds:
        yield known
    sample = _start(text)
    guess = Guess(kinds)
    if guess == known or not _takes(sample, fields, spec, guess):
        guess = _guessed_apart(sample, fields, spec, guess)
    if guess not in (known, NO_NUMBERS):
        if len(_served) >= _MOST_SERVED:
            _served.clear()
        _served[key] = guess
        yield guess


def _start(text: Bytes) -> Bytes:
    """Return the whole lines among the first bytes of a text; behind a first line that is longer,
    those among as many more."""
    import numpy as np

    ends = np.flatnonzero(text[:SAMPLE_BYTES] == LF)
    if not len(ends):
        first = int(np.argmax(text == LF))
        ends = np.flatnonzero(text[first : first + SAMPLE_BYTES] == LF) + first
    return text[: ends[-1] + 1]


def without_hexadecimals(guess: Guess, text: Bytes) -> Guess:
    """Return a guess that has no integers if some in the text may be hexadecimal: the parser reads
    these."""
    import pyarrow as pa

    if not any(map(pa.types.is_integer, guess.kinds.values())) or not holds_x(text):
        return guess
    kinds = {at: kind for at, kind in guess.kinds.items() if pa.types.is_floating(kind)}
    return replace(guess, kinds=kinds) if kinds else NO_NUMBERS


def _takes(sample: Bytes, fields: Fields, spec: ReadSpec, guess: Guess) -> bool:
    """Whether the parser takes a text so."""
    import pyarrow as pa

    try:
        read_columns(sample, fields, spec, guess)
    except pa.ArrowInvalid:
        return False
    return True


def _guessed_apart(sample: Bytes, fields: Fields, spec: ReadSpec, guess: Guess) -> Guess:
    """Guess for each column by itself."""
    kinds: dict[int, pa.DataType] = {}
    odd: dict[str, None] = {}
    for position in fields.positions:
        if position not in guess.kinds:
            continue
        alone = fields.alone(position)
        found = _odd_texts(sample, alone, spec)
        one = Guess({position: guess.kinds[position]}, tuple(found or ()))
        if found is not None and _takes(sample, alone, spec, one):
            kinds |= one.kinds
            odd |= dict.fromkeys(found)
    return Guess(kinds, tuple(odd))


def _odd_texts(sample: Bytes, fields: Fields, spec: ReadSpec) -> list[str] | None:
    """Return the texts of the only column that are no number, None when there is much of that."""
    import numpy as np

    column = fields.columns[0]
    texts, places = different(
        read_columns(sample, fields, spec, NO_NUMBERS)[0].column(0).to_pylist()
    )
    unusual = [at for at, text in enumerate(texts) if not _USUAL.fullmatch(text)]
    if sum(bool(texts[at]) for at in unusual) > _ODD_TEXTS:
        return None
    odd = [texts[at] for at in unusual if texts[at]]
    judged = cast_each(odd, column.type, spec.blank)
    found = [text for text, (_, wrong) in zip(odd, judged, strict=True) if wrong]
    count = int(np.isin(places, unusual).sum())
    return None if found and count * ODD_SHARE > len(places) else found


def holds_x(text: Bytes) -> bool:
    """Whether there is an ``x``, small or large."""
    # Bytes are looked for many times faster than compared.
    for start in range(0, len(text), BLOCK_BYTES):
        piece = text[start : start + BLOCK_BYTES].tobytes()
        if b"x" in piece or b"X" in piece:
            return True
    return False


def without_blanks(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return strings without nulls with a null for each empty one."""
    import numpy as np
    import pyarrow as pa

    chunks = []
    for chunk in texts.chunks:
        edges = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset :][: len(chunk) + 1]
        chunks.append(with_nulls(chunk, edges[1:] > edges[:-1]))
    return pa.chunked_array(chunks, texts.type)
