"""Rows on stdout as table, csv, json or ndjson; sizes and dates as people read them."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

import click

from ess_dask.dataclass import dataclass
from ess_dask.markup import printable, printable_lines

Format = Literal["table", "csv", "json", "ndjson"]
Value = str | int | float | bool | None
Row = Sequence[Value]


def say(text: str) -> None:
    """Tell a person, on stderr; a record where JSON is asked for."""
    from ess_dask.observe.logs import is_json, log

    if is_json():
        log(logging.INFO, text)
    else:
        click.echo(printable_lines(text), err=True)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with titles. ``sizes`` are the columns that hold bytes (1.9M in a table)."""

    columns: tuple[str, ...]
    rows: Sequence[Row]
    sizes: tuple[str, ...] = ()


def render(table: Table, form: Format = "table", *, title: bool = True) -> None:
    """Write the rows to stdout: a table aligned for people, the other formats for programs."""
    writers = {"table": _table, "csv": _csv, "json": _json, "ndjson": _ndjson}
    text = writers[form](table, title)
    if text:
        # As bytes: a file name need not be text.
        click.echo(text.encode("utf-8", "surrogateescape"), nl=False)


def aligned(table: Table, *, title: bool = True, right: tuple[str, ...] = ()) -> list[str]:
    """Return the lines of a table: text to the left, numbers to the right, two spaces between.

    ``right`` names further columns to align to the right.
    """
    shown = [[_cell(table, i, value) for i, value in enumerate(row)] for row in table.rows]
    lines = [list(table.columns), *shown] if title else shown
    widths = [max((len(line[i]) for line in lines), default=0) for i in range(len(table.columns))]
    to_right = [name in right or _is_number(table, i) for i, name in enumerate(table.columns)]
    return ["  ".join(map(_pad, line, widths, to_right)).rstrip() for line in lines]


def human_size(size: int) -> str:
    """Return bytes as 512B, 764.2K, 1.9M, ...: steps of 1024, one decimal."""
    if size < 1024:
        return f"{size}B"
    value = float(size)
    for unit in "KMGTP":
        value /= 1024
        if value < 1024 or unit == "P":
            break
    return f"{value:.1f}{unit}"


def show_date(value: datetime | int | None) -> str:
    """Return a file's date as short as it can be written as a bound; '' for an undated file."""
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    if value.second:
        return value.isoformat(timespec="seconds")
    if value.minute:
        return value.isoformat(timespec="minutes")
    return f"{value:%Y-%m-%dT%H}" if value.hour else f"{value:%Y-%m-%d}"


def _table(table: Table, title: bool) -> str:
    return "".join(f"{line}\n" for line in aligned(table, title=title))


def _csv(table: Table, title: bool) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if title:
        writer.writerow(table.columns)
    writer.writerows(table.rows)
    return out.getvalue()


def _json(table: Table, _title: bool) -> str:
    return json.dumps(list(_objects(table)), indent=2) + "\n"


def _ndjson(table: Table, _title: bool) -> str:
    return "".join(f"{json.dumps(item)}\n" for item in _objects(table))


def _objects(table: Table) -> Iterable[dict[str, Value]]:
    return (dict(zip(table.columns, map(_text, row), strict=True)) for row in table.rows)


def _text(value: Value) -> Value:
    # JSON has no bytes: what is not text is shown the way Python escapes it.
    if isinstance(value, str):
        return os.fsencode(value).decode("utf-8", "backslashreplace")
    # Nor has it NaN and infinities.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _cell(table: Table, column: int, value: Value) -> str:
    if value is None:
        return ""
    if table.columns[column] in table.sizes and isinstance(value, int):
        return human_size(value)
    return printable(str(value))


def _is_number(table: Table, column: int) -> bool:
    values = [row[column] for row in table.rows if row[column] is not None]
    return bool(values) and all(isinstance(value, (int, float)) for value in values)


def _pad(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)
