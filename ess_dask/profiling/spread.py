"""How values are spread, in a histogram of fixed size whose bins narrow and widen by themselves.

A float's bits, ordered like the values, are cut to as many leading ones as leave ``BINS`` different
ones. The number of bits that are cut follows from the values alone, so parts add up exactly. Far
values cost one bin each and take no precision from the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]
    Floats = NDArray[np.float64]

BINS = 8192
"""Bins that are not empty, at most."""
_TOP = 1 << 63


@dataclass(frozen=True, slots=True)
class Spread:
    """Bins (ascending; ordered bits without the last ``cut``) and the rows in each."""

    cut: int
    bins: Words
    counts: NDArray[np.int64]

    def merged(self, other: Spread) -> Spread:
        """Return those of both."""
        import numpy as np

        cut = max(self.cut, other.cut)
        bins = np.concatenate([each.bins >> np.uint64(cut - each.cut) for each in (self, other)])
        order = np.argsort(bins, kind="stable")
        counts = np.concatenate([self.counts, other.counts])[order]
        return _narrowed(cut, bins[order], counts)

    def ranges(self) -> tuple[Floats, Floats]:
        """Return the smallest and the largest value that each bin can hold."""
        import numpy as np

        bits = self.bins << np.uint64(self.cut)
        low, high = _values(bits), _values(bits | np.uint64((1 << self.cut) - 1))
        # An infinity shares its bin with bits that are no number.
        return np.where(np.isnan(low), high, low), np.where(np.isnan(high), low, high)


def spread_of(values: Floats, counts: NDArray[np.int64] | None = None) -> Spread:
    """Return the spread of values without NaN and without negative zeros."""
    import numpy as np

    bits = _bits(values)
    if counts is None:
        bits, counts = np.sort(bits), np.ones(len(bits), np.int64)
    else:
        order = np.argsort(bits)
        bits, counts = bits[order], counts[order]
    return _narrowed(0, bits, counts)


def _narrowed(cut: int, bins: Words, counts: NDArray[np.int64]) -> Spread:
    """Return sorted bins, equal ones joined, cut as far as there are too many."""
    import numpy as np

    if not len(bins):
        return Spread(cut, bins, counts)
    apart = bins[1:] ^ bins[:-1]
    if len(apart) >= BINS:
        # Neighbours differ after a cut of c bits where this is 2 ** c or more.
        bound = int(np.partition(apart, len(apart) - BINS)[len(apart) - BINS])
        more = bound.bit_length()
        cut, bins = cut + more, bins >> np.uint64(more)
    starts = np.concatenate([[0], np.flatnonzero(bins[1:] != bins[:-1]) + 1])
    return Spread(cut, bins[starts], np.add.reduceat(counts, starts))


def _bits(values: Floats) -> Words:
    import numpy as np

    bits = np.ascontiguousarray(values).view(np.uint64)
    negative = bits >> np.uint64(63) != 0
    return np.where(negative, ~bits, bits | np.uint64(_TOP))


def _values(bits: Words) -> Floats:
    import numpy as np

    positive = bits >> np.uint64(63) != 0
    return np.where(positive, bits ^ np.uint64(_TOP), ~bits).view(np.float64)
