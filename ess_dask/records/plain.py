"""Plain text: every physical line is one record, and most files are nothing else.

Text is plain when it holds no quote, ends its lines in LF or CRLF throughout, is valid UTF-8, has
no line beyond the longest record, and has two fields at least in a record. What is not plain goes
through ``split``, and gives the same for the same lines.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.records.arrays import (
    binaries,
    empty_table,
    from_numpy,
    repeated,
    select,
    strings,
    take,
)
from ess_dask.records.chunk import Chunk, Origin
from ess_dask.records.cut import cut, cut_pays
from ess_dask.records.lines import Lines
from ess_dask.records.plain_parse import Read, field_texts, read_cut, read_lines, typed_rows
from ess_dask.records.plain_read import Ragged
from ess_dask.records.rejects import (
    BLANK_LINE,
    RAW_LIMIT,
    Refused,
    field_count_reason,
    no_raws,
    reject_table,
)
from ess_dask.records.spec import ReadSpec
from ess_dask.records.split import LF, QUOTE, Layout
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


def plain_stop(buffer: bytearray, start: int, layout: Layout, *, returns: bool) -> int:
    """Return where the last whole line of a buffer ends when what it holds is plain, else 0.

    The first record to be typed begins at ``start``. Bytes behind the last line end count too.
    ``returns`` tells whether there is a carriage return.
    """
    if layout.eol != LF or buffer.find(QUOTE) >= 0 or buffer.startswith(BOM_UTF8, start):
        return 0
    stop = buffer.rfind(b"\n") + 1
    if not _lines_fit(buffer, stop, layout.max_record):
        return 0
    if returns and buffer.count(b"\r", 0, stop) != buffer.count(b"\r\n", 0, stop):
        return 0
    return stop if is_utf8(buffer, stop) else 0


def _lines_fit(buffer: bytearray, stop: int, limit: int) -> bool:
    start = 0
    while stop - start > limit:
        end = buffer.rfind(b"\n", start, start + limit + 1)
        if end < 0:
            return False
        start = end + 1
    return len(buffer) - stop <= limit


def is_utf8(buffer: bytes | bytearray, stop: int) -> bool:
    """Whether the bytes before ``stop`` are UTF-8."""
    import numpy as np

    # By NumPy: other threads can run meanwhile.
    if not buffer or int(np.frombuffer(buffer, np.uint8).max()) < 0x80:
        return True
    try:
        buffer[:stop].decode()
    except UnicodeDecodeError:
        return False
    return True


def type_plain(parts: Sequence[Plain]) -> list[Chunk]:
    """Return the chunk of each part, all of the same fields, typed together."""
    spec, fields = parts[0].spec, parts[0].fields
    lines = Lines.joined([part.lines for part in parts])
    read, refused = (_cut if cut_pays(lines, fields) else _parsed)(lines, fields, spec)
    if read is None:
        return list(_share_out(parts, empty_table(schema_of(fields.columns)), refused))

    def texts_of(position: int, rows: Indices) -> list[str | None]:
        return field_texts(lines.text(_behind(rows, refused)), position, fields, spec)

    table, failures = typed_rows(read, fields, spec, read.texts_of or texts_of)
    wrong = refused
    if len(failures):
        table = _without(table, failures.rows)
        places = _behind(failures.rows, refused)
        raws = _raws(lines, places, spec)
        more = Refused(places, failures.columns, failures.reasons, raws)
        wrong = refused.merged(more)
    return list(_share_out(parts, table, wrong))


def _cut(lines: Lines, fields: Fields, spec: ReadSpec) -> tuple[Read | None, Refused]:
    """Read only the fields that are wanted; None when no line is good."""
    found = cut(lines, ord(spec.delimiter), fields.width, fields.positions)
    raws = _raws(lines, found.wrong, spec)
    refused = _wrong_counts(found.wrong, found.counts, raws, fields)
    return None if len(refused) == len(lines) else read_cut(found, fields, spec), refused


def _parsed(lines: Lines, fields: Fields, spec: ReadSpec) -> tuple[Read | None, Refused]:
    """Let the parser have the lines; None when no line is good."""
    refused = _irregular(lines, fields, ord(spec.delimiter))
    if len(refused) == len(lines):
        return None, refused
    read = read_lines(lines.data, fields, spec)
    if read.table.num_rows + len(read.ragged.lines) + len(refused) < len(lines):
        refused = refused.merged(_empty(lines, refused))
    return read, refused.merged(_ragged(read.ragged, fields, refused))


def _raws(lines: Lines, which: Indices, spec: ReadSpec) -> pa.Array:
    return lines.raws(which) if spec.keep_rejects else no_raws(len(which))


def _behind(rows: Indices, refused: Refused) -> Indices:
    """Return the lines of the rows that are left without the refused lines."""
    import numpy as np

    # A row's line comes behind all refused lines that have no more rows than that before them.
    before = refused.places - np.arange(len(refused))
    return rows + np.searchsorted(before, rows, "right")


def _irregular(lines: Lines, fields: Fields, delimiter: int) -> Refused:
    """Take lines that do not have the right number of fields out of the text.

    The parser tells of these, too, but waits for Python each time: where one line in 200 is such,
    two threads lose a third of their time. It is left to those that are missed.
    """
    places, counts, raws = lines.take_irregular(delimiter, fields.width)
    return _wrong_counts(places, counts, raws, fields)


def _empty(lines: Lines, refused: Refused) -> Refused:
    """Return the empty lines that are not among the refused ones: the parser passes over them."""
    import numpy as np

    places = np.setdiff1d(lines.empty(), refused.places, assume_unique=True)
    count = len(places)
    return Refused(places, repeated("", count), repeated(BLANK_LINE, count), no_raws(count))


def _ragged(ragged: Ragged, fields: Fields, refused: Refused) -> Refused:
    """Return what the parser found to have a wrong number of fields, beside ``refused``."""
    import numpy as np

    places = _behind(np.array(ragged.lines, np.int64), refused)
    raws = binaries([text[:RAW_LIMIT] for text in ragged.texts])
    return _wrong_counts(places, np.array(ragged.fields, np.int64), raws, fields)


def _wrong_counts(places: Indices, counts: Indices, raws: pa.Array, fields: Fields) -> Refused:
    """Refuse lines that have so many fields: none for a blank one."""
    import numpy as np

    found, which = np.unique(counts, return_inverse=True)
    reasons = strings(
        [field_count_reason(n, fields.width) if n else BLANK_LINE for n in found.tolist()]
    )
    return Refused(places, repeated("", len(places)), take(reasons, from_numpy(which)), raws)


def _without(table: pa.Table, rows: Indices) -> pa.Table:
    import numpy as np

    kept = np.ones(table.num_rows, bool)
    kept[rows] = False
    return select(table, kept)


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
