"""Exact sums of numbers and of their squares, so that batches may be added in any grouping.

A float is a whole number times a power of two. The whole numbers are added in pieces of 27 bits,
which NumPy's doubles hold without rounding, and the totals as Python's integers. Mean and standard
deviation are rounded once, at the end.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

FLOAT_SHIFT = 1127
"""A float times two to this power is a whole number of the form that is added up here."""
_HALF = 27
_LIMB = 32
_ROWS = 1 << 24
"""Rows that are added at a time: so many pieces of 27 bits make less than 53."""


@dataclass(slots=True)
class Sums:
    """Count, sum and sum of squares of whole numbers: those of values times a fixed factor."""

    count: int = 0
    total: int = 0
    squares: int = 0

    def add(self, other: Sums) -> None:
        """Add those of other values."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares

    def mean(self, factor: int) -> float | None:
        """Return the mean of the values, ``factor`` being what they were multiplied by."""
        return float(Fraction(self.total, self.count * factor)) if self.count else None

    def deviation(self, factor: int) -> float | None:
        """Return the standard deviation of a sample; None of fewer than two values."""
        if self.count < 2:
            return None
        spread = self.squares * self.count - self.total * self.total
        return _root(Fraction(spread, self.count * (self.count - 1) * factor * factor))


def float_sums(values: NDArray[np.float64]) -> Sums:
    """Return the sums of finite floats times ``2 ** FLOAT_SHIFT``."""
    sums = Sums()
    for start in range(0, len(values), _ROWS):
        sums.add(_float_sums(values[start : start + _ROWS]))
    return sums


def integer_sums(magnitudes: list[Words], negative: NDArray[np.bool_]) -> Sums:
    """Return the sums of whole numbers, given as 32-bit pieces of their magnitude, lowest first."""
    import numpy as np

    sums = Sums(len(negative))
    for place, limb in enumerate(magnitudes):
        below = int(limb[negative].sum(dtype=np.uint64)) if negative.any() else 0
        sums.total += (int(limb.sum(dtype=np.uint64)) - 2 * below) << (_LIMB * place)
    for first, limb in enumerate(magnitudes):
        for second in range(first, len(magnitudes)):
            product = limb * magnitudes[second]
            twice = 1 if second == first else 2
            shift = _LIMB * (first + second)
            sums.squares += twice * _whole(product) << shift
    return sums


def limbs(words: list[Words]) -> list[Words]:
    """Return 64-bit words, lowest first, as 32-bit pieces; those that are all zero at the top are
    left out."""
    import numpy as np

    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(_LIMB)
    pieces = [part for word in words for part in (word & mask, word >> shift)]
    while len(pieces) > 1 and not pieces[-1].any():
        pieces.pop()
    return pieces


def _whole(products: Words) -> int:
    """Return the sum of 64-bit numbers, which need not fit into one."""
    import numpy as np

    low = int((products & np.uint64(0xFFFFFFFF)).sum(dtype=np.uint64))
    return low + (int((products >> np.uint64(_LIMB)).sum(dtype=np.uint64)) << _LIMB)


def _float_sums(values: NDArray[np.float64]) -> Sums:
    import numpy as np

    parts, powers = np.frexp(values)
    whole = np.ldexp(np.abs(parts), 2 * _HALF).astype(np.int64)
    high, low = whole >> _HALF, whole & ((1 << _HALF) - 1)
    sign = np.where(parts < 0, -1.0, 1.0)
    least = int(powers.min()) if len(powers) else 0
    where = powers - least
    sums = Sums(len(values))
    for piece, shift in ((high, _HALF), (low, 0)):
        for place, total in _by_power(where, sign * piece):
            sums.total += total << (place + least + FLOAT_SHIFT - 2 * _HALF + shift)
    for product, shift in ((high * high, 2 * _HALF), (high * low, _HALF + 1), (low * low, 0)):
        for half, more in ((product >> _HALF, _HALF), (product & ((1 << _HALF) - 1), 0)):
            for place, total in _by_power(where, half):
                power = 2 * (place + least + FLOAT_SHIFT - 2 * _HALF)
                sums.squares += total << (power + shift + more)
    return sums


def _by_power(where: NDArray[np.intp], weights: NDArray[np.generic]) -> list[tuple[int, int]]:
    """Return (power, exact sum) of those that are not zero."""
    import numpy as np

    totals = np.bincount(where, weights=weights)
    found = np.flatnonzero(totals)
    return [(int(place), int(totals[place])) for place in found]


def _root(square: Fraction) -> float:
    """Return the square root, rounded once, also of what no float can hold; infinity for a root
    that none can hold."""
    if square <= 0:
        return 0.0
    bits = square.numerator.bit_length() - square.denominator.bit_length()
    shift = (128 - bits) // 2
    scaled = square * Fraction(4) ** shift
    try:
        return math.ldexp(float(math.isqrt(scaled.numerator // scaled.denominator)), -shift)
    except OverflowError:
        return math.inf
