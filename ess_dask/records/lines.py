"""Lines of plain text: where they end and how many fields they have, by whole-array operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ess_dask.records.split import CR, LF, count_fields, line_ends

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a text that ends with a line end; ``ends[i]`` is where the LF of line ``i`` is.

    Lines end in LF or CRLF.
    """

    data: Bytes
    ends: Indices

    @classmethod
    def of(cls, data: Bytes) -> Lines:
        """Find the line ends."""
        return cls(data, line_ends(data, LF))

    @classmethod
    def joined(cls, parts: Sequence[Lines]) -> Lines:
        """Return the lines of all parts, one part behind the other."""
        import numpy as np

        if len(parts) == 1:
            return parts[0]
        sizes = np.cumsum([0, *(len(part.data) for part in parts[:-1])])
        ends = [part.ends + before for part, before in zip(parts, sizes, strict=True)]
        return cls(np.concatenate([part.data for part in parts]), np.concatenate(ends))

    def __len__(self) -> int:
        return len(self.ends)

    def extent(self, lines: Indices) -> tuple[Indices, Indices]:
        """Return where these lines begin and where they stop, without their ends."""
        import numpy as np

        starts = np.where(lines > 0, self.ends[lines - 1] + 1, 0)
        stops = self.ends[lines]
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
        return count_fields(self.data, self.ends, delimiter)
