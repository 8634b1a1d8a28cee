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
from ess_dask.records.parse import Failure
from ess_dask.records.plain_parse import parse_lines
from ess_dask.records.rejects import Refused, field_count_reason, reject_table
from ess_dask.records.spec import ReadSpec
from ess_dask.records.split import CR, LF, QUOTE, Layout
from ess_dask.records.title import Fields
from ess_dask.records.types import schema_of

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.records.lines import Bytes, Indices


@dataclass(frozen=True, slots=True)
class Plain:
    """Some whole plain lines of one text, not yet cut into fields; ``len`` is their number.

    Whoever types them may write into ``data``: nobody else has it.
    """

    origin: Origin
    spec: ReadSpec
    fields: Fields
    data: Bytes
    lines: int

    def __len__(self) -> int:
        return self.lines


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
    data = parts[0].data if len(parts) == 1 else np.concatenate([part.data for part in parts])
    lines = Lines.of(data)
    refused = _wrong(lines, fields, ord(spec.delimiter))
    rows = np.delete(np.arange(len(lines)), refused.places)
    if not len(rows):
        table = empty_table(schema_of(fields.columns))
        return list(_share_out(parts, table, rows, refused))
    lines.wipe(refused.places)
    table, failures = parse_lines(data, fields, spec)
    if failures:
        kept = np.ones(len(rows), bool)
        kept[[failure.record for failure in failures]] = False
        refused = refused.merged(_failed(lines, rows[~kept], failures))
        table, rows = table.filter(from_numpy(kept)), rows[kept]
    return list(_share_out(parts, table, rows, refused))


def _wrong(lines: Lines, fields: Fields, delimiter: int) -> Refused:
    """Return the lines that do not have the right number of fields."""
    import numpy as np

    counts = lines.fields(delimiter)
    places = np.flatnonzero(counts != fields.width)
    texts = lines.texts(places)
    reasons = [
        field_count_reason(count, fields.width) if text else "blank line"
        for count, text in zip(counts[places].tolist(), texts, strict=True)
    ]
    return Refused(places, [""] * len(texts), reasons, texts)


def _failed(lines: Lines, places: Indices, failures: Sequence[Failure]) -> Refused:
    columns = [failure.column for failure in failures]
    return Refused(places, columns, [failure.reason for failure in failures], lines.texts(places))


def _share_out(
    parts: Sequence[Plain], table: pa.Table, rows: Indices, refused: Refused
) -> Iterator[Chunk]:
    """Yield each part's rows and rejects out of those of all; ``rows`` are their lines."""
    import numpy as np

    ends = np.cumsum([part.lines for part in parts])
    row_stops = np.searchsorted(rows, ends).tolist()
    refused_stops = np.searchsorted(refused.places, ends).tolist()
    first = row = low = 0
    for part, stop, high, end in zip(parts, row_stops, refused_stops, ends.tolist(), strict=True):
        origin, shift = part.origin, part.origin.line - first
        yield Chunk(
            table.slice(row, stop - row),
            reject_table(origin, refused.slice(low, high, shift)),
            partial(np.add, rows[row:stop], shift),
        )
        first, row, low = end, stop, high
