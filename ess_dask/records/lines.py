"""Lines of plain text: where they end and how many fields they have, by whole-array operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.records.arrays import binaries, ranges, slices
from ess_dask.records.bits import count_up_to, nth, places
from ess_dask.records.rejects import raws_of
from ess_dask.records.split import CR, LF

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ess_dask.records.bits import Words

    Bytes = NDArray[np.uint8]
    Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a text that ends with a line end; ``ends`` are the places of the LFs as bits,
    ``counted`` how many there are up to each word of them.

    Lines end in LF, with ``returns`` (some of them) in CRLF.
    """

    data: Bytes
    ends: Words
    counted: Indices
    returns: bool

    @classmethod
    def of(cls, data: Bytes, *, returns: bool) -> Lines:
        """Find the line ends."""
        import numpy as np

        ends = places(data, LF)
        return cls(data, ends, np.cumsum(np.bitwise_count(ends), dtype=np.int64), returns)

    @classmethod
    def joined(cls, parts: Sequence[Lines]) -> Lines:
        """Return the lines of all parts, one part behind the other."""
        import numpy as np

        if len(parts) == 1:
            return parts[0]
        data = np.concatenate([part.data for part in parts])
        return cls.of(data, returns=any(part.returns for part in parts))

    def __len__(self) -> int:
        return int(self.counted[-1])

    def extent(self, lines: Indices) -> tuple[Indices, Indices]:
        """Return where these lines begin and where they stop, without their ends."""
        import numpy as np

        starts = np.where(lines > 0, nth(self.ends, self.counted, lines - 1) + 1, 0)
        stops = nth(self.ends, self.counted, lines)
        returns = (stops > starts) & (self.data[stops - 1] == CR)
        return starts, stops - returns

    def raws(self, lines: Indices) -> pa.Array:
        """Return these lines without their ends, cut to RAW_LIMIT, as Arrow's binary."""
        return raws_of(self.data, *self.extent(lines))

    def text(self, lines: Indices) -> Bytes:
        """Return these lines with their ends, one behind the other, behind an empty line."""
        import numpy as np

        starts, _ = self.extent(lines)
        stops = nth(self.ends, self.counted, lines) + 1
        found: Bytes = np.frombuffer(slices(self.data, starts, stops).buffers()[2], np.uint8)
        return np.concatenate([np.array([LF], np.uint8), found])

    def take_irregular(self, delimiter: int, width: int) -> tuple[Indices, Indices, pa.Array]:
        """Take lines that do not have ``width`` fields out of the text: they become line ends.

        Returns which, ascending, how many fields each has (an empty one: none), and the lines as
        Arrow's binary. Few are missed: those that make up for one another (one field too few, one
        too many) with no more than 128 bytes between them, or all of a text together.
        """
        import numpy as np

        separators = places(self.data, delimiter)
        sums = np.bitwise_count(separators)
        if int(sums.sum(dtype=np.int64)) == len(self) * (width - 1):
            return np.zeros(0, np.int64), np.zeros(0, np.int64), binaries([])
        suspects = self._suspects(separators, width)
        starts, stops = self.extent(suspects)
        counted = np.cumsum(sums, dtype=np.int64)
        counts = count_up_to(separators, counted, stops) - count_up_to(separators, counted, starts)
        counts += stops > starts
        wrong = np.flatnonzero(counts != width)
        starts, stops = starts[wrong], stops[wrong]
        raws = raws_of(self.data, starts, stops)
        self.data[ranges(starts, stops)] = LF
        return suspects[wrong], counts[wrong], raws

    def _suspects(self, separators: Words, width: int) -> Indices:
        """Return the lines about which the sums are not as they would be were all lines regular.

        Compared are the first line ends of each two words: the separators and the ends between.
        """
        import numpy as np

        ends = self.ends
        # Sums may run over: only their differences are looked at.
        head = np.bitwise_count(separators & (ends - np.uint64(1)) & ~ends).astype(np.uint16)
        tail = np.bitwise_count(separators) - head
        at = np.flatnonzero(ends)
        if not len(at):
            return at
        found = np.diff(np.cumsum(head, dtype=np.uint16)[at], prepend=np.uint16(0))
        found[1:] += tail[at[:-1]]
        regular = np.uint16((width - 1) & 0xFFFF)
        wanted = np.bitwise_count(ends)[at[:-1]] * regular
        changed = np.flatnonzero(found != np.concatenate([[regular], wanted]))
        line = self.counted[at[changed]] - np.bitwise_count(ends[at[changed]])
        before = at[np.maximum(changed - 1, 0)]
        last = self.counted[before] - np.bitwise_count(ends[before])
        firsts = np.where(changed > 0, last + 1, 0)
        # Behind the last that was looked at there is nothing to compare with.
        firsts = np.append(firsts, len(self) - int(np.bitwise_count(ends[at[-1]])) + 1)
        return ranges(firsts, np.append(line + 1, len(self)))

    def empty(self) -> Indices:
        """Return the lines that are nothing but a line end."""
        import numpy as np

        starts, stops = self.extent(np.arange(len(self)))
        return np.flatnonzero(starts == stops)
