"""``div`` and ``fix`` inputs by columns: lines taken apart by an expression, or by position.

A block is regular if every line has all separators, no field holds the separator behind it, nothing
is escaped, and every number is a plain one. Other blocks take the careful way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ess_dask.aq.addresses import CANONICAL_V4
from ess_dask.aq.columns import ColumnSpec, Separator
from ess_dask.aq.inputs.typing import BLANKS
from ess_dask.aq.kinds import Kind, Type
from ess_dask.aq.program import InputSpec
from ess_dask.aq.vector.blocks import column_type, lines_fit

if TYPE_CHECKING:
    import polars as pl

_NO_SEPARATOR = "\x01"
"""Keeps the reader of text from splitting lines; a block that holds it is not regular."""
_INTEGER = r"^(?:-?\d{1,9})?$|^-$"
_FLOAT = r"^(?:-?\d{1,15}(?:\.\d{0,15})?)?$"


class LineReader:
    """Reads the regular blocks of a ``div`` or ``fix`` input, as ``BlockReader`` does of CSV."""

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        self._escapes = spec.format.escape or any(
            column.flags & {"esc", "clf"} for column in spec.columns
        )
        self._pattern = "" if spec.format.name == "fix" else division(spec)

    def read(self, data: bytes) -> pl.DataFrame | None:
        """Return the rows of a block, None if it is not regular."""
        import polars as pl

        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        if not data or data.endswith(b"\r") or _NO_SEPARATOR.encode() in data:
            return None
        if (self._escapes and b"\\" in data) or not lines_fit(data, self._spec.record_bytes):
            return None
        text = data if data.isascii() else data.decode("latin-1").encode("utf-8")
        try:
            lines = pl.read_csv(
                text,
                has_header=False,
                schema={"line": pl.String},
                quote_char=None,
                separator=_NO_SEPARATOR,
            )
        except pl.exceptions.PolarsError:
            return None
        if lines["line"].null_count():
            return None
        fields = self._by_position(lines) if not self._pattern else self._divided(lines)
        return None if fields is None else self._typed(fields, ascii_only=text is data)

    def _by_position(self, lines: pl.DataFrame) -> pl.DataFrame | None:
        import polars as pl

        line, at, out = pl.col("line"), 0, []
        for number, column in enumerate(self._spec.columns):
            out.append(line.str.slice(at, column.length).alias(f"c{number}"))
            at += column.length
        fits = lines.select((line.str.len_chars() >= at).all()).item()
        return lines.select(out) if fits else None

    def _divided(self, lines: pl.DataFrame) -> pl.DataFrame | None:
        import polars as pl

        groups = lines.select(pl.col("line").str.extract_groups(self._pattern).alias("all"))
        fields = groups.unnest("all")
        fields = fields.rename({name: f"c{at}" for at, name in enumerate(fields.columns)})
        if fields["c0"].null_count():
            return None
        checks = [
            pl.col(f"c{at}").str.contains(behind, literal=True).any()
            for at, behind in enumerate(_separators_behind(self._spec))
            if behind
        ]
        if checks and fields.select(pl.any_horizontal(checks)).item():
            return None
        return fields

    def _typed(self, fields: pl.DataFrame, *, ascii_only: bool) -> pl.DataFrame | None:
        import polars as pl

        out = []
        for at, (column, slot) in enumerate(zip(self._spec.columns, self._spec.slots, strict=True)):
            if column.kind is None:
                continue
            text = fields[f"c{at}"]
            if "trm" in column.flags:
                text = text.str.strip_chars(BLANKS)
            if not ascii_only and column.flags & {"lo", "up"}:
                return None
            values = _values(text, column)
            if values is None:
                return None
            out.append(values.alias(f"s{slot}"))
        return pl.DataFrame(out)


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


def can_divide(spec: InputSpec) -> bool:
    """Whether a ``div`` or ``fix`` input has a whole-column reading."""
    plain = all("hex" not in column.flags and column.length < 1000 for column in spec.columns)
    texts = [item.text for item in spec.items if isinstance(item, Separator)]
    fits = spec.record_bytes <= 1 << 16 and spec.skip_unit != "r"
    return plain and fits and all(texts) and not any("\n" in text for text in texts)


def _values(text: pl.Series, column: ColumnSpec) -> pl.Series | None:
    """Return the values of a column, None if any of them needs a closer look."""
    kind = column.kind
    assert kind
    if kind is Kind.S:
        if "lo" in column.flags:
            return text.str.to_lowercase()
        return text.str.to_uppercase() if "up" in column.flags else text
    if kind is Kind.IP:
        return text if text.str.contains(CANONICAL_V4).all() else None
    if not text.str.contains(_INTEGER if kind.type is Type.INT else _FLOAT).all():
        return None
    blank = (text == "") | (text == "-")
    cast = text.set(blank, "0").cast(column_type(kind), strict=False)
    return None if cast.null_count() else cast
