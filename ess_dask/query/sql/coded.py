"""Partitions in memory as DuckDB reads them fastest: repeated texts by their number.

Of a text column with few different values among many rows DuckDB hashes, compares and filters
each value once, not each row. The numbers are made when a query first asks for the column
and are kept as long as the partition, two bytes for each row. Whether they are worth it follows
from the partition's rows alone, so the same query always sees the same.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

FEWEST_ROWS = 4096
"""Rows of a partition below which there is nothing to win."""

MOST_VALUES = 16_384
"""Different values above which DuckDB hashes row by row all the same (20,000)."""

REPEATED = 8
"""How often a value must come, on average."""

_LOOK_ROWS = 4 * MOST_VALUES

_kept: dict[int, dict[str, pa.ChunkedArray]] = {}
"""Columns by the ``id`` of the table they are of, which is alive as long as they stand here."""

_lock = threading.Lock()


def coded(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Return these columns of a partition; texts that repeat are dictionaries.

    What was made is kept until ``table`` is no more.
    """
    import pyarrow as pa

    kept = _columns_of(table)
    made = []
    for name in columns:
        if name not in kept:
            # Twice at the same time does no harm.
            kept[name] = _coded_column(table[name])
        made.append(kept[name])
    return pa.table(dict(zip(columns, made, strict=True)))


def _columns_of(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    with _lock:
        if id(table) not in _kept:
            _kept[id(table)] = {}
            weakref.finalize(table, _kept.pop, id(table), None)
        return _kept[id(table)]


def _coded_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, rows = column.type, len(column)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)) or rows < FEWEST_ROWS:
        return column
    most = min(MOST_VALUES, rows // REPEATED)
    if pc.count_distinct(column.slice(0, _LOOK_ROWS), mode="all").as_py() > most:
        return column
    encoded = column.dictionary_encode().unify_dictionaries()
    if len(encoded.chunk(0).dictionary) > most:
        return column
    return pa.chunked_array([_narrow(chunk) for chunk in encoded.chunks])


def _narrow(chunk: pa.DictionaryArray) -> pa.DictionaryArray:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(chunk.indices.cast(pa.uint16()), chunk.dictionary)
