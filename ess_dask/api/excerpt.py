"""Rows as a person sees them: the first and the last few, whatever the size of the table."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from ess_dask.api.spoken import spoken, value_of
from ess_dask.markup import SHOWN, count, escape

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = 20
"""Columns that are shown: the first and the last half of them."""

CELL = 60
"""Characters of a value that are shown."""

TEXT_ROWS = 60
"""Rows that a text shows; of more, the first and the last five."""

_LEFT, _RIGHT = "text-align:left", "text-align:right"
_GAP = "…"


def rows_html(table: pa.Table) -> str:
    """Return rows as HTML of a bounded length; only what is shown is looked at."""
    rows, columns = _ends(table.num_rows, SHOWN), _ends(table.num_columns, COLUMNS)
    head = "".join(_title(table.schema, at) for at in columns)
    values = [_cells(table, at, rows) for at in columns]
    body = "".join(
        f"<tr><th style='{_RIGHT}'>{_GAP if row is None else f'{row:,}'}</th>"
        + "".join(column[place] for column in values)
        + "</tr>"
        for place, row in enumerate(rows)
    )
    size = f"<p>{size_text(table)}</p>"
    head = f"<thead><tr><th></th>{head}</tr></thead>"
    return f"<div><table>{head}<tbody>{body}</tbody></table>{size}</div>"


def size_text(table: pa.Table) -> str:
    """Return the size of a table in words: ``1,000 rows, 1 column``."""
    columns = count(table.num_columns, "column", "columns")
    return f"{count(table.num_rows, 'row', 'rows')}, {columns}"


def rows_text(table: pa.Table) -> str:
    """Return rows as pandas prints them; of many only the first and the last, without making a
    frame of the others."""
    import pandas as pd
    import pyarrow as pa

    from ess_dask.api.forms import as_frame

    if table.num_rows <= TEXT_ROWS:
        return str(as_frame(spoken(table)))
    last = table.num_rows - 5
    frame = as_frame(spoken(pa.concat_tables([table.slice(0, 5), table.slice(last)])))
    frame.index = pd.Index([*range(5), *range(last, table.num_rows)])
    columns = pd.get_option("display.max_columns") or COLUMNS
    options = {"expand_frame_repr": False, "show_dimensions": False, "max_columns": columns}
    with pd.option_context({f"display.{name}": value for name, value in options.items()}):
        lines = str(frame).splitlines()
    size = f"[{table.num_rows} rows x {table.num_columns} columns]"
    return "\n".join([*lines[:-5], "...", *lines[-5:], "", size])


def _ends(number: int, most: int) -> list[int | None]:
    """Return the places that are shown of so many, None between the first and the last."""
    if number <= most:
        return list(range(number))
    half = most // 2
    return [*range(half), None, *range(number - half, number)]


def _title(schema: pa.Schema, at: int | None) -> str:
    if at is None:
        return f"<th>{_GAP}</th>"
    field = schema.field(at)
    kind, name = escape(_cut(str(field.type))), escape(_cut(field.name))
    return f"<th style='{_LEFT}' title='{kind}'>{name}</th>"


def _cells(table: pa.Table, at: int | None, rows: list[int | None]) -> list[str]:
    if at is None:
        return [f"<td>{_GAP}</td>"] * len(rows)
    column = table.column(at)
    return [f"<td>{_GAP}</td>" if row is None else _cell(column[row]) for row in rows]


def _cell(scalar: pa.Scalar) -> str:
    if not scalar.is_valid:
        return f"<td style='{_LEFT}'><i>null</i></td>"
    value = value_of(scalar)
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return f"<td style='{_RIGHT if number else _LEFT}'>{escape(_cut(str(value)))}</td>"


def _cut(text: str) -> str:
    return text if len(text) <= CELL else f"{text[: CELL - 1]}{_GAP}"
