"""Rows to Arrow tables and back, for the stores beyond this room.

Strings are ``binary``: the bytes of the data, UTF-8 or not. Addresses are ``string``, numbers have
the widths of their columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ess_dask.aq.kinds import Kind, Value
from ess_dask.aq.tree import Reference

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


def arrow_type(kind: Kind) -> pa.DataType:
    """Return the Arrow type of a column."""
    import pyarrow as pa

    names = {
        Kind.S: pa.binary(),
        Kind.F: pa.float64(),
        Kind.L: pa.uint64(),
        Kind.LS: pa.int64(),
        Kind.I: pa.uint32(),
        Kind.IS: pa.int32(),
        Kind.IP: pa.string(),
    }
    return names[kind]


def is_ascii(strings: pa.Array) -> bool:
    """Whether an array of strings or bytes (large or not) holds only ASCII."""
    return highest_byte(strings) < 0x80


def highest_byte(strings: pa.Array) -> int:
    """Return the highest byte of an array of strings or bytes (large or not), 0 for none."""
    data = string_bytes(strings)
    return int(data.max()) if len(data) else 0


def string_bytes(strings: pa.Array) -> npt.NDArray[np.uint8]:
    """Return all strings of an array (large or not), one behind the other."""
    import numpy as np
    import pyarrow as pa

    _, offsets, data = strings.buffers()
    if data is None or not len(strings):
        return np.zeros(0, np.uint8)
    wide = pa.types.is_large_string(strings.type) or pa.types.is_large_binary(strings.type)
    ends = np.frombuffer(offsets, np.int64 if wide else np.int32)
    start, end = int(ends[strings.offset]), int(ends[strings.offset + len(strings)])
    return np.frombuffer(data, np.uint8)[start:end]


def rows_to_table(
    rows: Sequence[Sequence[Value]], columns: Iterable[tuple[str, Reference]]
) -> pa.Table:
    """Return rows of values as a table with these columns."""
    import pyarrow as pa

    arrays, names = [], []
    for at, (name, reference) in enumerate(columns):
        values: list[Any] = [row[at] for row in rows]
        if reference.kind is Kind.S:
            values = [value.encode("latin-1") for value in values]
        arrays.append(pa.array(values, arrow_type(reference.kind)))
        names.append(name)
    return pa.table(arrays, names=names)


def table_to_rows(table: pa.Table) -> Iterator[list[Value]]:
    """Yield the values of a table, row by row."""
    columns = [
        [_value(value) for value in table.column(at).to_pylist()] for at in range(table.num_columns)
    ]
    for values in zip(*columns, strict=True):
        yield list(values)


def _value(value: Any) -> Value:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    assert isinstance(value, str | int | float)
    return value
