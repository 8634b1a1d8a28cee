"""Plain text: every physical line is one record, and most files are nothing else.

Text is plain when it holds no quote, ends its lines in LF or CRLF throughout, is valid UTF-8, has
no line beyond the longest record, and has two fields at least in a record. What is not plain goes
through ``split``, and gives the same for the same lines.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ess_dask.records.arrays import empty_table, from_numpy
from ess_dask.records.chunk import Chunk, Origin
from ess_dask.records.lines import Lines
from ess_dask.records.plain_parse import parse_lines
from ess_dask.records.rejects import BLANK_LINE, Refused, field_count_reason, reject_table
from ess_dask.records.spec import ReadSpec
from ess_dask.records.split import CR, LF, QUOTE, Layout
from ess_dask.records.title import Fields
from ess_dask.records.types import schema_of

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.records.lines import Indices


@dataclass(frozen=True, slots=True)
class Plain:
    """Some whole plain lines of one text, not yet cut into fields; ``len`` is their number.

    Whoever types them may write into their data: nobody else has it.
    """

    origin: Origin
    spec: ReadSpec
    fields: Fields
    lines: Lines

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def size(self) -> int:
        """Bytes of text."""
        return len(self.lines.data)


def plain_stop(buffer: bytearray, start: int, layout: Layout) -> int:
    """Return where the last whole line of a buffer ends when what it holds is plain, else 0.

    The first record to be typed begins at ``start``. Bytes behind the last line end count too.
    """
    if layout.eol != LF or buffer.find(QUOTE) >= 0 or buffer.startswith(BOM_UTF8, start):
        return 0
    stop = buffer.rfind(b"\n") + 1
    if not _lines_fit(buffer, stop, layout.max_record):
        return 0
    if buffer.find(CR) >= 0 and buffer.count(b"\r", 0, stop) != buffer.count(b"\r\n", 0, stop):
        return 0
    return stop if buffer.isascii() or decodes(buffer[:stop]) else 0


def _lines_fit(buffer: bytearray, stop: int, limit: int) -> bool:
    start = 0
    while stop - start > limit:
        end = buffer.rfind(b"\n", start, start + limit + 1)
        if end < 0:
            return False
        start = end + 1
    return len(buffer) - stop <= limit


def decodes(data: bytes | bytearray) -> bool:
    """Whether the bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def type_plain(parts: Sequence[Plain]) -> list[Chunk]:
    """Return the chunk of each part, all of the same fields, typed together."""
    import numpy as np

    spec, fields = parts[0].spec, parts[0].fields
    lines = Lines.joined([part.lines for part in parts])
    refused = _wrong(lines, fields, ord(spec.delimiter))
    if len(refused) == len(lines):
        return list(_share_out(parts, empty_table(schema_of(fields.columns)), refused))
    lines.wipe(refused.places)
    # A row's line comes behind all refused lines that have no more rows than that before them.
    before = refused.places - np.arange(len(refused))

    def places(rows: Indices) -> Indices:
        return rows + np.searchsorted(before, rows, "right")

    table, failures = parse_lines(lines.data, fields, spec, lambda rows: lines.texts(places(rows)))
    if failures:
        rows = np.array([failure.record for failure in failures], np.int64)
        table = _without(table, rows)
        columns = [failure.column for failure in failures]
        reasons = [failure.reason for failure in failures]
        more = Refused(places(rows), columns, reasons, lines.texts(places(rows)))
        refused = refused.merged(more)
    return list(_share_out(parts, table, refused))


def _wrong(lines: Lines, fields: Fields, delimiter: int) -> Refused:
    """Return the lines that do not have the right number of fields."""
    import numpy as np

    counts = lines.fields(delimiter)
    places = np.flatnonzero(counts != fields.width)
    texts = lines.texts(places)
    found = counts[places].tolist()
    reasons = {count: field_count_reason(count, fields.width) for count in set(found)}
    return Refused(
        places,
        [""] * len(texts),
        [reasons[n] if text else BLANK_LINE for n, text in zip(found, texts, strict=True)],
        texts,
    )


def _without(table: pa.Table, rows: Indices) -> pa.Table:
    import numpy as np

    kept = np.ones(table.num_rows, bool)
    kept[rows] = False
    return table.filter(from_numpy(kept))


def _share_out(parts: Sequence[Plain], table: pa.Table, refused: Refused) -> Iterator[Chunk]:
    """Yield each part's rows and rejects out of those of all."""
    import numpy as np

    ends = np.cumsum([len(part) for part in parts])
    highs = np.searchsorted(refused.places, ends).tolist()
    first = row = low = 0
    for part, high, end in zip(parts, highs, ends.tolist(), strict=True):
        origin, rows = part.origin, len(part) - (high - low)
        mine = refused.slice(low, high, origin.line - first)
        yield Chunk(
            table.slice(row, rows),
            reject_table(origin, mine),
            partial(_other_lines, origin.line, len(part), mine.places),
        )
        first, row, low = end, row + rows, high


def _other_lines(first: int, count: int, gone: Indices) -> Indices:
    import numpy as np

    return np.delete(np.arange(first, first + count, dtype=np.int64), gone - first)
