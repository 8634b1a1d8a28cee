"""Lines of plain text: where they end and how many fields they have, by whole-array operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ess_dask.records.bits import behind, nth, places, positions
from ess_dask.records.split import CR, LF, count_fields

if TYPE_CHECKING:
    import numpy as np
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

    def texts(self, lines: Indices) -> list[bytes]:
        """Return these lines without their ends."""
        view = self.data.data
        starts, stops = self.extent(lines)
        pairs = zip(starts.tolist(), stops.tolist(), strict=True)
        return [bytes(view[start:stop]) for start, stop in pairs]

    def wipe(self, lines: Indices) -> None:
        """Make these lines nothing but line ends, in place."""
        import numpy as np

        starts, stops = self.extent(lines)
        sizes = stops - starts
        before = np.cumsum(sizes) - sizes
        self.data[np.repeat(starts - before, sizes) + np.arange(int(sizes.sum()))] = LF

    def fields(self, delimiter: int) -> Indices:
        """Return the number of fields of each line."""
        return count_fields(self.data, positions(self.ends), delimiter)

    def blank(self) -> Indices:
        """Return the lines that are nothing but an LF."""
        import numpy as np

        found = self.ends & behind(self.ends)
        # The first line has nothing before it.
        found[0] |= self.ends[0] & np.uint64(1)
        if not found.any():
            return np.zeros(0, np.int64)
        at = positions(found)
        return np.searchsorted(positions(self.ends), at)
