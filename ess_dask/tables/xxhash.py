"""xxHash64, vectorised: of 8-byte numbers in NumPy, of strings by polars-hash. Same values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Words = npt.NDArray[np.uint64]

_PRIME1 = 0x9E3779B185EBCA87
_PRIME2 = 0xC2B2AE3D27D4EB4F
_PRIME3 = 0x165667B19E3779F9
_PRIME4 = 0x85EBCA77C2B2AE63
_PRIME5 = 0x27D4EB2F165667C5


def hash_words(words: Words, seed: Words | int = 0) -> Words:
    """Return the hash of each uint64, taken as 8 little-endian bytes; ``seed`` one or one each."""
    import numpy as np

    def rotated(values: Words, by: int) -> Words:
        high = values >> np.uint64(64 - by)
        values <<= np.uint64(by)
        values |= high
        return values

    with np.errstate(over="ignore"):
        lane = rotated(words * np.uint64(_PRIME2), 31)
        lane *= np.uint64(_PRIME1)
        lane ^= np.asarray(seed, dtype=np.uint64) + np.uint64(_PRIME5 + 8)
        lane = rotated(lane, 27)
        lane *= np.uint64(_PRIME1)
        lane += np.uint64(_PRIME4)
        for shift, prime in ((33, _PRIME2), (29, _PRIME3)):
            lane ^= lane >> np.uint64(shift)
            lane *= np.uint64(prime)
        lane ^= lane >> np.uint64(32)
    return lane


def hash_bytes(column: pa.Array) -> Words:
    """Return the hash of each value of a string or binary column; 0 for a null."""
    import polars as pl
    import polars_hash  # noqa: F401  (registers the nchash name space)

    values = pl.Series(pl.from_arrow(column))
    hashed = pl.select(pl.lit(values).nchash.xxhash64()).to_series()  # type: ignore[attr-defined]
    return hashed.fill_null(0).to_numpy()
