"""A text and its lines, some of which can be taken out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.records.bits import count_between, places
from ess_dask.records.split import LF, line_ends

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ess_dask.records.bits import Bytes, Indices

    Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TextLines:
    """Lines, or records of several lines; ``ends[i]`` is the place of the LF that ends line i."""

    data: bytes
    ends: Indices

    @classmethod
    def of(cls, data: bytes) -> TextLines:
        """Find the lines of a text that ends with a line end, or is empty."""
        import numpy as np

        return cls(data, line_ends(np.frombuffer(data, np.uint8), LF))

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def array(self) -> Bytes:
        """The bytes of the text."""
        import numpy as np

        return np.frombuffer(self.data, np.uint8)

    def none(self) -> Flags:
        """Return flags that are set for no line."""
        import numpy as np

        return np.zeros(len(self), bool)

    def lengths(self) -> Indices:
        """Return the number of bytes of each line without its end."""
        import numpy as np

        sizes: Indices = np.diff(self.ends, prepend=-1) - 1
        return sizes

    def text(self, line: int) -> bytes:
        """Return a line with its end."""
        start = int(self.ends[line - 1]) + 1 if line else 0
        return self.data[start : int(self.ends[line]) + 1]

    def joined(self, flags: Flags) -> bytes:
        """Return the flagged lines, one behind the other."""
        import numpy as np

        edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
        places = np.concatenate(([0], self.ends + 1))[edges].tolist()
        # Bytes, no views: so many of these would keep the garbage collector busy.
        pairs = zip(places[::2], places[1::2], strict=True)
        return b"".join([self.data[start:stop] for start, stop in pairs])

    def holding(self, byte: int) -> Flags:
        """Return which lines hold a byte."""
        if byte not in self.data:
            return self.none()
        flags: Flags = count_between(places(self.array, byte), self.ends) > 0
        return flags

    def kept(self, flags: Flags) -> TextLines:
        """Return the text of the flagged lines alone."""
        import numpy as np

        if flags.all():
            return self
        sizes = np.diff(self.ends, prepend=-1)
        return TextLines(self.joined(flags), np.cumsum(sizes[flags]) - 1)


def with_line_feeds(data: bytes) -> bytes:
    """Return a text whose lines, the last one too, all end with a line feed alone."""
    # One byte is found many times faster than two.
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if not data or data.endswith(b"\n"):
        return data
    return (data[:-1] if data.endswith(b"\r") else data) + b"\n"


def with_carriage_returns(data: bytes) -> bytes:
    """Return a text of which ``with_line_feeds`` makes this one.

    That is not always the text itself: where a CR stood before CR LF, it would take one more.
    """
    return data.replace(b"\n", b"\r\n") if b"\r\n" in data else data
