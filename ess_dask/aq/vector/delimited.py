"""``csv`` and ``sep`` inputs by columns."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from ess_dask.aq.addresses import CANONICAL_V4
from ess_dask.aq.columns import ColumnSpec
from ess_dask.aq.inputs.reading import Row
from ess_dask.aq.inputs.records import Broken, wrong_count
from ess_dask.aq.inputs.typing import BLANKS, MAX_STRING
from ess_dask.aq.kinds import Kind
from ess_dask.aq.program import InputSpec
from ess_dask.aq.vector.blocks import Block, cased, column_type, wrongly_cased
from ess_dask.aq.vector.quoting import Quoting, irregular_lines
from ess_dask.aq.vector.reading import Gathering, Reading, RowReader
from ess_dask.aq.vector.text_lines import TextLines, with_line_feeds
from ess_dask.dataclass import dataclass
from ess_dask.records.split import CR, QUOTE, count_fields

if TYPE_CHECKING:
    import polars as pl

    from ess_dask.aq.vector.text_lines import Flags
    from ess_dask.records.bits import Indices


BLANK_SHARE = 16
"""A column of numbers is read as text behind a block in which more than one in so many was null:
whether these are blank or no numbers does not show in them."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the input that is looked at: its place among the fields, its slot in the row.

    ``often_blank``: many of its numbers are null.
    """

    place: int
    spec: ColumnSpec
    kind: Kind
    slot: int
    often_blank: bool = False

    @property
    def field(self) -> str:
        """The name of its texts."""
        return f"c{self.place}"

    @property
    def as_text(self) -> bool:
        """Whether it is read as text: the parser of numbers is not told of blanks to trim."""
        return self.kind in (Kind.S, Kind.IP) or "trm" in self.spec.flags or self.often_blank


class DelimitedReader:
    """Reads blocks into frames with a column ``s<slot>`` for each slot in ``needed``.

    Other columns are read only as far as their values may be wrong.
    """

    def __init__(self, spec: InputSpec, blank: Row, needed: Collection[int]) -> None:
        self._spec = spec
        self._rows = RowReader(spec, blank)
        self._separator = ord(spec.format.separator)
        self._quoted = spec.format.name == "csv"
        self._longest = min(spec.record_bytes, MAX_STRING)
        self._needed = needed
        self._columns = [
            _Column(place, column, column.kind, slot)
            for place, (column, slot) in enumerate(zip(spec.columns, spec.slots, strict=True))
            if column.kind and (column.kind is not Kind.S or slot in needed)
        ]

    def read(self, block: Block) -> Reading:
        """Return the rows of a block, which starts with a record."""
        data = with_line_feeds(block.data)
        quoted = self._quoted and QUOTE in data
        if quoted:
            gathering = self._quoted_records(data, block)
            wrong = gathering.lines.none()
        else:
            gathering, wrong = self._lines(data)
        # Threads share the reader: which columns are text is another thing behind this block.
        columns = self._columns
        kept = [column for column in columns if column.slot in self._needed]
        frame = self._parsed(gathering.lines.data, columns, quoted=quoted)
        failed = self._failed(frame, columns, gathering.lines, ~wrong, quoted=quoted)
        frame = frame.select(column.field for column in kept)
        if failed.any():
            gathering.note(failed, gathering.singles(failed))
        if (out := failed | wrong).any():
            frame = frame.filter(~out) if kept else frame
            gathering.forget(out)
        values = frame.select(_value(column).alias(f"s{column.slot}") for column in kept)
        return gathering.reading(values, [(column.slot, column.kind) for column in kept])

    def _lines(self, data: bytes) -> tuple[Gathering, Flags]:
        """Return the lines to parse, and which of them have not the fields of a row.

        The parser gives a row for those, too, whatever it holds. It only must not meet one first:
        the first line is to show it all columns.
        """
        lines = TextLines.of(data)
        gathering = Gathering.of(lines, self._rows)
        fields = count_fields(lines.array, lines.ends, self._separator)
        unusual = lines.holding(CR) | (lines.lengths() > self._longest)
        wrong = self._wrong(fields) & ~unusual
        if unusual.any() or wrong[:1].any():
            self._check(gathering, fields, unusual)
            return gathering, gathering.lines.none()
        if wrong.any():
            gathering.note(wrong, self._faults(fields[wrong]))
        return gathering, wrong

    def _quoted_records(self, data: bytes, block: Block) -> Gathering:
        lines = TextLines.of(data)
        quoting = Quoting.of(lines.array, self._separator)
        ends = quoting.record_ends()
        if ends is not None:
            records = TextLines(data, ends)
            if not (records.lengths() > self._longest).any():
                gathering = Gathering.of(records, self._rows)
                self._check(gathering, quoting.fields(ends), records.holding(CR))
                return gathering
        suspects = irregular_lines(lines, self._separator) | (lines.lengths() > self._longest)
        gathering = self._rows.walk(lines, suspects.nonzero()[0], final=block.final)
        left = gathering.lines
        fields = Quoting.of(left.array, self._separator).fields(left.ends)
        self._check(gathering, fields, left.holding(CR))
        return gathering

    def _check(self, gathering: Gathering, fields: Indices, unusual: Flags) -> None:
        """Take out the records that are not text for the parser or have not the fields of a row.

        ``unusual`` are those of the first kind: the parser would take a carriage return for a line
        end, and its values have no limit.
        """
        wrong = self._wrong(fields) & ~unusual
        if wrong.any():
            gathering.take_out(wrong, self._faults(fields[wrong]))
            unusual = unusual[~wrong]
        gathering.set_aside(unusual)

    def _wrong(self, fields: Indices) -> Flags:
        """Return which records have not the fields of a row."""
        wanted = len(self._spec.columns)
        wrong: Flags = fields != wanted if self._spec.rejects_extra else fields < wanted
        return wrong

    def _faults(self, fields: Indices) -> list[Broken]:
        return [wrong_count(count, len(self._spec.columns)) for count in fields.tolist()]

    def _failed(
        self,
        frame: pl.DataFrame,
        columns: list[_Column],
        lines: TextLines,
        right: Flags,
        *,
        quoted: bool,
    ) -> Flags:
        """Return which rows, of those with the right fields, need a closer look at a value."""
        import numpy as np
        import polars as pl

        failed = np.zeros(len(lines), bool)
        ascii_only = lines.data.isascii()
        fails = [_text_failed(column, ascii_only=ascii_only) for column in columns]
        if known := [fail for fail in fails if fail is not None]:
            failed |= _any(frame, known) & right
        numbers = [
            column for column in columns if not column.as_text and frame[column.field].null_count()
        ]
        if numbers:
            self._remember_blanks(frame, columns, numbers)
            # Blank fields are null, and so are those that are no numbers.
            nulls = _any(frame, [pl.col(column.field).is_null() for column in numbers]) & right
            texts = self._parsed(lines.joined(nulls), numbers, quoted=quoted, as_text=True)
            both = frame.filter(nulls).hstack(texts.rename(_text_name))
            odd = [
                pl.col(column.field).is_null() & (pl.col(_text_name(column.field)) != "")
                for column in numbers
            ]
            failed[np.flatnonzero(nulls)[_any(both, odd)]] = True
        return failed

    def _remember_blanks(
        self, frame: pl.DataFrame, columns: list[_Column], numbers: list[_Column]
    ) -> None:
        limit = frame.height // BLANK_SHARE
        often = [column for column in numbers if frame[column.field].null_count() > limit]
        if often:
            self._columns = [
                replace(column, often_blank=True) if column in often else column
                for column in columns
            ]

    def _parsed(
        self, data: bytes, columns: list[_Column], *, quoted: bool, as_text: bool = False
    ) -> pl.DataFrame:
        """Return the fields of some columns; what is no value of its type is null."""
        import polars as pl

        if not data or not columns:
            return pl.DataFrame(schema={c.field: _type_of(c, as_text) for c in columns})
        types = {f"c{place}": pl.String() for place in range(len(self._spec.columns))}
        return pl.read_csv(
            data if data.isascii() else data.decode("latin-1").encode("utf-8"),
            has_header=False,
            columns=[column.place for column in columns],
            schema=types | {column.field: _type_of(column, as_text) for column in columns},
            quote_char='"' if quoted else None,
            separator=self._spec.format.separator,
            ignore_errors=True,
            extra_columns="ignore",
            truncate_ragged_lines=True,
            empty_string_is_null=False,
        )


def _type_of(column: _Column, as_text: bool) -> pl.DataType:
    import polars as pl

    return pl.String() if as_text or column.as_text else column_type(column.kind)()


def _text_name(field: str) -> str:
    """Return the name of the texts behind a column of numbers."""
    return f"{field}text"


def _trimmed(column: _Column) -> pl.Expr:
    import polars as pl

    field = pl.col(column.field)
    return field.str.strip_chars(BLANKS) if "trm" in column.spec.flags else field


def _value(column: _Column) -> pl.Expr:
    """Return the values of a column, where they need no closer look."""
    import polars as pl

    value = _trimmed(column)
    if column.kind is Kind.S:
        return cased(value, column.spec)
    if column.kind is Kind.IP:
        return pl.when(value == "").then(pl.lit(Kind.IP.blank)).otherwise(value)
    type_ = column_type(column.kind)
    return value.cast(type_, strict=False).fill_null(pl.lit(0, dtype=type_))


def _text_failed(column: _Column, *, ascii_only: bool) -> pl.Expr | None:
    """Return where a field that is read as text needs a closer look, None for nowhere."""
    value = _trimmed(column)
    if column.kind is Kind.S:
        return wrongly_cased(value, column.spec, ascii_only=ascii_only)
    if column.kind is Kind.IP:
        return (value != "") & ~value.str.contains(CANONICAL_V4)
    if not column.as_text:
        return None
    return value.cast(column_type(column.kind), strict=False).is_null() & (value != "")


def _any(frame: pl.DataFrame, conditions: list[pl.Expr]) -> Flags:
    """Return for which rows any of these conditions holds; null does not."""
    import polars as pl

    held = frame.select(pl.any_horizontal(conditions).fill_null(value=False))
    flags: Flags = held.to_series().to_numpy()
    return flags
