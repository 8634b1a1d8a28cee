"""Blocks of bytes to records: the texts of the fields, or what is wrong with the record.

A reader yields ``Fields`` for each record: a list with the text of every column of the
specification in order, or a ``Broken``. Text is one character for each byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ess_dask.aq.columns import ColumnSpec, Separator
from ess_dask.aq.program import InputSpec
from ess_dask.aq.text import unescape
from ess_dask.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that cannot be taken apart, and why."""

    reason: str


Fields = list[str]
Record = Fields | Broken


def lines(blocks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a stream without their ends (LF or CR LF)."""
    tail = ""
    for block in blocks:
        parts = (tail + block.decode("latin-1")).split("\n")
        tail = parts.pop()
        for part in parts:
            yield part[:-1] if part.endswith("\r") else part
    if tail:
        yield tail[:-1] if tail.endswith("\r") else tail


class LineSplitter:
    """Fields of ``csv`` and ``sep`` records."""

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        self._columns = spec.columns
        self._separator = spec.format.separator
        self._quoted = spec.format.name == "csv"
        self._count = len(self._columns)
        self._final, self.unfinished = True, ""
        self._careful = spec.format.escape or any(
            column.length or column.flags & {"esc", "clf"} for column in self._columns
        )

    def records(self, blocks: Iterable[bytes], *, final: bool = True) -> Iterator[Record]:
        """Yield the records of a stream.

        Unless it is ``final`` its last record may go on behind it: ``unfinished`` is its text then.
        """
        source = _Pushable(lines(blocks))
        self._final, self.unfinished = final, ""
        for line in source:
            record = self._record(line, source)
            if self.unfinished:
                return
            yield record

    def first(self, texts: Iterator[str], *, final: bool) -> tuple[Record, int]:
        """Return the first record of these lines, and of how many lines it is made.

        There is a line. Unless they are ``final`` the record may go on behind them, see above.
        """
        source = _Pushable(texts)
        self._final, self.unfinished = final, ""
        return self._record(next(iter(source)), source), source.taken

    def _record(self, line: str, source: _Pushable) -> Record:
        limit = self._spec.record_bytes
        if len(line) > limit:
            return too_long(limit)
        if self._careful or (self._quoted and '"' in line):
            return self._checked(self._scan(line, source))
        return self._checked(line.split(self._separator))

    def _checked(self, record: Record) -> Record:
        if isinstance(record, Broken) or len(record) == self._count:
            return record
        if len(record) > self._count and not self._spec.rejects_extra:
            return record[: self._count]
        return wrong_count(len(record), self._count)

    def _scan(self, line: str, source: _Pushable) -> Record:
        """Take a line apart field by field; a quoted field may take in further lines."""
        fields: Fields = []
        at, taken = 0, 0
        while True:
            column = self._columns[len(fields)] if len(fields) < self._count else None
            found = self._field(line, at, column)
            room = self._spec.record_bytes
            while found is None and (more := source.take_to_quote(room - len(line))):
                taken += len(more)
                line = "\n".join((line, *more))
                if len(line) > room:
                    break
                found = self._field(line, at, column)
            if found is None and not self._final and len(line) <= self._spec.record_bytes:
                self.unfinished = line
            if found is None:
                source.give_back(taken, line)
                return Broken("a quote is not closed")
            if isinstance(found, Broken):
                source.give_back(taken, line)
                return found
            text, end = found
            fields.append(text)
            if end >= len(line):
                return fields
            if line[end] != self._separator:
                source.give_back(taken, line)
                return Broken(f"{line[end : end + 10]!r} follows the end of field {len(fields)}")
            at = end + 1

    def _field(
        self, line: str, at: int, column: ColumnSpec | None
    ) -> tuple[str, int] | Broken | None:
        """Return (text, end) of the field at ``at``; None if its closing quote is not there."""
        flags = column.flags if column else frozenset()
        escape = self._spec.format.escape or "esc" in flags
        if column and column.length:
            end = at + column.length
            if end > len(line):
                return Broken(f"field {column.name!r} is shorter than {column.length} bytes")
            return decode_field(line[at:end], escape, "clf" in flags), end
        quoted = self._quoted and line.startswith('"', at)
        if quoted:
            end = _closing_quote(line, at + 1, escape or "clf" in flags)
            if end < 0:
                return None
            text = line[at + 1 : end].replace('""', '"')
            return decode_field(text, escape, "clf" in flags), end + 1
        end = find_separator(line, self._separator, at, escape or "clf" in flags)
        end = len(line) if end < 0 else end
        return decode_field(line[at:end], escape, "clf" in flags), end


def _closing_quote(line: str, at: int, escape: bool) -> int:
    while True:
        end = line.find('"', at)
        if end < 0:
            return -1
        if escape and _is_escaped(line, at, end):
            at = end + 1
        elif line.startswith('""', end):
            at = end + 2
        else:
            return end


def _is_escaped(line: str, start: int, at: int) -> bool:
    count = 0
    while at - count > start and line[at - count - 1] == "\\":
        count += 1
    return count % 2 == 1


def find_separator(line: str, separator: str, at: int, escape: bool) -> int:
    """Return where ``separator`` stands next, not behind a backslash if that escapes; or -1."""
    end = line.find(separator, at)
    while escape and end >= 0 and _is_escaped(line, at, end):
        end = line.find(separator, end + 1)
    return end


def decode_field(text: str, escape: bool, clf: bool) -> str:
    """Return a field without its escapes."""
    if "\\" not in text:
        return text
    if clf:
        return unescape(text)
    return _drop_backslashes(text) if escape else text


def _drop_backslashes(text: str) -> str:
    out, at = [], 0
    while (end := text.find("\\", at)) >= 0 and end + 1 < len(text):
        out.append(text[at:end] + text[end + 1])
        at = end + 2
    return "".join(out) + text[at:]


def wrong_count(found: int, wanted: int) -> Broken:
    """Return the complaint about a record that has not as many fields as there are columns."""
    if found > wanted:
        return Broken(f"{found} fields instead of {wanted}")
    return Broken(f"only {found} of {wanted} fields")


def too_long(limit: int) -> Broken:
    """Return the complaint about a record that the buffer does not hold."""
    return Broken(f"the record is longer than {limit} bytes; bz=BYTES allows more")


class _Pushable:
    """An iterator over lines that takes some of them back."""

    def __init__(self, source: Iterator[str]) -> None:
        self._source = source
        self._returned: list[str] = []
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        while (line := self.take()) is not None:
            yield line

    def take(self) -> str | None:
        """Return the next line, None at the end."""
        line = self._returned.pop() if self._returned else next(self._source, None)
        self.taken += line is not None
        return line

    def take_to_quote(self, room: int) -> list[str]:
        """Return the lines up to the next with a quote, no more than ``room`` bytes and a line."""
        found: list[str] = []
        while room >= 0 and (line := self.take()) is not None:
            found.append(line)
            room -= len(line) + 1
            if '"' in line:
                break
        return found

    def give_back(self, count: int, joined: str) -> None:
        """Take back the last ``count`` lines of a text joined from several."""
        if count:
            self.taken -= count
            self._returned.extend(reversed(joined.split("\n")[-count:]))


class FixedSplitter:
    """Fields of ``fix`` records, by their lengths."""

    def __init__(self, spec: InputSpec) -> None:
        self._limit = spec.record_bytes
        ends, at = [], 0
        for column in spec.columns:
            ends.append((at, at + column.length))
            at += column.length
        self._spans, self._size = ends, at
        self._decoders = [
            (spec.format.escape or "esc" in column.flags, "clf" in column.flags)
            for column in spec.columns
        ]

    def records(self, blocks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the records of a stream."""
        for line in lines(blocks):
            if len(line) > self._limit:
                yield too_long(self._limit)
            elif len(line) < self._size:
                yield Broken(f"{len(line)} bytes instead of {self._size}")
            else:
                yield [
                    decode_field(line[first:last], *how)
                    for (first, last), how in zip(self._spans, self._decoders, strict=True)
                ]


class DividedSplitter:
    """Fields of ``div`` records, between literal separators."""

    def __init__(self, spec: InputSpec) -> None:
        self._items = spec.items
        self._escape = spec.format.escape
        self._limit = spec.record_bytes

    def records(self, blocks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the records of a stream."""
        for line in lines(blocks):
            yield too_long(self._limit) if len(line) > self._limit else self._split(line)

    def _split(self, line: str) -> Record:
        fields: Fields = []
        at = 0
        for number, item in enumerate(self._items):
            if isinstance(item, Separator):
                if not line.startswith(item.text, at):
                    return Broken(f"no separator {item.text!r} at byte {at}")
                at += len(item.text)
                continue
            escape, clf = self._escape or "esc" in item.flags, "clf" in item.flags
            end = self._end(line, at, number, item, escape or clf)
            if end < 0:
                return Broken(f"no separator behind field {len(fields) + 1}")
            fields.append(decode_field(line[at:end], escape, clf))
            at = end
        return fields

    def _end(self, line: str, at: int, number: int, item: ColumnSpec, escape: bool) -> int:
        if item.length:
            return at + item.length if at + item.length <= len(line) else -1
        following = self._items[number + 1] if number + 1 < len(self._items) else None
        if not isinstance(following, Separator):
            return len(line)
        return find_separator(line, following.text, at, escape)


class TableSplitter:
    """Fields of ``tab`` records: the cells of an HTML table's rows."""

    def __init__(self, spec: InputSpec) -> None:
        self._count = len(spec.columns)
        self._spec = spec

    def records(self, blocks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the rows that have cells."""
        for cells in self.cells(blocks):
            if sum(map(len, cells)) > self._spec.record_bytes:
                yield too_long(self._spec.record_bytes)
            elif len(cells) < self._count:
                yield Broken(f"only {len(cells)} of {self._count} cells")
            elif len(cells) > self._count and self._spec.rejects_extra:
                yield Broken(f"{len(cells)} cells instead of {self._count}")
            else:
                yield cells[: self._count]

    def cells(self, blocks: Iterable[bytes]) -> Iterator[Fields]:
        """Yield the cells of every row that has any."""
        for row in self._rows(blocks):
            if cells := self._cells(row):
                yield cells

    @staticmethod
    def _rows(blocks: Iterable[bytes]) -> Iterator[str]:
        import re

        text = ""
        for block in blocks:
            *rows, text = re.split("</tr *>", text + block.decode("latin-1"), flags=re.IGNORECASE)
            yield from rows
        yield text

    @staticmethod
    def _cells(row: str) -> Fields:
        import re

        begin = re.compile(r"<td(?=[\s>])", re.IGNORECASE)
        end = re.compile(r"</td\s*>", re.IGNORECASE)
        cells: Fields = []
        at = 0
        # One search for all of it would look for an end behind each beginning anew.
        while first := begin.search(row, at):
            inside = row.find(">", first.end()) + 1
            last = end.search(row, inside) if inside else None
            if last is None:
                break
            cells.append(row[inside : last.start()])
            at = last.end()
        return cells
