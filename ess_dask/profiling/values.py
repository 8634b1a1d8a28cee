"""Which values a column has and how often: exact while they are few, a sketch of fixed size then.

The sketch adds up exactly, too: the smallest hashes (how many distinct values there are) and rows
of counters that hashes choose (a count-min sketch: how often a value comes, never too few).
"""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

LIMIT = 8192
"""Distinct values up to which everything is exact; also the number of hashes of the sketch."""
_WIDTH, _ROWS = 8192, 4
DISTINCT_ERROR = 1 / math.sqrt(LIMIT - 2)
"""Standard error of the number of distinct values beyond ``LIMIT``, as a share."""
COUNT_ERROR = math.e / _WIDTH
"""By which share of all rows a count may be too high (with a probability of 98 %)."""
_HEAD = 4 * LIMIT


@dataclass(slots=True)
class Counted:
    """Distinct values by their hash (ascending), how often each comes, and the values."""

    hashes: Words
    counts: NDArray[np.int64]
    values: NDArray[Any]


@dataclass(slots=True)
class Sketch:
    """The smallest hashes (ascending, at most ``LIMIT``) and the counters."""

    smallest: Words
    counters: NDArray[np.int64]


@dataclass(slots=True)
class Values:
    """The values of a column: ``counted`` or, when they are many, a ``sketch``."""

    counted: Counted | None = None
    sketch: Sketch | None = field(default=None)

    def add_hashes(self, hashes: Words) -> None:
        """Add rows of a column that has more than ``LIMIT`` values."""
        self._overflow()
        sketch = self.sketch
        assert sketch is not None
        _count(sketch.counters, hashes)
        sketch.smallest = _smallest(sketch.smallest, hashes)

    def add_counted(self, more: Counted) -> None:
        """Add values with their counts."""
        if self.sketch is not None:
            _count(self.sketch.counters, more.hashes, more.counts)
            self.sketch.smallest = _smallest(self.sketch.smallest, more.hashes)
            return
        self.counted = more if self.counted is None else _merged(self.counted, more)
        if len(self.counted.hashes) > LIMIT:
            self._overflow()

    def merge(self, other: Values) -> None:
        """Add the values of other rows."""
        if other.counted is not None:
            self.add_counted(other.counted)
        if other.sketch is not None:
            self._overflow()
            assert self.sketch is not None
            self.sketch.counters = self.sketch.counters + other.sketch.counters
            self.sketch.smallest = _smallest(self.sketch.smallest, other.sketch.smallest)

    @property
    def distinct(self) -> int:
        """The number of distinct values, an estimate where there is a sketch."""
        if self.sketch is None:
            return 0 if self.counted is None else len(self.counted.hashes)
        largest = int(self.sketch.smallest[-1])
        return round((LIMIT - 1) * (1 << 64) / (largest + 1))

    def estimates(self, hashes: Words) -> NDArray[np.int64]:
        """Return how often each hash came at most, of a column with a sketch."""
        import numpy as np

        assert self.sketch is not None
        rows = [self.sketch.counters[row][_place(hashes, row)] for row in range(_ROWS)]
        least: NDArray[np.int64] = np.min(rows, axis=0)
        return least

    def _overflow(self) -> None:
        import numpy as np

        if self.sketch is not None:
            return
        empty = np.zeros(0, np.uint64)
        self.sketch = Sketch(empty, np.zeros((_ROWS, _WIDTH), np.int64))
        counted, self.counted = self.counted, None
        if counted is not None:
            self.add_counted(counted)


def many(hashes: Words) -> bool:
    """Return whether the first rows alone show that there are more than ``LIMIT`` values."""
    return len(hashes) > LIMIT and len(_unique(hashes[:_HEAD])) > LIMIT


def _merged(first: Counted, second: Counted) -> Counted:
    import numpy as np

    hashes = np.concatenate([first.hashes, second.hashes])
    unique, index, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    counts = np.zeros(len(unique), np.int64)
    np.add.at(counts, inverse, np.concatenate([first.counts, second.counts]))
    return Counted(unique, counts, np.concatenate([first.values, second.values])[index])


def _place(hashes: Words, row: int) -> NDArray[np.intp]:
    import numpy as np

    return ((hashes >> np.uint64(16 * row)) & np.uint64(_WIDTH - 1)).astype(np.intp)


def _count(
    counters: NDArray[np.int64], hashes: Words, counts: NDArray[np.int64] | None = None
) -> None:
    import numpy as np

    for row in range(_ROWS):
        places = _place(hashes, row)
        if counts is None:
            counters[row] += np.bincount(places, minlength=_WIDTH)
        else:
            np.add.at(counters[row], places, counts)


def _smallest(known: Words, hashes: Words) -> Words:
    import numpy as np

    if len(known) == LIMIT:
        hashes = hashes[hashes < known[-1]]
    elif len(hashes) > 64 * LIMIT:
        # Most of them are not among the smallest: look at a part before sorting all.
        few = hashes[hashes < np.uint64((1 << 64) // (len(hashes) // (8 * LIMIT)))]
        found = _unique(np.concatenate([known, few]))
        if len(found) >= LIMIT:
            return found[:LIMIT]
    return _unique(np.concatenate([known, hashes]))[:LIMIT]


def _unique(hashes: Words) -> Words:
    """Return different ones, ascending: a sort is many times as fast as NumPy's own hash table."""
    import numpy as np

    ordered = np.sort(hashes)
    starts = np.ones(len(ordered), bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    return ordered[starts]
