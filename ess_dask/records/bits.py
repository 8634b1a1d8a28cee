"""Places in a text as bits, one for each byte: 64 of them are looked at in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]
    Bytes = NDArray[np.uint8]
    Indices = NDArray[np.int64]

PIECE_BYTES = 1 << 20
"""Text of which all bytes are compared in one go (a multiple of 64): the outcome is used again at
once and stays near the processor."""


def places(data: Bytes, byte: int) -> Words:
    """Return where a byte is: bit ``i % 64`` of word ``i // 64``; one bit at least is behind it."""
    import numpy as np

    words = np.zeros(len(data) // 64 + 1, np.uint64)
    octets = words.view(np.uint8)
    for start in range(0, len(data), PIECE_BYTES):
        bits = np.packbits(data[start : start + PIECE_BYTES] == byte, bitorder="little")
        octets[start // 8 : start // 8 + len(bits)] = bits
    return words


def positions(words: Words) -> Indices:
    """Return the places that are set, ascending; fastest where there are few in a word."""
    import numpy as np

    at = np.flatnonzero(words != 0)
    left = words.take(at)
    sizes = np.bitwise_count(left)
    into = np.cumsum(sizes, dtype=np.int64) - sizes
    found = np.empty(int(into[-1]) + int(sizes[-1]) if len(at) else 0, np.int64)
    first = at * 64
    while len(left):
        below = left - np.uint64(1)
        found[into] = first + np.bitwise_count(below & ~left)
        left &= below
        more = np.flatnonzero(left != 0)
        left, first, into = left.take(more), first.take(more), into.take(more) + 1
    return found


def nth(words: Words, counted: Indices, which: Indices) -> Indices:
    """Return the places of the set bits number ``which`` (from 0; one below 0 gives any place).

    ``counted`` is how many are set up to the end of each word.
    """
    import numpy as np

    at = np.searchsorted(counted, which, "right")
    words = words[at]
    skip = which - np.where(at > 0, counted[at - 1], 0)
    more = np.flatnonzero(skip > 0)
    while len(more):
        words[more] &= words[more] - np.uint64(1)
        skip[more] -= 1
        more = more[skip[more] > 0]
    found: Indices = at * 64 + np.bitwise_count((words - np.uint64(1)) & ~words)
    return found


def count_between(words: Words, ends: Indices) -> Indices:
    """Return how many places are set before each end (ascending) and not before the one before it.

    They are counted 64 at a time; where an end is inside of 64, those from there on are taken off
    again.
    """
    import numpy as np

    counted = np.cumsum(np.bitwise_count(words), dtype=np.int64)
    counts: Indices = np.diff(count_up_to(words, counted, ends), prepend=0)
    return counts


def count_up_to(words: Words, counted: Indices, ends: Indices) -> Indices:
    """Return how many places are set before each of ``ends``; ``counted`` as for ``nth``."""
    import numpy as np

    place = ends >> 6
    behind = np.bitwise_count(words[place] >> (ends & 63).view(np.uint64))
    count: Indices = counted[place] - behind
    return count


def behind(words: Words) -> Words:
    """Return the places that have a set one right before them."""
    import numpy as np

    moved = words << np.uint64(1)
    moved[1:] |= words[:-1] >> np.uint64(63)
    return moved


def before(words: Words) -> Words:
    """Return the places that have a set one right behind them."""
    import numpy as np

    moved = words >> np.uint64(1)
    moved[:-1] |= words[1:] << np.uint64(63)
    return moved


def from_odd_to_even(words: Words) -> Words:
    """Return the places from each odd one that is set up to the even one that follows it.

    With quotes: the places inside of them, opening quotes included.
    """
    import numpy as np

    inside = words.copy()
    for step in (1, 2, 4, 8, 16, 32):
        inside ^= inside << np.uint64(step)
    odd = np.cumsum(np.bitwise_count(words) & 1) & 1
    inside[1:] ^= np.where(odd[:-1], np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0))
    return inside
