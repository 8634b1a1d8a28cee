"""Arrow arrays from NumPy and Python values and back, without waiting for pandas.

pyarrow imports pandas (0.3 s) the first time it converts a Python or NumPy value, only to see
whether it is one of pandas'. Short commands would spend most of their time so. What goes through
here is known to be none. To take, select or cast values pyarrow makes all of its functions (40 ms);
those of this module do without.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Places = NDArray[np.int64]

Rows = TypeVar("Rows", "pa.Array", "pa.Table")

GATHER_BYTES = 1 << 18
"""Bytes that are gathered in one go."""


def from_numpy(values: np.ndarray[Any, Any]) -> pa.Array:
    """Return a one-dimensional array of numbers or booleans as Arrow, without nulls.

    Numbers are not copied: do not write to ``values`` afterwards.
    """
    import numpy as np
    import pyarrow as pa

    if values.dtype == bool:
        kind, buffer = pa.bool_(), np.packbits(values, bitorder="little")
    else:
        kind, buffer = pa.from_numpy_dtype(values.dtype), np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(buffer)])


def to_numpy(column: pa.Array | pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Return a column of numbers without nulls as NumPy; what is in one piece is not copied.

    Raises ``BufferError`` or ``TypeError`` for other columns.
    """
    import numpy as np
    import pyarrow as pa

    if not isinstance(column, pa.ChunkedArray):
        return np.from_dlpack(column)
    parts = [np.from_dlpack(chunk) for chunk in column.chunks]
    if len(parts) == 1:
        return parts[0]
    kind = column.type.to_pandas_dtype()
    return np.concatenate(parts) if parts else np.zeros(0, kind)


def strings(values: Sequence[str]) -> pa.Array:
    """Return strings as an Arrow array of type string."""
    import pyarrow as pa

    whole = "".join(values)
    if whole.isascii():
        return _bytes_array(pa.string(), values, whole.encode())
    encoded = [value.encode() for value in values]
    return _bytes_array(pa.string(), encoded, b"".join(encoded))


def binaries(values: Sequence[bytes]) -> pa.Array:
    """Return byte strings as an Arrow array of type binary."""
    import pyarrow as pa

    return _bytes_array(pa.binary(), values, b"".join(values))


def repeated(value: str, count: int) -> pa.Array:
    """Return an Arrow array with the same string ``count`` times."""
    import numpy as np
    import pyarrow as pa

    text = value.encode()
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(len(text))
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text * count)]
    return pa.Array.from_buffers(pa.string(), count, buffers)


def slices(data: Bytes, starts: Places, stops: Places, kind: pa.DataType | None = None) -> pa.Array:
    """Return stretches of bytes as an Arrow array of type binary, or of another with the layout of
    binary: 2 GiB in all at most."""
    import numpy as np
    import pyarrow as pa

    offsets = np.zeros(len(starts) + 1, np.int32)
    np.cumsum(stops - starts, out=offsets[1:])
    size = int(offsets[-1])
    copied = np.empty(size, np.uint8)
    # A few at a time: each byte has an index of eight.
    cuts = np.searchsorted(offsets, np.arange(0, size, GATHER_BYTES))
    for first, last in pairwise([*cuts.tolist(), len(starts)]):
        piece = ranges(starts[first:last], stops[first:last])
        copied[offsets[first] : offsets[last]] = data[piece]
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(copied)]
    return pa.Array.from_buffers(kind or pa.binary(), len(starts), buffers)


def take(rows: Rows, which: pa.Array | pa.ChunkedArray) -> Rows:
    """Return ``rows.take(which)``, of an array or a table."""
    # What pyarrow.compute is made of, without the rest of it.
    from pyarrow import _compute

    taken: Rows = _compute.call_function("take", [rows, which])
    return taken


def select(table: pa.Table, kept: np.ndarray[Any, Any]) -> pa.Table:
    """Return the rows of a table for which a boolean is set."""
    from pyarrow import _compute

    return _compute.call_function("filter", [table, from_numpy(kept)], _compute.FilterOptions())


def cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return ``array.cast(kind)``; raises ``pa.ArrowInvalid`` as it does."""
    from pyarrow import _compute

    return _compute.call_function("cast", [array], _compute.CastOptions.safe(kind))


def with_zeros(array: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers, of at most 128 bits, with a 0 for each null."""
    import pyarrow as pa
    from pyarrow import _compute

    zero = pa.Array.from_buffers(array.type, 1, [None, pa.py_buffer(bytes(16))])[0]
    return _compute.call_function("coalesce", [array, zero])


def ranges(starts: Places, stops: Places) -> Places:
    """Return the numbers from each start up to its stop, one range behind the other."""
    import numpy as np

    sizes = stops - starts
    before = np.cumsum(sizes) - sizes
    numbers: Places = np.repeat(starts - before, sizes) + np.arange(int(sizes.sum()))
    return numbers


def with_nulls(array: pa.Array, valid: np.ndarray[Any, Any]) -> pa.Array:
    """Return strings or binary without nulls with a null in each row that is not valid."""
    import numpy as np
    import pyarrow as pa

    if valid.all():
        return array
    _, offsets, data = array.buffers()
    before = np.zeros(array.offset, bool)
    bits = pa.py_buffer(np.packbits(np.concatenate([before, valid]), bitorder="little"))
    buffers = [bits, offsets, data]
    return pa.Array.from_buffers(array.type, len(array), buffers, offset=array.offset)


def null_places(column: pa.ChunkedArray) -> Places:
    """Return the rows of a column in which there is no value, ascending."""
    import numpy as np

    found, row = [np.zeros(0, np.int64)], 0
    for chunk in column.chunks:
        if chunk.null_count:
            bits = np.frombuffer(chunk.buffers()[0], np.uint8)
            valid = np.unpackbits(bits, bitorder="little")[chunk.offset :][: len(chunk)]
            found.append(np.flatnonzero(valid == 0) + row)
        row += len(chunk)
    return np.concatenate(found)


def distinct(column: pa.ChunkedArray) -> tuple[list[Any], Places]:
    """Return the different values of a column without nulls, and which of them each row has."""
    import numpy as np
    from pyarrow import _compute

    options = _compute.DictionaryEncodeOptions()
    encoded = _compute.call_function("dictionary_encode", [column], options).unify_dictionaries()
    if not encoded.num_chunks:
        return [], np.zeros(0, np.int64)
    indices = [to_numpy(chunk.indices) for chunk in encoded.chunks]
    return encoded.chunk(0).dictionary.to_pylist(), np.concatenate(indices).astype(np.int64)


def different(texts: Iterable[str | None]) -> tuple[list[str], Places]:
    """Return the different texts, in the order they first came, and which of them each row has; a
    null is ''."""
    import numpy as np

    numbers: dict[str, int] = {}
    which = [numbers.setdefault(text or "", len(numbers)) for text in texts]
    return list(numbers), np.array(which, np.int64)


def _bytes_array(
    kind: pa.DataType, values: Sequence[str] | Sequence[bytes], data: bytes
) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, values), np.int32, len(values)), out=offsets[1:])
    return pa.Array.from_buffers(
        kind, len(values), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def empty_table(schema: pa.Schema) -> pa.Table:
    """Return a table without rows."""
    import pyarrow as pa

    return pa.Table.from_batches([], schema=schema)
