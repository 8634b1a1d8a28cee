"""Dates and times in their usual spelling, taken whole columns at a time by Arrow.

A column qualifies when every value has the length of ``2014-09-01`` or ``2014-09-01 12:30:00`` (or
with ``T``) and Arrow reads it: of these lengths Arrow reads nothing else. The result is what
``cast`` would give, several times faster; for anything else ``cast`` must be asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.records.spec import DataType

if TYPE_CHECKING:
    import pyarrow as pa

_LENGTHS = {"date": 10, "timestamp": 19}
_YEAR_1000 = {"date": -354_285, "timestamp": -354_285 * 86_400_000_000}
"""Days and microseconds from 1970 to the first year that ``cast`` takes."""


def usual_times(text: pa.ChunkedArray, type_: DataType) -> pa.ChunkedArray | None:
    """Return a column of strings as dates or local timestamps; None when ``cast`` must decide."""
    import pyarrow as pa

    from ess_dask.records.types import arrow_type

    if type_.name not in _LENGTHS or type_.format or type_.zone:
        return None
    if not all(_all_of_length(chunk, _LENGTHS[type_.name]) for chunk in text.chunks):
        return None
    try:
        values = text.cast(arrow_type(type_))
    except pa.ArrowInvalid:
        return None
    early = _YEAR_1000[type_.name]
    return values if all(_first(chunk) >= early for chunk in values.chunks) else None


def _all_of_length(strings: pa.Array, length: int) -> bool:
    """Whether each string has this length or is null (a null has none)."""
    import numpy as np

    offsets = np.frombuffer(strings.buffers()[1], np.int32)
    sizes = np.diff(offsets[strings.offset : strings.offset + len(strings) + 1])
    return bool(((sizes == length) | (sizes == 0)).all()) and (
        int(np.count_nonzero(sizes == 0)) == strings.null_count
    )


def _first(times: pa.Array) -> int:
    import numpy as np

    width = np.int32 if times.type.bit_width == 32 else np.int64
    numbers = np.frombuffer(times.buffers()[1], width)[times.offset : times.offset + len(times)]
    return int(numbers.min(initial=0))
