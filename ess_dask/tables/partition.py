"""Which partition a row belongs to: xxHash64 of its key's canonical form, modulo the partitions.

The same on every worker, Python version and operating system. Key equality, by column type:

* numbers by value, whatever the width or kind: ``1``, ``1.0`` and ``true`` share a partition, and
  so do ``0.0`` and ``-0.0``; every NaN is one key, and is no null;
* strings and bytes by their bytes: ``'1'`` is not ``1``, ``'a'`` not ``'A'``, ``''`` not null;
* dates and timestamps by the instant (microseconds, naive ones as UTC), whatever the unit or zone;
  a date is its midnight;
* null is one key like any other;
* a key of several columns: all of them, in their order.

Equal keys lie in one partition; a partition holds many keys. One key that most rows share makes one
large partition: the price of keeping a key in one place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ess_dask.errors import UsageError
from ess_dask.tables.xxhash import hash_bytes, hash_words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Words = npt.NDArray[np.uint64]


def split(table: pa.Table, key: tuple[str, ...], partitions: int) -> list[tuple[int, pa.Table]]:
    """Return the non-empty partitions of a table, by number, each with its rows in input order."""
    import numpy as np
    import pyarrow as pa

    if table.num_rows == 0:
        return []
    if partitions == 1:
        return [(0, table)]
    numbers = partition_numbers(table, key, partitions)
    counts = np.bincount(numbers, minlength=partitions)
    # One chunk per column: taking from many chunks searches the chunk for every row.
    grouped = table.combine_chunks().take(pa.array(np.argsort(numbers, kind="stable")))
    ends = np.cumsum(counts)
    return [
        (int(number), grouped.slice(int(ends[number] - counts[number]), int(counts[number])))
        for number in np.flatnonzero(counts)
    ]


def partition_numbers(
    table: pa.Table, key: tuple[str, ...], partitions: int
) -> npt.NDArray[np.uint16]:
    """Return each row's partition, ``0 <= number < partitions <= 65536`` (uint16)."""
    import numpy as np

    hashed = hash_keys(table, key)
    # Few bits, so that sorting by them is a radix sort.
    numbers: npt.NDArray[np.uint16] = (hashed % np.uint64(partitions)).astype(np.uint16)
    return numbers


def hash_keys(table: pa.Table, key: tuple[str, ...]) -> Words:
    """Return the 64-bit hash of each row's key.

    One column: the hash of its value. Each further column's hash is hashed again with the hash so
    far as the seed.
    """
    first, *rest = (_hash_column(name, table[name]) for name in key)
    for other in rest:
        first = hash_words(other, seed=first)
    return first


def _hash_column(name: str, column: pa.ChunkedArray) -> Words:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = kind.value_type
    values = column.combine_chunks()
    if pa.types.is_null(kind):
        return np.zeros(len(values), dtype=np.uint64)
    if _is_bytes(kind):
        return hash_bytes(values)
    hashed = hash_words(_words(name, values))
    if values.null_count:
        hashed[pc.is_null(values).to_numpy(zero_copy_only=False)] = 0
    return hashed


def _is_bytes(kind: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
    )


def _words(name: str, values: pa.Array) -> Words:
    """Return the canonical 64-bit word of each number, date or time; anything for a null."""
    import numpy as np
    import pyarrow as pa

    kind = values.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        target = pa.uint64() if kind == pa.uint64() else pa.int64()
        words: Words = _filled(values.cast(target)).view(np.uint64)
        return words
    if pa.types.is_floating(kind):
        return _float_words(_filled(values.cast(pa.float64())))
    if pa.types.is_decimal(kind):
        return _decimal_words(values)
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        return _time_words(values)
    raise UsageError(
        f"column {name} is {kind}, which cannot be a key",
        hint="take a column of numbers, strings, dates or timestamps",
    )


def _filled(values: pa.Array) -> Any:
    import pyarrow as pa

    if values.null_count:
        values = values.fill_null(pa.scalar(0, values.type))
    return values.to_numpy(zero_copy_only=False)


def _float_words(values: npt.NDArray[np.float64]) -> Words:
    """Return a whole number's integer where 64 bits hold it, else the float's bits."""
    import numpy as np

    values = np.where(np.isnan(values), np.nan, values)  # one bit pattern for every NaN
    words: Words = values.view(np.uint64).copy()
    with np.errstate(invalid="ignore"):
        whole = np.trunc(values) == values
        signed = whole & (values >= -(2.0**63)) & (values < 2.0**63)
        words[signed] = values[signed].astype(np.int64).view(np.uint64)
        large = whole & (values >= 2.0**63) & (values < 2.0**64)
        words[large] = values[large].astype(np.uint64)
    return words


def _decimal_words(values: pa.Array) -> Words:
    """Return a whole number's integer where 64 bits hold it, else the nearest float's bits."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    near = _filled(values.cast(pa.float64()))
    words = _float_words(near)
    whole = pc.equal(pc.trunc(values), values).fill_null(False).to_numpy(zero_copy_only=False)
    inside = np.abs(near) < 2.0**63
    rows = np.flatnonzero(whole & inside)
    words[rows] = _filled(values.take(pa.array(rows)).cast(pa.int64())).view(np.uint64)
    for row in np.flatnonzero(whole & ~inside):  # the float may lie on the other side of a bound
        exact = int(values[int(row)].as_py())
        if -(2**63) <= exact < 2**64:
            words[row] = exact % 2**64
    return words


def _time_words(values: pa.Array) -> Words:
    import numpy as np
    import pyarrow as pa

    kind = values.type
    if pa.types.is_date(kind):
        days = _filled(values.cast(pa.date32()).cast(pa.int32())).astype(np.int64)
        ticks, per_microsecond, microseconds = days, 1, 86_400_000_000
    else:
        width = pa.int32() if kind.bit_width == 32 else pa.int64()
        ticks = _filled(values.view(width)).astype(np.int64)
        per_microsecond = 1000 if kind.unit == "ns" else 1
        microseconds = {"s": 1_000_000, "ms": 1000, "us": 1, "ns": 1}[kind.unit]
    with np.errstate(over="ignore"):
        instants = np.floor_divide(ticks, per_microsecond) * np.int64(microseconds)
    words: Words = instants.view(np.uint64)
    return words
