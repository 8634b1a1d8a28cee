"""Frames to the bytes of an output, the same as the row formatter's."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ess_dask.aq.kinds import Kind, Type
from ess_dask.aq.outputs.formats import field_formatter, row_formatter
from ess_dask.aq.program import OutputColumn, OutputFormat, OutputSpec
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
    texts = frame.select(
        _text(frame[column_name(at)], column, spec.format).alias(column_name(at))
        for at, column in enumerate(spec.columns)
    )
    out = io.BytesIO()
    texts.write_csv(
        out, include_header=False, separator=_separator(spec.format), quote_style="never"
    )
    data = out.getvalue()
    if spec.format.separator.isascii():
        return data if data.isascii() else data.decode("utf-8").encode("latin-1")
    return data.decode("utf-8").replace("\0", spec.format.separator).encode("latin-1")


def _separator(form: OutputFormat) -> str:
    return form.separator if form.separator.isascii() else "\0"


def _text(values: pl.Series, column: OutputColumn, form: OutputFormat) -> pl.Series | pl.Expr:
    """Return a column as it is printed; integers print as they are."""
    import polars as pl

    kind = column.source.kind
    if column.print_format or (kind is Kind.F and form.short_floats) or _is_escaped(kind, form):
        field = field_formatter(form, column)
        return pl.Series([field(value) for value in values.to_list()], dtype=pl.String)
    if kind is Kind.F:
        return format_floats(values)
    if kind.type is Type.STR and form.name == "csv":
        return _quoted(values)
    return values


def _is_escaped(kind: Kind, form: OutputFormat) -> bool:
    return form.escape and kind.type is Type.STR


def _quoted(values: pl.Series) -> pl.Expr:
    import polars as pl

    body = pl.lit(values)
    if values.str.contains('"', literal=True).any():
        body = body.str.replace_all('"', '""', literal=True)
    quote = pl.lit('"')
    shown = pl.concat_str(quote, body, quote)
    if (values.str.len_bytes() > 0).all():
        return shown
    return pl.when(pl.lit(values) == "").then(pl.lit("")).otherwise(shown)
