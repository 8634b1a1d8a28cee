"""Frames to the bytes of an output, the same as the row formatter's."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from ess_dask.aq.kinds import Kind, Type
from ess_dask.aq.outputs.formats import field_formatter, row_formatter
from ess_dask.aq.program import OutputColumn, OutputFormat, OutputSpec
from ess_dask.aq.tables import string_bytes
from ess_dask.aq.vector.floats import Texts, format_floats
from ess_dask.dataclass import dataclass
from ess_dask.records.split import QUOTE

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
    if not frame.height:
        return b""
    fields = _Fields([""], [])
    for at, column in enumerate(spec.columns):
        fields.constants[-1] += spec.format.separator if at else ""
        _add_text(fields, frame[column_name(at)], column, spec.format)
    fields.constants[-1] += "\n"
    return _joined(fields)


@dataclass(frozen=True, slots=True)
class _Fields:
    """The texts of a line: in front of each of the columns, and behind the last, a constant."""

    constants: list[str]
    columns: list[pl.Expr | Texts]

    def add(self, column: pl.Expr | Texts, mark: str = "") -> None:
        """Add a column between two marks."""
        self.constants[-1] += mark
        self.columns.append(column)
        self.constants.append(mark)

    def pieces(self) -> list[pl.Expr]:
        """Return what stands in a row, one behind the other; what is in front of it stands behind
        the row before just as well.

        Texts of which there are few take the constants around them along: a row of two pieces is
        joined in half the time of one of five.
        """
        import polars as pl

        constants, columns = ["", *self.constants[1:]], []
        constants[-1] += self.constants[0]
        for at, column in enumerate(self.columns):
            if isinstance(column, Texts):
                if column.places is not None:
                    column = column.between(*constants[at : at + 2])
                    constants[at : at + 2] = "", ""
                column = pl.lit(column.rows())
            columns.append(column)
        found = []
        for constant, piece in zip_longest(constants, columns):
            found += [pl.lit(constant)] if constant else []
            found += [piece] if piece is not None else []
        return found


def _joined(fields: _Fields) -> bytes:
    """Return the texts of all rows, one behind the other."""
    import polars as pl

    front = fields.constants[0]
    lines = pl.select(pl.concat_str(fields.pieces())).to_series()
    # As one text with offsets: what stands between the first and the last of them is all of it.
    text = string_bytes(lines.to_arrow(compat_level=pl.CompatLevel.oldest()))
    data = front.encode() + text[: len(text) - len(front)].tobytes()
    return data if data.isascii() else data.decode("utf-8").encode("latin-1")


def _add_text(fields: _Fields, values: pl.Series, column: OutputColumn, form: OutputFormat) -> None:
    """Add the texts of a column; integers print as they are."""
    import polars as pl

    kind = column.source.kind
    if column.print_format or (kind is Kind.F and form.short_floats) or _is_escaped(kind, form):
        field = field_formatter(form, column)
        fields.add(pl.lit(pl.Series([field(value) for value in values.to_list()], dtype=pl.String)))
    elif kind is Kind.F:
        fields.add(format_floats(values))
    elif kind.type is Type.STR and form.name == "csv":
        _add_quoted(fields, values)
    else:
        fields.add(pl.lit(values))


def _is_escaped(kind: Kind, form: OutputFormat) -> bool:
    return form.escape and kind.type is Type.STR


def _add_quoted(fields: _Fields, values: pl.Series) -> None:
    import polars as pl

    body = pl.lit(values)
    if QUOTE in string_bytes(values.to_arrow(compat_level=pl.CompatLevel.oldest())):
        body = body.str.replace_all('"', '""', literal=True)
    if (values != "").all():
        fields.add(body, '"')
        return
    quote, blank = pl.lit('"'), pl.lit("")
    fields.add(
        pl.when(pl.lit(values) == "").then(blank).otherwise(pl.concat_str(quote, body, quote))
    )
