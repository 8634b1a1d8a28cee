"""Strings in memory tables: text for everybody, and still every byte of the data.

Essentia's strings are bytes, a table's are UTF-8. Valid UTF-8 is stored as it is; a byte that is no
part of it is stored as one character of a stretch that no alphabet uses (``U+10FE80`` for byte
0x80 to ``U+10FEFF`` for 0xFF), and data that holds these very characters has their bytes stored so.
The type of a column never depends on its data, equal bytes are equal strings, and what was imported
comes out byte for byte.

Within the rules a string has one character for each byte (see ``aq.kinds``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ess_dask.aq.tables import highest_byte

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_FIRST = 0x10FE00
_LEAD = 0xF4
"""The byte that stored characters of the stretch begin with; hardly any text has it."""
_TO_STRETCH = {0xDC00 + byte: _FIRST + byte for byte in range(0x80, 0x100)}
_FROM_STRETCH = {_FIRST + byte: 0xDC00 + byte for byte in range(0x80, 0x100)}
_SPELLED = {
    _FIRST + byte: "".join(chr(_FIRST + part) for part in chr(_FIRST + byte).encode())
    for byte in range(0x80, 0x100)
}


def to_stored(data: bytes) -> str:
    """Return bytes as the text that a table holds."""
    text = data.decode("utf-8", "surrogateescape")
    return text if text.isascii() else text.translate(_SPELLED).translate(_TO_STRETCH)


def from_stored(text: str) -> bytes:
    """Return the bytes that ``to_stored`` was given; any other text gives its UTF-8."""
    if text.isascii():
        return text.encode("ascii")
    return text.translate(_FROM_STRETCH).encode("utf-8", "surrogateescape")


def stored_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a ``binary`` column as the ``string`` column of a table."""
    import pyarrow as pa

    return pa.chunked_array([_stored(chunk) for chunk in column.chunks], pa.string())


def _stored(chunk: pa.Array) -> pa.Array:
    import pyarrow as pa

    highest = highest_byte(chunk)
    if highest < 0x80:
        return chunk.view(pa.string())
    if highest < _LEAD:
        try:
            return chunk.cast(pa.string())
        except pa.ArrowInvalid:
            pass
    return _translated(chunk, to_stored, pa.string())


def bytes_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a table's ``string`` column as the bytes of the data."""
    import pyarrow as pa

    chunks = [
        chunk.cast(pa.binary())
        if highest_byte(chunk) < _LEAD
        else _translated(chunk, from_stored, pa.binary())
        for chunk in column.chunks
    ]
    return pa.chunked_array(chunks, pa.binary())


def rule_column(column: pa.ChunkedArray) -> pl.Series:
    """Return a table's ``string`` column with one character for each byte of the data."""
    import polars as pl
    import pyarrow as pa

    chunks = [
        chunk
        if highest_byte(chunk) < 0x80
        else _translated(chunk, lambda text: from_stored(text).decode("latin-1"), pa.string())
        for chunk in column.chunks
    ]
    return pl.Series(pl.from_arrow(pa.chunked_array(chunks, pa.string())), dtype=pl.String)


def table_column(series: pl.Series) -> pa.Array:
    """Return what ``rule_column`` gave, or rules made of it, as a table's ``string`` column."""
    import pyarrow as pa

    column = _plain(series)
    if highest_byte(column) < 0x80:
        return column
    return _translated(column, lambda text: to_stored(text.encode("latin-1")), pa.string())


def output_column(series: pl.Series) -> pa.Array:
    """Return a column of the rules as the ``binary`` bytes of the data."""
    import pyarrow as pa

    column = _plain(series)
    if highest_byte(column) < 0x80:
        return column.cast(pa.binary())
    return _translated(column, lambda text: text.encode("latin-1"), pa.binary())


def _plain(series: pl.Series) -> pa.Array:
    import pyarrow as pa

    return series.to_arrow().cast(pa.large_string()).cast(pa.string())


def _translated(chunk: pa.Array, change: Any, kind: pa.DataType) -> pa.Array:
    """Return a column with each different value changed once."""
    import pyarrow as pa

    coded = chunk.dictionary_encode()
    values = pa.array([change(value) for value in coded.dictionary.to_pylist()], kind)
    return values.take(coded.indices)
