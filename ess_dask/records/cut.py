"""Plain lines cut into fields by where their separators are; only some fields are looked at.

The parser takes every field of every line apart. Where few of them are wanted it is faster to find
their edges: separators and line ends are bits, one for each byte, and those of a line shorter than
64 bytes fit into one word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cached_property
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.records.arrays import from_numpy, slices, strings, take
from ess_dask.records.bits import count_up_to, nth, places, positions
from ess_dask.records.split import CR, LF
from ess_dask.records.title import Fields

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ess_dask.records.bits import Words
    from ess_dask.records.lines import Bytes, Indices, Lines

    Edges = NDArray[np.int32]

BLOCK_WORDS = 1 << 14
"""Words of line ends that are looked at in one go: what is made of them stays near the
processor."""

_WINDOW = 64
"""A line shorter than this has all of its separators in one word."""


CUT_SHARE = 2
"""Fields are cut out where of so many no more than one is wanted."""


def cut_pays(lines: Lines, fields: Fields) -> bool:
    """Whether the fields are found faster so than by the parser: few fields of short lines."""
    size = len(lines.data)
    few = len(fields.positions) * CUT_SHARE <= fields.width
    return few and size < min(len(lines) * _WINDOW, 1 << 31)


@dataclass(frozen=True, slots=True)
class Cut:
    """Lines with some of their fields: ``edges`` has for each position where the field begins and
    where it stops in each line with the right number of fields, one line behind the other.

    The other lines are ``wrong`` (their numbers, ascending), with ``counts`` fields (an empty one:
    none).
    """

    data: Bytes
    edges: Mapping[int, Edges]
    wrong: Indices
    counts: Indices

    def texts(self, position: int) -> pa.Array:
        """Return a field of all good lines as Arrow strings."""
        return self._taken(self.edges[position])

    def some(self, position: int, rows: Indices) -> list[str | None]:
        """Return a field of some good lines, by their numbers among these."""
        import numpy as np
        import pyarrow as pa

        edges = self.edges[position]
        starts, stops = (edges[side::2][rows].astype(np.int64) for side in (0, 1))
        texts: list[str | None] = slices(self.data, starts, stops, pa.string()).to_pylist()
        return texts

    def column(self, position: int) -> Bytes:
        """Return a field of all good lines as a text, each on a line that ends in LF."""
        import numpy as np

        edges = self.edges[position].copy()
        edges[1::2] += 1
        _, offsets, data = self._taken(edges).buffers()
        ends = np.frombuffer(offsets, np.int32)
        text = np.frombuffer(data, np.uint8)[: ends[-1]].copy()
        text[ends[1:] - 1] = LF
        return text

    def _taken(self, edges: Edges) -> pa.Array:
        import numpy as np
        import pyarrow as pa

        if not len(edges):
            return strings([])
        # With what is between them the fields are all of a text.
        buffers = [None, pa.py_buffer(edges), pa.py_buffer(self.data)]
        every = pa.Array.from_buffers(pa.string(), len(edges) - 1, buffers)
        even = np.arange(0, len(edges), 2, dtype=np.int32)
        return take(every, from_numpy(even))


def cut(lines: Lines, delimiter: int, width: int, wanted: Sequence[int]) -> Cut:
    """Find the fields at the positions ``wanted`` of lines that have ``width`` fields, two at
    least, in a text of less than 2 GiB."""
    import numpy as np

    separators = _Separators(np.append(places(lines.data, delimiter), np.uint64(0)))
    # A field lies between two separators: that before it has its number less one.
    bounds = {position - 1 for position in wanted} | set(wanted)
    found = {position: np.empty(2 * len(lines), np.int32) for position in wanted}
    wrong, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    number = row = 0
    for starts, stops in _extents(lines):
        count, behind = separators.find(starts, stops, bounds & set(range(width - 1)))
        if -1 in bounds:
            behind[-1] = starts.astype(np.int32)
        if width - 1 in bounds:
            behind[width - 1] = stops.astype(np.int32) + np.int32(1)
        good = count == width - 1
        if not good.all():
            bad = np.flatnonzero(~good)
            wrong.append(bad + number)
            counts.append((count[bad] + (stops > starts)[bad]).astype(np.int64))
            kept = np.flatnonzero(good)
            behind = {bound: each.take(kept) for bound, each in behind.items()}
        last = row + 2 * int(np.count_nonzero(good))
        for position, edges in found.items():
            edges[row:last:2] = behind[position - 1]
            np.subtract(behind[position], 1, out=edges[row + 1 : last : 2])
        number, row = number + len(starts), last
    whole = {position: edges[:row] for position, edges in found.items()}
    return Cut(lines.data, whole, np.concatenate(wrong), np.concatenate(counts))


def _extents(lines: Lines) -> Iterator[tuple[Indices, Indices]]:
    """Yield where some lines begin and where they stop, without their ends; all in order."""
    import numpy as np

    start = 0
    for first in range(0, len(lines.ends), BLOCK_WORDS):
        ends = positions(lines.ends[first : first + BLOCK_WORDS])
        if not len(ends):
            continue
        ends += first * 64
        starts = np.empty_like(ends)
        starts[0] = start
        np.add(ends[:-1], 1, out=starts[1:])
        start = int(ends[-1]) + 1
        if lines.returns:
            ends -= (ends > starts) & (lines.data[ends - 1] == CR)
        yield starts, ends


class _Separators:
    """The places of the separators as bits; at the end there is a word without any."""

    def __init__(self, words: Words) -> None:
        self._words = words

    @cached_property
    def _counted(self) -> Indices:
        import numpy as np

        counted: Indices = np.cumsum(np.bitwise_count(self._words), dtype=np.int64)
        return counted

    def find(
        self, starts: Indices, stops: Indices, which: Set[int]
    ) -> tuple[NDArray[np.integer], dict[int, Edges]]:
        """Return how many there are in each line, and the places right behind some of them by
        number, from 0; where a line has no such one it is any place."""
        import numpy as np

        sizes = stops - starts
        words = self._windows(starts, sizes)
        counts: NDArray[np.integer] = np.bitwise_count(words)
        firsts = starts.astype(np.int32)
        behind: dict[int, Edges] = {}
        below = np.empty_like(words)
        for number in range(max(which, default=-1) + 1):
            np.subtract(words, np.uint64(1), out=below)
            if number in which:
                behind[number] = firsts + np.bitwise_count(words ^ below)
            words &= below
        long = np.flatnonzero(sizes >= _WINDOW)
        if len(long):
            before, after = (
                count_up_to(self._words, self._counted, ends[long]) for ends in (starts, stops)
            )
            counts = counts.astype(np.int64)
            counts[long] = after - before
            last = int(self._counted[-1]) - 1
            for number, found in behind.items():
                which_one = np.minimum(before + number, last)
                found[long] = nth(self._words, self._counted, which_one) + 1
        return counts, behind

    def _windows(self, starts: Indices, sizes: Indices) -> Words:
        """Return those in the first 63 bytes of each line, that of its first byte lowest."""
        import numpy as np

        one = np.uint64(1)
        word, shift = starts >> 6, (starts & 63).view(np.uint64)
        low: Words = self._words.take(word)
        low >>= shift
        high = self._words.take(word + 1)
        high <<= one
        high <<= np.uint64(63) - shift
        low |= high
        low &= (one << np.minimum(sizes, _WINDOW - 1).view(np.uint64)) - one
        return low
