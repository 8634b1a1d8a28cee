"""Quotes of CSV text: whether they open and close fields by turns, and on which lines they do not.

A quote opens a field at its start and closes it before a separator or a line end; within quotes two
of them stand for one. To the bits, the two of a pair close the field and open it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.records.bits import before, behind, count_between, from_odd_to_even, places
from ess_dask.records.bits import positions as positions_of
from ess_dask.records.split import LF, QUOTE

if TYPE_CHECKING:
    from ess_dask.aq.vector.text_lines import Flags, TextLines
    from ess_dask.records.bits import Bytes, Indices, Words


@dataclass(frozen=True, slots=True)
class Quoting:
    """The quotes, separators and line ends of a text, and what is inside of quotes."""

    quotes: Words
    separators: Words
    line_ends: Words
    inside: Words

    @classmethod
    def of(cls, data: Bytes, separator: int) -> Quoting:
        """Look at a text that ends with a line end."""
        quotes = places(data, QUOTE)
        return cls(quotes, places(data, separator), places(data, LF), from_odd_to_even(quotes))

    def strays(self) -> Words:
        """Return the quotes that neither open nor close a field where they stand."""
        edges = self.separators | self.line_ends | self.quotes
        starts = behind(edges)
        starts[0] |= 1
        opening = self.quotes & self.inside
        closing = self.quotes & ~self.inside
        return (opening & ~starts) | (closing & ~before(edges))

    def record_ends(self) -> Indices | None:
        """Return the line ends outside of quotes; None if any quote is where it should not be."""
        import numpy as np

        closed = not int(np.bitwise_count(self.quotes).sum()) % 2
        if not closed or self.strays().any():
            return None
        return positions_of(self.line_ends & ~self.inside)

    def fields(self, ends: Indices) -> Indices:
        """Return the number of fields of the records that end at ``ends``."""
        return count_between(self.separators & ~self.inside, ends) + 1


def irregular_lines(lines: TextLines, separator: int) -> Flags:
    """Return which lines have quotes that do not open and close fields by turns on that line."""
    import numpy as np

    quotes = places(lines.array, QUOTE)
    irregular: Flags = count_between(quotes, lines.ends) % 2 == 1
    others = np.flatnonzero(~irregular)
    rest = lines.kept(~irregular)
    if len(rest):
        # Without the lines that are odd, what is inside of quotes ends where its line does.
        strays = positions_of(Quoting.of(rest.array, separator).strays())
        irregular[others[np.searchsorted(rest.ends, strays)]] = True
    return irregular
