"""How values are shown to a person: small pieces of HTML for notebooks, numbers with units.

Every text is escaped here: file names are data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape as _escape_html

SHOWN = 20
"""Rows of a table that are shown; a line says how many more there are."""

LONGEST = 500
"""Characters of a value that are shown."""

_LEFT = "'text-align:left'"


def escape(value: str) -> str:
    """Return text as HTML shows it; a name that is not valid Unicode in escapes."""
    return _escape_html(value.encode("utf-8", "backslashreplace").decode())


def page(title: str, *parts: str) -> str:
    """Return a titled block of parts, which are HTML already."""
    return f"<div><b>{escape(title)}</b>{''.join(parts)}</div>"


def facts(values: Mapping[str, object]) -> str:
    """Return names and values as a two-column table; blank values are left out."""
    rows = [
        f"<tr><th style={_LEFT}>{escape(name)}</th><td style={_LEFT}>{_cell(value)}</td></tr>"
        for name, value in values.items()
        if value not in ("", None, (), [])
    ]
    return f"<table>{''.join(rows)}</table>"


def grid(titles: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return rows as a table with titles, the first ``SHOWN`` of them."""
    listed = list(rows)
    head = "".join(f"<th style={_LEFT}>{escape(title)}</th>" for title in titles)
    body = "".join(
        f"<tr>{''.join(f'<td style={_LEFT}>{_cell(value)}</td>' for value in row)}</tr>"
        for row in listed[:SHOWN]
    )
    more = f"<p>... and {len(listed) - SHOWN:,} more</p>" if len(listed) > SHOWN else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: object) -> str:
    shown = str(value)
    return escape(shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…")


def text(content: str) -> str:
    """Return plain text as a block that keeps its lines."""
    return f"<pre>{escape(content)}</pre>"


def count(number: int, one: str, many: str) -> str:
    """Return a number with its noun: ``1 file``, ``1,000 files``."""
    return f"{number:,} {one if number == 1 else many}"


def show_bytes(number: int) -> str:
    """Return a size as a person reads it: ``9.2 MiB``."""
    amount, unit = float(number), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def show_date(date: datetime | int | None) -> str:
    """Return a file's date or id, without a time of day that is midnight."""
    return str(date).removesuffix(" 00:00:00") if date is not None else ""
