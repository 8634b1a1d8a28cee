"""``div`` and ``fix`` inputs by columns: lines taken apart by an expression, or by position.

A line is read so if it has all separators, no field holds the separator behind it, nothing is
escaped, and every number is a plain one.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from ess_dask.aq.addresses import CANONICAL_V4
from ess_dask.aq.columns import ColumnSpec, Separator
from ess_dask.aq.inputs.reading import Row
from ess_dask.aq.inputs.typing import BLANKS
from ess_dask.aq.kinds import Kind, Type
from ess_dask.aq.program import InputSpec
from ess_dask.aq.vector.blocks import Block, cased, column_type, wrongly_cased
from ess_dask.aq.vector.reading import Gathering, Reading, RowReader
from ess_dask.aq.vector.text_lines import TextLines, with_line_feeds

if TYPE_CHECKING:
    import polars as pl

    from ess_dask.aq.vector.text_lines import Flags

_NO_SEPARATOR = "\x01"
"""Keeps the reader of text from splitting lines; a line that holds it is not read by columns."""
_INTEGER = r"^(?:-?\d{1,9})?$|^-$"
_FLOAT = r"^(?:-?\d{1,15}(?:\.\d{0,15})?)?$"


class LineReader:
    """Reads blocks of a ``div`` or ``fix`` input, as ``DelimitedReader`` does of CSV."""

    def __init__(self, spec: InputSpec, blank: Row, needed: Collection[int]) -> None:
        self._spec = spec
        self._rows = RowReader(spec, blank)
        self._escapes = spec.format.escape or any(
            column.flags & {"esc", "clf"} for column in spec.columns
        )
        self._pattern = "" if spec.format.name == "fix" else division(spec)
        self._columns = [
            (f"c{at}", column, slot)
            for at, (column, slot) in enumerate(zip(spec.columns, spec.slots, strict=True))
            if column.kind
        ]
        self._kept = [
            (slot, column.kind)
            for _, column, slot in self._columns
            if column.kind and slot in needed
        ]

    def read(self, block: Block) -> Reading:
        """Return the rows of a block."""
        import polars as pl

        gathering = Gathering.of(TextLines.of(with_line_feeds(block.data)), self._rows)
        gathering.set_aside(self._unusual(gathering.lines))
        data = gathering.lines.data
        text = data if data.isascii() else data.decode("latin-1").encode("utf-8")
        lines = _text_column(text)
        fields, failed = self._by_position(lines) if not self._pattern else self._divided(lines)
        values, fails = [], [failed]
        for field, column, slot in self._columns:
            value, wrong = _values(pl.col(field), column, ascii_only=text is data)
            values.append(value.alias(f"s{slot}"))
            fails.extend(wrong)
        found = fields.select(
            *values, pl.any_horizontal(fails).fill_null(value=False).alias("failed")
        )
        gathering.set_aside(found["failed"].to_numpy())
        frame = found.filter(~pl.col("failed"))
        return gathering.reading(frame.select(f"s{slot}" for slot, _ in self._kept), self._kept)

    def _unusual(self, lines: TextLines) -> Flags:
        """Return the lines that are no text to split: too long, escaped, or with the mark."""
        unusual: Flags = lines.lengths() > self._spec.record_bytes
        # A carriage return that belongs to no line end would be taken for one.
        for mark in (_NO_SEPARATOR, "\r", *("\\" * self._escapes)):
            unusual |= lines.holding(ord(mark))
        return unusual

    def _by_position(self, lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.Expr]:
        """Return the fields, and which lines are too short for them."""
        import polars as pl

        line, at, out = pl.col("line"), 0, []
        for number, column in enumerate(self._spec.columns):
            out.append(line.str.slice(at, column.length).alias(f"c{number}"))
            at += column.length
        return lines.select("line", *out), line.str.len_chars() < at

    def _divided(self, lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.Expr]:
        """Return the fields, and which lines have other separators than those between them."""
        import polars as pl

        fields = lines.select(pl.col("line").str.extract_groups(self._pattern).alias("all"))
        fields = fields.unnest("all")
        fields = fields.rename({name: f"c{at}" for at, name in enumerate(fields.columns)})
        failed = [pl.col("c0").is_null()]
        failed += [
            pl.col(f"c{at}").str.contains(behind, literal=True)
            for at, behind in enumerate(_separators_behind(self._spec))
            if behind
        ]
        return fields, pl.any_horizontal(failed)


def _text_column(text: bytes) -> pl.DataFrame:
    """Return the lines of a text as one column."""
    import polars as pl

    if not text:
        return pl.DataFrame(schema={"line": pl.String})
    lines = pl.read_csv(
        text,
        has_header=False,
        schema={"line": pl.String},
        quote_char=None,
        separator=_NO_SEPARATOR,
    )
    return lines.with_columns(pl.col("line").fill_null(""))


def _separators_behind(spec: InputSpec) -> list[str]:
    """Return the separator behind each column, '' behind those that end otherwise."""
    found = []
    for item, following in zip(spec.items, (*spec.items[1:], None), strict=True):
        if isinstance(item, ColumnSpec):
            ends = isinstance(following, Separator) and not item.length
            found.append(following.text if ends and isinstance(following, Separator) else "")
    return found


def division(spec: InputSpec) -> str:
    """Return the expression whose groups are the columns of a ``div`` line."""
    parts = []
    for number, item in enumerate(spec.items):
        if isinstance(item, Separator):
            parts.append(re.escape(item.text))
        elif item.length:
            parts.append(f"(.{{{item.length}}})")
        else:
            parts.append("(.*?)" if number + 1 < len(spec.items) else "(.*)")
    return "(?s)^" + "".join(parts)


def _values(
    text: pl.Expr, column: ColumnSpec, *, ascii_only: bool
) -> tuple[pl.Expr, list[pl.Expr]]:
    """Return the values of a column, and where they need a closer look."""

    kind = column.kind
    assert kind
    if "trm" in column.flags:
        text = text.str.strip_chars(BLANKS)
    if kind is Kind.S:
        odd = wrongly_cased(text, column, ascii_only=ascii_only)
        return cased(text, column), [] if odd is None else [odd]
    if kind is Kind.IP:
        return text, [~text.str.contains(CANONICAL_V4)]
    plain = text.str.contains(_INTEGER if kind.type is Type.INT else _FLOAT)
    number = text.replace(["", "-"], "0").cast(column_type(kind), strict=False)
    return number, [~plain | number.is_null()]
