"""Reads delimited text: bytes in, typed chunks with their rejects out, in file order.

The result does not depend on how the bytes arrive or on ``chunk_bytes``. Every record becomes a row
or a reject. Text is split by ``split`` (RFC 4180 quoting, line ends LF, CRLF or, when the start of
the file holds no LF, CR). A carriage return before an LF belongs to the line end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.errors import ColumnsError, ConfigError
from ess_dask.records.again import as_utf8, join_records
from ess_dask.records.archives import open_files
from ess_dask.records.chunk import REJECT_FIELDS, Chunk, FileSource, Origin
from ess_dask.records.compression import codec_name
from ess_dask.records.feed import Feed
from ess_dask.records.lines import Lines
from ess_dask.records.plain import Plain, plain_stop
from ess_dask.records.rejects import RAW_LIMIT, build_rejects
from ess_dask.records.spec import ReadSpec
from ess_dask.records.split import CR, LF, Fault, Layout, Records, split
from ess_dask.records.text import check_encoding, utf8_blocks
from ess_dask.records.title import (
    Fields,
    fields_behind_title,
    fields_by_position,
    fields_by_title,
    is_title,
)
from ess_dask.records.untyped import Part, Untyped, empty_chunk, fault_reason, type_chunks

if TYPE_CHECKING:
    import pyarrow as pa

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
    files = None if blocks is None else [(source.uri, blocks)]
    for part in read_untyped(source, spec, files):
        yield from type_chunks([part])


def read_untyped(
    source: FileSource,
    spec: ReadSpec,
    files: Iterable[tuple[str, Iterable[bytes]]] | None = None,
) -> Iterator[Part]:
    """Yield what ``type_chunks`` makes the chunks of one file from; otherwise as ``read_chunks``.

    ``files`` are what ``open_files`` gives of it, with bytes that already went through other hands.
    Typing has a cost for each call: parts of many small files are better typed together.
    """
    check_spec(spec)
    empty = True
    for uri, content in open_files(source, spec) if files is None else files:
        member = uri.removeprefix(f"{source.uri}!") if uri != source.uri else ""
        for part in _File(source.uri, spec, member).parts(content):
            empty = False
            yield part
    if empty:
        yield empty_chunk(spec)


def read_rejected(rejects: pa.Table, spec: ReadSpec) -> Iterator[Chunk]:
    """Yield the rows and rejects of rows of one file that were rejected before.

    ``rejects`` has ``REJECT_FIELDS``. Each raw text is read by itself, under the title of its file
    and with its own line number; the text is what bytes steps had left. One chunk per member at
    least. Raises ``ColumnsError`` when columns go by name and the title is not known or does not
    have them.
    """
    check_spec(spec)
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


def check_spec(spec: ReadSpec) -> None:
    """Raise ``ConfigError`` for a specification that no file can be read by."""
    check_encoding(spec.encoding)
    codec_name(spec.compression)
    delimiter = spec.delimiter
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise ConfigError(
            f"bad delimiter {delimiter!r}",
            hint="use one ASCII character, no quote, line end or NUL",
        )
    names = [column.name for column in spec.columns if column.type.name != "skip"]
    if not names:
        raise ConfigError("no column is declared", hint="declare the columns to read")
    folded = [name.strip().casefold() for name in names]
    twice = sorted({name for name, key in zip(names, folded, strict=True) if folded.count(key) > 1})
    if twice:
        raise ConfigError(f"columns declared twice: {', '.join(twice)}", hint="rename one")


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
        self.fields = fields_by_position(spec) if spec.header is False else None
        # A malformed line is shown up to RAW_LIMIT: that much of it is kept in any case.
        self.hold = max(spec.max_record_bytes, RAW_LIMIT) + 4

    def parts(self, blocks: Iterable[bytes]) -> Iterator[Part]:
        skipped, stream = utf8_blocks(blocks, self.spec.encoding)
        feed = Feed(stream)
        layout = Layout(ord(self.spec.delimiter), feed.line_end(), self.spec.max_record_bytes)
        place = _Place(skipped, 1)
        rest = b""
        while True:
            filled, final = feed.fill(rest, max(self.spec.chunk_bytes, 2 * len(rest)), layout.eol)
            if (plain := self._plain(filled, layout, place)) is not None:
                yield plain
                stop = plain.origin.offset + len(plain.lines.data) - place.offset
                place = _Place(place.offset + stop, plain.origin.line + len(plain))
                rest = bytes(memoryview(filled)[stop:])
                if final:
                    return
                continue
            buffer = bytes(filled)
            records = split(buffer, layout, final=final)
            if len(records.starts):
                yield self._untyped(buffer, records, place)
            place = place.after(records.consumed, records.consumed_lines)
            rest = buffer[records.consumed :]
            if final:
                return
            line_is_open = rest.find(layout.eol) < 0
            if records.open_fault and line_is_open and len(rest) > self.hold:
                yield self._endless(rest, records.open_fault, place)
                place = place.after(len(rest) + feed.drop_line(layout.eol), 1)
                rest = b""

    def _untyped(self, buffer: bytes, records: Records, place: _Place) -> Untyped:
        first = 0
        if self.fields is None:
            raw = buffer[records.starts[0] : records.stops[0]]
            first = int(self._has_title(raw))
            self.fields = self._title(raw, records) if first else fields_by_position(self.spec)
        return self._separate(self.fields, buffer, records, place, first)

    def _separate(
        self, fields: Fields, buffer: bytes, records: Records, place: _Place, first: int = 0
    ) -> Untyped:
        origin = Origin(self.uri, self.member, self.title, place.offset, place.line)
        return Untyped(origin, self.spec, fields, buffer, records, first)

    def _plain(self, buffer: bytearray, layout: Layout, place: _Place) -> Plain | None:
        """Return the whole lines of a buffer when they are plain; None for a closer look."""
        import numpy as np

        start = buffer.find(LF) + 1 if self.fields is None else 0
        if start and layout.eol == LF and not self._has_title(bytes(buffer[: start - 1])):
            self.fields, start = fields_by_position(self.spec), 0
        returns = buffer.find(CR) >= 0
        stop = plain_stop(buffer, start, layout, returns=returns)
        if not stop:
            return None
        title = self.title
        if self.fields is None:
            title = buffer[: start - 1].removesuffix(b"\r").decode()
            place = place.after(start, 1)
        fields = self.fields or self._fields(title)
        if fields.width < 2:
            return None
        self.fields, self.title = fields, title
        data = np.frombuffer(buffer, np.uint8)[start:stop]
        origin = Origin(self.uri, self.member, title, place.offset, place.line)
        return Plain(origin, self.spec, fields, Lines.of(data, returns=returns))

    def _has_title(self, first: bytes) -> bool:
        """Whether the first record is a title line; if nobody said so, one that names columns."""
        if self.spec.header is not None:
            return self.spec.header
        return is_title(first.removesuffix(b"\r").decode("latin-1"), self.spec)

    def _title(self, raw: bytes, records: Records) -> Fields:
        try:
            self.title = raw.decode()
        except UnicodeDecodeError as error:
            raise self._bad_title(f"invalid UTF-8 at byte {error.start}") from None
        if records.faults[0]:
            raise self._bad_title(fault_reason(Fault(records.faults[0]), self.spec))
        return self._fields(self.title)

    def _fields(self, title: str) -> Fields:
        if self.spec.by_position:
            return fields_behind_title(title, self.spec, self.name)
        return fields_by_title(title, self.spec, self.name)

    def again(self, rejects: pa.Table) -> Iterator[Chunk]:
        """Yield the chunk of rows that were rejected before, all of this file and its title."""
        import numpy as np

        if self.fields is None:
            if not self.title and self.spec.header:
                raise ColumnsError(
                    f"{self.name}: its rows were read without a title line",
                    hint="declare header: false, or load the whole file again",
                )
            self.fields = self._fields(self.title)
        rows = list(zip(*(rejects[name].to_pylist() for name in REJECT_FIELDS[2:6]), strict=True))
        raws = [as_utf8(row[3], self.spec.encoding) for row in rows]
        readable = [place for place, raw in enumerate(raws) if raw is not None]
        layout = Layout(ord(self.spec.delimiter), LF, self.spec.max_record_bytes)
        buffer, records = join_records([raws[place] or b"" for place in readable], layout)
        lines = np.array([rows[place][0] for place in readable], np.int64)
        records = replace(records, lines=lines)
        (chunk,) = type_chunks([self._separate(self.fields, buffer, records, _Place(0, 0))])
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
        return replace(empty_chunk(self.spec), rejects=rejects)


def _by_line(rejects: pa.Table, more: pa.Table) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables([rejects, more]).sort_by("line") if more.num_rows else rejects
