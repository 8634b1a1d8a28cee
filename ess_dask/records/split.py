"""Where records begin and end in a buffer of CSV text, found with whole-array operations.

A record is well formed when every quoted field opens right after a delimiter or the start of the
record and its closing quote is followed by a delimiter or the end of the record (RFC 4180). A
record that is not, or that is longer than allowed, gives up only the physical line it began on;
reading goes on with the next physical line. Positions of quotes, delimiters and line ends are
computed once per buffer, so that broken quotes cost a few look-ups each and never a new scan.
"""

from __future__ import annotations

from bisect import bisect_left
from enum import IntEnum
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.records.bits import PIECE_BYTES, count_between, places

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Positions = NDArray[np.int64]
    Bytes = NDArray[np.uint8]
    Flags = NDArray[np.bool_]

QUOTE = 0x22
LF = 0x0A
CR = 0x0D

_LOOK_AHEAD = 2
"""Bytes after a record's longest extent that can still change how its last quote is seen."""


class Fault(IntEnum):
    """What makes a record malformed."""

    NONE = 0
    STRAY_QUOTE = 1
    TEXT_AFTER_QUOTE = 2
    OPEN_QUOTE = 3
    TOO_LONG = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """What structures the text: delimiter, line end (LF or CR), longest record in bytes."""

    delimiter: int
    eol: int
    max_record: int


@dataclass(frozen=True, slots=True)
class Records:
    """Records of a buffer, in order; arrays have one element each.

    Record ``i`` is ``buffer[starts[i]:stops[i]]`` without its line end; ``fields`` is its number of
    fields, ``lines`` the number of line ends before it in the buffer (int64), ``faults`` a
    ``Fault``. ``consumed`` bytes and ``consumed_lines`` line ends are dealt with; ``open_fault`` is
    the fault of the record that begins at ``consumed``, if it is already known to be malformed.
    """

    starts: Positions
    stops: Positions
    fields: Positions
    lines: Positions
    faults: Bytes
    consumed: int
    consumed_lines: int
    open_fault: Fault


def split(buffer: bytes, layout: Layout, *, final: bool) -> Records:
    """Split a buffer that starts at the start of a record; the last record may be incomplete.

    With ``final`` nothing follows, and the buffer must be empty or end with a line end.
    """
    import numpy as np

    data = np.frombuffer(buffer, np.uint8) if buffer else np.zeros(0, np.uint8)
    if buffer.find(QUOTE) >= 0:
        return _split_quoted(data, layout, final=final)
    ends = line_ends(data, layout.eol)
    records = _cut(data, ends, count_fields(data, ends, layout.delimiter), layout)
    faults = np.where(
        records.ends - records.starts > layout.max_record, Fault.TOO_LONG, Fault.NONE
    ).astype(np.uint8)
    too_long = len(data) - records.consumed > layout.max_record + _LOOK_AHEAD
    return Records(
        records.starts,
        records.stops,
        records.fields,
        np.arange(len(ends), dtype=np.int64),
        faults,
        records.consumed,
        len(ends),
        Fault.TOO_LONG if too_long else Fault.NONE,
    )


@dataclass(frozen=True, slots=True)
class _Cut:
    starts: Positions
    stops: Positions
    ends: Positions
    fields: Positions
    consumed: int


def _records(data: Bytes, marks: Positions, ends: Positions, layout: Layout) -> _Cut:
    """Cut at the marks with index ``ends``; every other mark is a delimiter."""
    import numpy as np

    return _cut(data, marks[ends], np.diff(ends, prepend=-1), layout)


def line_ends(data: Bytes, eol: int) -> Positions:
    """Return where this line end is."""
    import numpy as np

    starts = range(0, len(data), PIECE_BYTES)
    pieces = [np.flatnonzero(data[start : start + PIECE_BYTES] == eol) for start in starts]
    for start, piece in zip(starts, pieces, strict=True):
        piece += start
    return np.concatenate(pieces or [np.zeros(0, np.int64)])


def count_fields(data: Bytes, ends: Positions, delimiter: int) -> Positions:
    """Return the number of fields of each unquoted record that ends at ``ends`` (ascending)."""
    counts: Positions = count_between(places(data, delimiter), ends) + 1
    return counts


def _cut(data: Bytes, last: Positions, fields: Positions, layout: Layout) -> _Cut:
    """Cut after the positions ``last``."""
    import numpy as np

    starts = np.empty_like(last)
    starts[:1] = 0
    starts[1:] = last[:-1] + 1
    stops = last
    if layout.eol == LF and (data == CR).any():
        # A carriage return belongs to the line end; before an empty first line stands nothing.
        stops = last - ((data[last - 1] == CR) & (last > starts))
    return _Cut(starts, stops, last, fields, int(last[-1]) + 1 if len(last) else 0)


def _split_quoted(data: Bytes, layout: Layout, *, final: bool) -> Records:
    import numpy as np

    marks = np.flatnonzero((data == layout.delimiter) | (data == layout.eol) | (data == QUOTE))
    kinds = data[marks]
    is_quote = kinds == QUOTE
    plain = ~is_quote
    quotes_before = np.cumsum(is_quote)[plain]
    quotes, marks = marks[is_quote], marks[plain]
    is_end = kinds[plain] == layout.eol
    scan = _Scan(data, layout, quotes, marks[is_end], quotes_before[is_end], final)
    walk = scan.walk()
    keep = _inside(marks, quotes_before, walk)
    keep[np.searchsorted(marks, walk.fault_ends)] = True
    marks, is_end = marks[keep], is_end[keep]
    cut = _records(data, marks, np.flatnonzero(is_end), layout)
    faults = np.zeros(len(cut.ends), np.uint8)
    faults[np.searchsorted(cut.ends, walk.fault_ends)] = walk.faults
    return Records(
        cut.starts,
        cut.stops,
        cut.fields,
        np.searchsorted(scan.ends, cut.starts).astype(np.int64),
        faults,
        cut.consumed,
        int(np.searchsorted(scan.ends, cut.consumed)),
        walk.open_fault,
    )


@dataclass(frozen=True, slots=True)
class _Walk:
    """Stretches of whole records (start, stop, parity of quotes before) and malformed lines."""

    starts: list[int]
    stops: list[int]
    parities: list[int]
    fault_ends: Positions
    faults: Bytes
    open_fault: Fault


def _inside(marks: Positions, quotes_before: Positions, walk: _Walk) -> Flags:
    """Return which marks are structure: in a stretch and outside quotes."""
    import numpy as np

    stretch = np.searchsorted(np.array(walk.starts), marks, "right") - 1
    parity = np.array(walk.parities)[stretch]
    kept: Flags = (marks < np.array(walk.stops)[stretch]) & ((quotes_before & 1) == parity)
    return kept


class _Scan:
    """Finds the stretches of well-formed records between malformed ones.

    Whether a quote opens or closes depends only on the parity of the quotes since the start of the
    stretch: what each parity would mean is prepared for both, so that a restart is a look-up.
    """

    def __init__(
        self,
        data: Bytes,
        layout: Layout,
        quotes: Positions,
        ends: Positions,
        quotes_before: Positions,
        final: bool,
    ) -> None:
        import numpy as np

        self.size = len(data)
        self.layout = layout
        self.quotes = quotes
        self.ends = ends
        self.quotes_before = quotes_before
        self.final = final
        opens, closes = _legal(data, layout, quotes)
        even = (np.arange(len(quotes)) & 1) == 0
        self.wrong = [
            np.flatnonzero(np.where(even, ~opens, ~closes)).data,
            np.flatnonzero(np.where(even, ~closes, ~opens)).data,
        ]
        self.outside = [ends[(quotes_before & 1) == parity] for parity in (0, 1)]
        self.long = [
            (np.flatnonzero(np.diff(some) - 1 > layout.max_record) + 1).data
            for some in self.outside
        ]
        # Look-ups one by one: plain integers out of a memory view are several times faster.
        self.views = [some.data for some in self.outside]
        self.quote_view, self.end_view = quotes.data, ends.data

    def walk(self) -> _Walk:
        """Go through the buffer from fault to fault."""
        import numpy as np

        starts, stops, parities = [0], [], [0]
        fault_ends: list[int] = []
        faults: list[Fault] = []
        open_fault = Fault.NONE
        position = quote = 0
        while (found := self._next_fault(position, quote)) is not None:
            record, fault = found
            line = bisect_left(self.end_view, record)
            stops.append(record)
            if line == len(self.ends):
                open_fault = fault
                break
            fault_ends.append(self.end_view[line])
            faults.append(fault)
            position, quote = self.end_view[line] + 1, int(self.quotes_before[line])
            starts.append(position)
            parities.append(quote & 1)
        else:
            stops.append(self.size)
        ends = np.array(fault_ends, np.int64)
        return _Walk(starts, stops, parities, ends, np.array(faults, np.uint8), open_fault)

    def _next_fault(self, position: int, quote: int) -> tuple[int, Fault] | None:
        """Return start and fault of the first malformed record from ``position`` on."""
        parity = quote & 1
        outside = self.views[parity]
        first = bisect_left(outside, position)
        record = self._first_long(position, parity, first)
        wrong = self.wrong[parity]
        at = bisect_left(wrong, quote)
        if at < len(wrong):
            where = self.quote_view[wrong[at]]
            before = bisect_left(outside, where) - 1
            begun = outside[before] + 1 if before >= first else position
            if record is None or begun <= record:
                if where - begun < self.layout.max_record:
                    opening = (wrong[at] - quote) % 2 == 0
                    return begun, Fault.STRAY_QUOTE if opening else Fault.TEXT_AFTER_QUOTE
                record = begun
        return None if record is None else (record, self._limit_fault(record))

    def _first_long(self, position: int, parity: int, first: int) -> int | None:
        """Return the start of the first record that is too long or never ends."""
        outside, long = self.views[parity], self.long[parity]
        if first < len(outside) and outside[first] - position > self.layout.max_record:
            return position
        at = bisect_left(long, first + 1)
        if at < len(long):
            return int(outside[long[at] - 1]) + 1
        last = int(outside[-1]) + 1 if first < len(outside) else position
        rest = self.size - last
        endless = rest > 0 if self.final else rest > self.layout.max_record + _LOOK_AHEAD
        return last if endless else None

    def _limit_fault(self, record: int) -> Fault:
        limit = min(record + self.layout.max_record, self.size)
        quotes = bisect_left(self.quote_view, limit) - bisect_left(self.quote_view, record)
        return Fault.OPEN_QUOTE if quotes % 2 else Fault.TOO_LONG


def _legal(data: Bytes, layout: Layout, quotes: Positions) -> tuple[Flags, Flags]:
    """Return for each quote whether it may open, and whether it may close a field."""
    import numpy as np

    structure = np.zeros(256, bool)
    structure[[layout.delimiter, layout.eol, QUOTE]] = True
    opens = structure[data[quotes - 1]] | (quotes == 0)
    # Behind the buffer anything may come: what stands at its edge is decided with the next one.
    last = len(data) - 1
    after = data[np.minimum(quotes + 1, last)]
    closes = structure[after] | (quotes == last)
    if layout.eol == LF:
        line_end = (data[np.minimum(quotes + 2, last)] == LF) | (quotes + 1 == last)
        closes |= (after == CR) & line_end
    return opens, closes
