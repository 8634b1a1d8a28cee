"""A sample of rows that does not depend on how the files were grouped: where the most frequent
values are looked for when a column has too many to count them all.

A row is in the sample when the hash of its file and its place in it is among the smallest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.engine.model import Piece
from ess_dask.profiling.kinds import Kind
from ess_dask.records.arrays import from_numpy, strings

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

SAMPLE = 4096
"""Rows of a sample: a value of 0.2 % of the rows is missed once in 3,600 times."""


@dataclass(slots=True)
class SampledColumn:
    """A column of the sampled rows: hashes, and values as ``Kind.numbers`` gives them.

    Of a row without a value (null, NaN) the value is None.
    """

    hashes: NDArray[np.uint64] | None = None
    values: NDArray[Any] | None = None

    def add(self, kind: Kind, column: pa.ChunkedArray, rows: NDArray[np.int64]) -> None:
        """Add some rows of a column."""
        self.merge(_sampled(kind, column.take(from_numpy(rows)).combine_chunks()))

    def merge(self, other: SampledColumn) -> None:
        """Add the rows of another sample."""
        import numpy as np

        if self.hashes is None or other.hashes is None:
            self.hashes = other.hashes if self.hashes is None else self.hashes
            self.values = other.values if self.values is None else self.values
            return
        self.hashes = np.concatenate([self.hashes, other.hashes])
        self.values = np.concatenate([self.values, other.values])

    def keep(self, rows: NDArray[np.intp]) -> None:
        """Keep these rows, in this order."""
        if self.hashes is not None and self.values is not None:
            self.hashes, self.values = self.hashes[rows], self.values[rows]


def chosen_rows(piece: Piece, before: int) -> NDArray[np.uint64]:
    """Return the key of each row: the hash of its file's uri and of its place among its rows."""
    import numpy as np

    from ess_dask.tables.xxhash import hash_bytes, hash_words

    files = hash_bytes(strings([file.uri for file in piece.files]))
    places = np.arange(len(piece.file_of), dtype=np.uint64)
    if len(piece.files) == 1:
        return hash_words(places + np.uint64(before), int(files[0]))
    order = np.argsort(piece.file_of, kind="stable")
    rows = np.bincount(piece.file_of, minlength=len(piece.files))
    starts = np.cumsum(rows) - rows
    within = np.empty(len(places), np.uint64)
    within[order] = places - np.repeat(starts.astype(np.uint64), rows)
    return hash_words(within, files[piece.file_of])


def smallest_keys(keys: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Return where the smallest keys are, ascending, at most ``SAMPLE``."""
    import numpy as np

    if len(keys) > 4 * SAMPLE:
        few = np.argpartition(keys, SAMPLE)[:SAMPLE]
        return few[np.argsort(keys[few], kind="stable")]
    return np.argsort(keys, kind="stable")[:SAMPLE]


def _sampled(kind: Kind, column: pa.Array) -> SampledColumn:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from ess_dask.records.arrays import to_numpy
    from ess_dask.tables.xxhash import hash_words

    hashes, values = np.zeros(len(column), np.uint64), np.empty(len(column), object)
    if kind.name == "other":
        return SampledColumn(hashes, values)
    if kind.name == "float":
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    there = to_numpy(pc.cast(column.is_valid(), pa.uint8())) != 0
    present = column.drop_null()
    if kind.is_text or kind.wide:
        hashes[there] = kind.hashes(present)
        values[there] = kind.objects(present, np.arange(len(present)))
    else:
        numbers = kind.numbers(present)
        hashes[there] = hash_words(numbers.view(np.uint64))
        values[there] = numbers.tolist()
    return SampledColumn(hashes, values)
