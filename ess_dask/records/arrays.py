"""Arrow arrays from NumPy and Python values and back, without waiting for pandas.

pyarrow imports pandas (0.3 s) the first time it converts a Python or NumPy value, only to see
whether it is one of pandas'. Short commands would spend most of their time so. What goes through
here is known to be none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


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


def zero(kind: pa.DataType) -> pa.Scalar:
    """Return the 0 of a type of numbers of at most 128 bits."""
    import pyarrow as pa

    return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(bytes(16))])[0]


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
