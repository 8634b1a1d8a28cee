"""Floats as C's ``%.17g`` prints them, a column at a time.

A double times a power of ten that is itself a double (10**0 to 10**22) is the exact sum of two
doubles. With the power that brings it between 10**16 and 10**17, rounding that sum to an integer
gives the 17 digits, ties to even, as the C library does. What lies outside is printed one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.aq.kinds import format_float
from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

_LOWEST, _HIGHEST = 1e-4, 1e17
"""Between these the notation has no exponent and the power of ten is exact."""
_SPLITTER = 134217729.0
_DIGITS = 17
_SAMPLE, _LARGE_SAMPLE = 512, 4096
_HASH_BITS, _HASH_FACTOR = 16, 0x9E3779B97F4A7C15
_EXACT = 2.0**53


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a column: those of ``table``, in each row the one at its ``places``; without
    places the table has a text for each row."""

    table: pl.Series
    places: Integers | None = None

    def between(self, before: str, behind: str) -> Texts:
        """Return each text between two others."""
        import polars as pl

        pieces = [pl.lit(before)] * bool(before) + [self.table] + [pl.lit(behind)] * bool(behind)
        return Texts(pl.select(pl.concat_str(pieces)).to_series(), self.places)

    def rows(self) -> pl.Series:
        """Return the text of each row."""
        return self.table if self.places is None else self.table.gather(self.places)


def format_floats(values: pl.Series) -> Texts:
    """Return the texts of a column of floats without nulls."""
    import polars as pl

    if values.is_empty():
        return Texts(pl.Series(dtype=pl.String))
    numbers = values.to_numpy()
    for quicker in (_few_different, _few_decimals):
        if (texts := quicker(numbers)) is not None:
            return texts
    return Texts(format_floats_once(numbers))


def format_floats_once(numbers: Floats) -> pl.Series:
    """Return the texts of an array of floats, each printed by itself."""
    import numpy as np
    import polars as pl

    sizes = np.abs(numbers)
    plain = (sizes >= _LOWEST) & (sizes < _HIGHEST)
    if plain.all():
        return _texts(numbers, sizes)
    texts = _texts(np.where(plain, numbers, 1.0), np.where(plain, sizes, 1.0))
    odd = np.flatnonzero(~plain)
    printed = [format_float(value) for value in numbers[odd].tolist()]
    return texts.scatter(odd.tolist(), pl.Series(printed, dtype=pl.String))


def _few_different(numbers: Floats) -> Texts | None:
    """Return the texts of numbers of which each occurs often, else None.

    A number's bits are hashed to a place in a table; the last number of each place is printed, and
    stands for all that are the same. Those that met another one there follow behind these.
    """
    import numpy as np

    if len(numbers) < 4 * _LARGE_SAMPLE:
        return None
    bits = numbers.view(np.uint64)
    if len(np.unique(bits[:: len(bits) // _LARGE_SAMPLE])) > _LARGE_SAMPLE // 2:
        return None
    hashed = (bits * _HASH_FACTOR >> np.uint64(64 - _HASH_BITS)).view(np.int64)
    last = np.full(1 << _HASH_BITS, -1, np.int32)
    last[hashed] = np.arange(len(numbers), dtype=np.int32)
    taken = np.flatnonzero(last >= 0)
    rank = np.zeros(len(last), np.int64)
    rank[taken] = np.arange(len(taken))
    places, different = rank[hashed], bits[last[taken]]
    others = np.flatnonzero(different[places] != bits)
    places[others] = len(different) + np.arange(len(others))
    different = np.concatenate((different, bits[others]))
    return Texts(format_floats_once(different.view(np.float64)), places)


def _few_decimals(numbers: Floats) -> Texts | None:
    """Return the texts of numbers that are a few different ones of few decimals, else None.

    Prices, rates, measures: what is an integer divided by a power of ten has a place in a table,
    and each place that occurs is printed once.
    """
    import numpy as np

    if len(numbers) < _SAMPLE:
        return None
    for scale in (1.0, 10.0, 100.0, 1000.0, 10000.0):
        if _scaled_back(numbers[:_SAMPLE], scale) is None:
            continue
        places = _scaled_back(numbers, scale)
        if places is None or np.signbit(numbers[places == 0]).any():
            return None
        places -= places.min()
        if int(places.max()) > 4 * len(numbers):
            return None
        occurs = np.bincount(places) > 0
        first = np.zeros(len(occurs), np.int64)
        first[places] = np.arange(len(numbers))
        table = format_floats_once(numbers[first[occurs]])
        return Texts(table, (np.cumsum(occurs) - 1)[places])
    return None


def _scaled_back(numbers: Floats, scale: float) -> Integers | None:
    """Return ``numbers * scale`` as integers if dividing gives each number back, else None."""
    import numpy as np

    places = np.rint(numbers * scale)
    with np.errstate(invalid="ignore"):
        exact = (np.abs(places) < _EXACT) & (places / scale == numbers)
    return places.astype(np.int64) if exact.all() else None


def _texts(numbers: Floats, sizes: Floats) -> pl.Series:
    import numpy as np
    import polars as pl

    digits, exponents = significant_digits(sizes)
    codes = (exponents + 4) * 2 + np.signbit(numbers)
    texts = pl.Series(digits).cast(pl.String)
    different = np.flatnonzero(np.bincount(codes)).tolist()
    if len(different) == 1:
        return _laid_out(texts, digits, different[0])
    parts, places = [], []
    for code in different:
        rows = np.flatnonzero(codes == code)
        parts.append(_laid_out(texts.gather(rows), digits[rows], code))
        places.append(rows)
    order = np.empty(len(digits), np.uint32)
    order[np.concatenate(places)] = np.arange(len(digits), dtype=np.uint32)
    return pl.concat(parts).gather(order)


def _laid_out(texts: pl.Series, digits: Integers, code: int) -> pl.Series:
    """Return sign, digits and point of numbers of one exponent, zeros at the end dropped.

    ``texts`` are the ``digits`` as strings; ``code`` is twice the exponent above the lowest one,
    and 1 more for negative numbers.
    """
    import polars as pl

    exponent, sign = (code >> 1) - 4, "-" if code & 1 else ""
    frame, text = texts.to_frame("text"), pl.col("text")
    if exponent < 0:
        shown = pl.concat_str(pl.lit(sign + "0." + "0" * (-exponent - 1)), text)
        return frame.select(shown.str.strip_chars_end("0")).to_series()
    whole = text.str.slice(0, exponent + 1)
    parts = [pl.lit(sign), whole] if sign else [whole]
    are_whole = digits % 10 ** (_DIGITS - 1 - exponent) == 0
    if are_whole.all():
        return frame.select(pl.concat_str(parts)).to_series()
    shown = pl.concat_str([*parts, pl.lit("."), text.str.slice(exponent + 1)])
    shown = shown.str.strip_chars_end("0")
    if are_whole.any():
        shown = shown.str.strip_chars_end(".")
    return frame.select(shown).to_series()


def significant_digits(sizes: Floats) -> tuple[Integers, Integers]:
    """Return the 17 significant digits of positive numbers, and their decimal exponents."""
    import numpy as np

    exponents = np.clip(np.floor(np.log10(sizes)).astype(np.int64), -4, 16)
    digits = _scaled(sizes, exponents)
    while True:
        # The logarithm may be one off, and rounding may give an 18th digit.
        low, high = digits < 10 ** (_DIGITS - 1), digits >= 10**_DIGITS
        wrong = np.flatnonzero(low | high)
        if not len(wrong):
            return digits, exponents
        exponents = exponents - low + high
        digits[wrong] = _scaled(sizes[wrong], exponents[wrong])


def _scaled(sizes: Floats, exponents: Integers) -> Integers:
    """Return ``sizes * 10**(16 - exponents)`` rounded to integers, halves to even."""
    import numpy as np

    powers: Floats = 10.0 ** np.arange(23, dtype=np.float64)
    scale = powers[_DIGITS - 1 - exponents]
    product = sizes * scale
    high, low = _halves(sizes)
    scale_high, scale_low = _halves(scale)
    rest = ((high * scale_high - product) + high * scale_low + low * scale_high) + low * scale_low
    return product.astype(np.int64) + np.rint(rest).astype(np.int64)


def _halves(values: Floats) -> tuple[Floats, Floats]:
    """Split doubles into two of half the precision, so that products of halves are exact."""
    shifted = values * _SPLITTER
    high = shifted - (shifted - values)
    return high, values - high
