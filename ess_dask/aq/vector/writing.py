"""Frames to the bytes of an output, the same as the row formatter's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.aq.kinds import Kind, Type
from ess_dask.aq.outputs.formats import field_formatter, row_formatter
from ess_dask.aq.program import OutputColumn, OutputFormat, OutputSpec
from ess_dask.aq.tables import string_bytes
from ess_dask.aq.vector.floats import format_floats

if TYPE_CHECKING:
    import polars as pl


def column_name(at: int) -> str:
    """Return the name of an output's column in the frames that are written."""
    return f"o{at}"


def frame_bytes(frame: pl.DataFrame, spec: OutputSpec) -> bytes:
    """Return the lines of a frame with the columns ``o0``, ``o1`` .. of an output."""
    if spec.format.name not in ("csv", "sep"):
        write = row_formatter(spec.format, spec.columns)
        return b"".join(write(list(row)) for row in frame.iter_rows())
    parts: list[str | pl.Expr] = []
    for at, column in enumerate(spec.columns):
        parts += [spec.format.separator] if at else []
        parts += _text(frame[column_name(at)], column, spec.format)
    return _joined(frame, [*parts, "\n"])


def _joined(frame: pl.DataFrame, parts: list[str | pl.Expr]) -> bytes:
    """Return the texts of all rows, one behind the other; strings stand in every row."""
    import polars as pl

    pieces: list[pl.Expr] = []
    constant = ""
    for part in [*parts, None]:
        if isinstance(part, str):
            constant += part
            continue
        pieces += [pl.lit(constant)] if constant else []
        pieces += [part] if part is not None else []
        constant = ""
    lines = frame.select(pl.concat_str(pieces).alias("line")).to_series()
    # As one text with offsets: what stands between the first and the last of them is all of it.
    text = lines.to_arrow(compat_level=pl.CompatLevel.oldest())
    data = string_bytes(text).tobytes()
    return data if data.isascii() else data.decode("utf-8").encode("latin-1")


def _text(values: pl.Series, column: OutputColumn, form: OutputFormat) -> list[str | pl.Expr]:
    """Return the parts that print a column; integers print as they are."""
    import polars as pl

    kind = column.source.kind
    if column.print_format or (kind is Kind.F and form.short_floats) or _is_escaped(kind, form):
        field = field_formatter(form, column)
        texts = pl.Series([field(value) for value in values.to_list()], dtype=pl.String)
        return [pl.lit(texts)]
    if kind is Kind.F:
        return [pl.lit(format_floats(values))]
    if kind.type is Type.STR and form.name == "csv":
        return _quoted(values)
    return [pl.lit(values)]


def _is_escaped(kind: Kind, form: OutputFormat) -> bool:
    return form.escape and kind.type is Type.STR


def _quoted(values: pl.Series) -> list[str | pl.Expr]:
    import polars as pl

    body = pl.lit(values)
    if values.str.contains('"', literal=True).any():
        body = body.str.replace_all('"', '""', literal=True)
    if (values.str.len_bytes() > 0).all():
        return ['"', body, '"']
    quote, blank = pl.lit('"'), pl.lit("")
    return [pl.when(pl.lit(values) == "").then(blank).otherwise(pl.concat_str(quote, body, quote))]
