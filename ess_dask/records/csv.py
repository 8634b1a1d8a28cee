"""Reads delimited text: bytes in, typed chunks with their rejects out, in file order.

The result does not depend on how the bytes arrive or on ``chunk_bytes``. Every record becomes a row
or a reject. Text is split by ``split`` (RFC 4180 quoting, line ends LF, CRLF or, when the start of
the file holds no LF, CR). A carriage return before an LF belongs to the line end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ess_dask.errors import ColumnsError, ConfigError
from ess_dask.records.again import as_utf8, join_records
from ess_dask.records.archives import open_files
from ess_dask.records.chunk import REJECT_FIELDS, Chunk, FileSource
from ess_dask.records.feed import Feed
from ess_dask.records.parse import Rows, parse_rows
from ess_dask.records.rejects import RAW_LIMIT, build_rejects
from ess_dask.records.spec import Column, ReadSpec
from ess_dask.records.split import LF, Fault, Layout, Records, split
from ess_dask.records.text import utf8_blocks
from ess_dask.records.title import Fields, fields_by_position, fields_by_title
from ess_dask.records.types import arrow_type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray


AGAIN_ROWS = 100_000
"""Rejected rows that are read again in one chunk."""


def read_chunks(
    source: FileSource, spec: ReadSpec, blocks: Iterable[bytes] | None = None
) -> Iterator[Chunk]:
    """Yield the rows and rejects of one file, at least one chunk, each about ``chunk_bytes``.

    ``blocks`` are the plain bytes when they already went through other hands; otherwise the file
    is opened and decompressed, and an archive is read member by member. Raises ``ReadError``,
    ``ColumnsError`` and ``ConfigError``.
    """
    _check(spec)
    empty = True
    files = open_files(source, spec) if blocks is None else [(source.uri, blocks)]
    for uri, content in files:
        member = uri.removeprefix(f"{source.uri}!") if uri != source.uri else ""
        for chunk in _File(source.uri, spec, member).chunks(content):
            empty = False
            yield chunk
    if empty:
        yield _empty(source.uri, spec)


def read_rejected(rejects: pa.Table, spec: ReadSpec) -> Iterator[Chunk]:
    """Yield the rows and rejects of rows of one file that were rejected before.

    ``rejects`` has ``REJECT_FIELDS``. Each raw text is read by itself, under the title of its file
    and with its own line number; the text is what bytes steps had left. One chunk per member at
    least. Raises ``ColumnsError`` when columns go by name and the title is not known or does not
    have them.
    """
    _check(spec)
    for group in _same_title(rejects):
        first = group.slice(0, 1).to_pylist()[0]
        file = _File(first["uri"], spec, first["member"])
        file.title = first["title"]
        yield from file.again(group)


def _same_title(rejects: pa.Table) -> Iterator[pa.Table]:
    """Yield stretches of rows with the same member and title, of a size fit for a chunk."""
    names = list(zip(*(rejects[name].to_pylist() for name in ("member", "title")), strict=True))
    start = 0
    for stop in range(1, len(names) + 1):
        if stop == len(names) or names[stop] != names[start] or stop - start == AGAIN_ROWS:
            yield rejects.slice(start, stop - start)
            start = stop


def _check(spec: ReadSpec) -> None:
    delimiter = spec.delimiter
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        raise ConfigError(
            f"bad delimiter {delimiter!r}", hint="use one ASCII character, no quote or line end"
        )
    names = [column.name for column in spec.columns if column.type.name != "skip"]
    if not names:
        raise ConfigError("no column is declared", hint="declare the columns to read")
    folded = [name.strip().casefold() for name in names]
    twice = sorted({name for name, key in zip(names, folded, strict=True) if folded.count(key) > 1})
    if twice:
        raise ConfigError(f"columns declared twice: {', '.join(twice)}", hint="rename one")


def _empty(uri: str, spec: ReadSpec) -> Chunk:
    import numpy as np

    schema = schema_of(fields_by_position(spec).columns)
    return Chunk(schema.empty_table(), np.zeros(0, np.int64), build_rejects(uri))


def fault_reason(fault: Fault, spec: ReadSpec) -> str:
    """Return what is said about a malformed record."""
    return {
        Fault.STRAY_QUOTE: "stray quote in an unquoted field",
        Fault.TEXT_AFTER_QUOTE: "text after a closing quote",
        Fault.OPEN_QUOTE: "quote not closed",
    }.get(fault, f"record longer than {spec.max_record_bytes} bytes")


def schema_of(columns: tuple[Column, ...]) -> pa.Schema:
    """Return the Arrow schema of the declared columns."""
    import pyarrow as pa

    return pa.schema([(column.name, arrow_type(column.type)) for column in columns])


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a buffer stands in its file: bytes and physical lines before it."""

    offset: int
    line: int

    def after(self, data: int, lines: int) -> _Place:
        return _Place(self.offset + data, self.line + lines)


class _File:
    """Reads one text, be it a whole file or a member of an archive."""

    def __init__(self, uri: str, spec: ReadSpec, member: str = "") -> None:
        self.uri = uri
        self.member = member
        self.name = f"{uri}!{member}" if member else uri
        self.title = ""
        self.spec = spec
        self.fields = None if spec.header else fields_by_position(spec)
        # A malformed line is shown up to RAW_LIMIT: that much of it is kept in any case.
        self.hold = max(spec.max_record_bytes, RAW_LIMIT) + 4

    def chunks(self, blocks: Iterable[bytes]) -> Iterator[Chunk]:
        skipped, stream = utf8_blocks(blocks, self.spec.encoding)
        feed = Feed(stream)
        layout = Layout(ord(self.spec.delimiter), feed.line_end(), self.spec.max_record_bytes)
        place = _Place(skipped, 1)
        rest = b""
        while True:
            buffer, final = feed.fill(rest, max(self.spec.chunk_bytes, 2 * len(rest)), layout.eol)
            records = split(buffer, layout, final=final)
            if len(records.starts):
                yield self._chunk(buffer, records, place)
            place = place.after(records.consumed, records.consumed_lines)
            rest = buffer[records.consumed :]
            if final:
                return
            line_is_open = rest.find(layout.eol) < 0
            if records.open_fault and line_is_open and len(rest) > self.hold:
                yield self._endless(rest, records.open_fault, place)
                place = place.after(len(rest) + feed.drop_line(layout.eol), 1)
                rest = b""

    def _chunk(self, buffer: bytes, records: Records, place: _Place) -> Chunk:
        first = 0
        if self.fields is None:
            self.fields = self._title(buffer, records)
            first = 1
        return _Builder(self, self.fields, buffer, records, place).chunk(first)

    def _title(self, buffer: bytes, records: Records) -> Fields:
        raw = buffer[records.starts[0] : records.stops[0]]
        try:
            self.title = raw.decode()
        except UnicodeDecodeError as error:
            raise self._bad_title(f"invalid UTF-8 at byte {error.start}") from None
        if records.faults[0]:
            raise self._bad_title(fault_reason(Fault(records.faults[0]), self.spec))
        return self._fields()

    def _fields(self) -> Fields:
        if self.spec.by_position:
            return fields_by_position(self.spec)
        return fields_by_title(self.title, self.spec, self.name)

    def again(self, rejects: pa.Table) -> Iterator[Chunk]:
        """Yield the chunk of rows that were rejected before, all of this file and its title."""
        import numpy as np

        if self.fields is None:
            if not self.title:
                raise ColumnsError(
                    f"{self.name}: its rows were read without a title line",
                    hint="declare header: false, or load the whole file again",
                )
            self.fields = self._fields()
        rows = list(zip(*(rejects[name].to_pylist() for name in REJECT_FIELDS[2:6]), strict=True))
        raws = [as_utf8(row[3], self.spec.encoding) for row in rows]
        readable = [place for place, raw in enumerate(raws) if raw is not None]
        layout = Layout(ord(self.spec.delimiter), LF, self.spec.max_record_bytes)
        buffer, records = join_records([raws[place] or b"" for place in readable], layout)
        lines = np.array([rows[place][0] for place in readable], np.int64)
        builder = _Builder(self, self.fields, buffer, replace(records, lines=lines), _Place(0, 0))
        chunk = builder.chunk(0)
        still = self.rejects(row for row, raw in zip(rows, raws, strict=True) if raw is None)
        yield replace(chunk, rejects=_by_line(chunk.rejects, still))

    def rejects(self, rows: Iterable[tuple[int, str, str, bytes]]) -> pa.Table:
        return build_rejects(self.uri, rows, member=self.member, title=self.title)

    def _bad_title(self, why: str) -> ColumnsError:
        return ColumnsError(
            f"{self.name}: the title line cannot be read: {why}",
            hint="mend the file, or declare header: false if it has no title line",
        )

    def _endless(self, rest: bytes, fault: Fault, place: _Place) -> Chunk:
        """Return the reject of a line that is longer than what may be held in memory."""
        why = fault_reason(fault, self.spec)
        if self.fields is None:
            raise self._bad_title(why)
        rejects = self.rejects([(place.line, "", why, rest)])
        return replace(_empty(self.uri, self.spec), rejects=rejects)


class _Builder:
    """Makes the chunk of one buffer of records."""

    def __init__(
        self, file: _File, fields: Fields, buffer: bytes, records: Records, place: _Place
    ) -> None:
        self.file = file
        self.fields = fields
        self.buffer = buffer
        self.records = records
        self.place = place
        self.rejects: dict[int, tuple[str, str]] = {}
        """Column and reason of rejected records by index."""

    def chunk(self, first: int) -> Chunk:
        """Return rows and rejects of the records from index ``first`` on."""
        import numpy as np

        records = self.records
        good = (records.faults == 0) & (records.fields == self.fields.width)
        good[:first] = False
        self._refuse_malformed(np.flatnonzero(~good[first:]) + first)
        self._refuse_undecodable(good)
        index = np.flatnonzero(good)
        bounds = np.append(records.starts, records.consumed)
        rows = Rows(self.buffer, bounds).pick(index)
        frame, failures = parse_rows(rows, self.fields, self.file.spec)
        for failure in failures:
            self.rejects[int(index[failure.record])] = (failure.column, failure.reason)
        if failures:
            keep = np.ones(len(index), bool)
            keep[[failure.record for failure in failures]] = False
            frame, index = frame.filter(keep), index[keep]
        return Chunk(
            self._table(frame), records.lines[index] + self.place.line, self._reject_table()
        )

    def _refuse_malformed(self, index: NDArray[np.int64]) -> None:
        records, width = self.records, self.fields.width
        blank = (records.starts == records.stops)[index]
        columns = zip(
            index.tolist(),
            records.faults[index].tolist(),
            records.fields[index].tolist(),
            blank.tolist(),
            strict=True,
        )
        for record, fault, count, is_blank in columns:
            if fault:
                why = fault_reason(Fault(fault), self.file.spec)
            elif is_blank:
                why = "blank line"
            else:
                why = f"too {'few' if count < width else 'many'} fields ({count} of {width})"
            self.rejects[record] = ("", why)

    def _refuse_undecodable(self, good: NDArray[np.bool_]) -> None:
        """Clear ``good`` for records that are not UTF-8."""
        import numpy as np

        buffer, records = self.buffer, self.records
        if buffer.isascii() or _decodes(buffer[: records.consumed]):
            return
        data = np.frombuffer(buffer, np.uint8, records.consumed)
        high = np.searchsorted(records.starts, np.flatnonzero(data > 0x7F), "right") - 1
        for record in np.unique(high).tolist():
            if good[record]:
                start = int(records.starts[record])
                try:
                    buffer[start : records.stops[record]].decode()
                except UnicodeDecodeError as error:
                    good[record] = False
                    offset = self.place.offset + start + error.start
                    self.rejects[record] = ("", f"invalid UTF-8 at byte {offset}")

    def _table(self, frame: pl.DataFrame) -> pa.Table:
        import pyarrow as pa

        table = frame.select(f"f{i}" for i in self.fields.positions).to_arrow()
        schema = schema_of(self.fields.columns)
        arrays = [
            column.cast(field.type) for column, field in zip(table.columns, schema, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=schema)

    def _reject_table(self) -> pa.Table:
        records, order = self.records, sorted(self.rejects)
        columns = [self.rejects[record][0] for record in order]
        reasons = [self.rejects[record][1] for record in order]
        starts, stops = records.starts[order].tolist(), records.stops[order].tolist()
        raws = [self.buffer[start:stop] for start, stop in zip(starts, stops, strict=True)]
        lines = (records.lines[order] + self.place.line).tolist()
        return self.file.rejects(zip(lines, columns, reasons, raws, strict=True))


def _by_line(rejects: pa.Table, more: pa.Table) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables([rejects, more]).sort_by("line") if more.num_rows else rejects


def _decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
