"""How values are shown to a person: small pieces of HTML for notebooks, numbers with units.

Every text is escaped here: file names are data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape as _escape_html

SHOWN = 20
"""Rows of a table that are shown; a line says how many more there are."""

# Those that turn the direction of writing round make a name look like another.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_IN_LINES = re.compile(rf"(?![\t\n]){_CONTROL.pattern}")

LONGEST = 500
"""Characters of a value that are shown."""

_LEFT = "'text-align:left'"


def escape(value: str) -> str:
    """Return text as HTML shows it; a name that is not valid Unicode in escapes."""
    return _escape_html(value.encode("utf-8", "backslashreplace").decode())


def printable(value: str) -> str:
    """Return text that cannot steer a terminal or break a line."""
    return _CONTROL.sub(_code, value)


def printable_lines(value: str) -> str:
    """Return text of several lines that cannot steer a terminal; tabs stay as well."""
    return _IN_LINES.sub(_code, value)


def _code(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def page(title: str, *parts: str) -> str:
    """Return a titled block of parts, which are HTML already."""
    return f"<div><b>{escape(title)}</b>{''.join(parts)}</div>"


def facts(values: Mapping[str, object]) -> str:
    """Return names and values as a two-column table; blank values are left out."""
    rows = [
        f"<tr><th scope='row' style={_LEFT}>{escape(name)}</th>"
        f"<td style={_LEFT}>{_short(value)}</td></tr>"
        for name, value in values.items()
        if value not in ("", None, (), [])
    ]
    return f"<table>{''.join(rows)}</table>"


def grid(titles: Iterable[str], rows: Iterable[Iterable[object]], shown: int = SHOWN) -> str:
    """Return rows as a table with titles, the first ``shown`` of them."""
    listed = list(rows)
    start = f"<th scope='col' style={_LEFT}>"
    head = "".join(f"{start}{escape(title)}</th>" for title in titles)
    body = "".join(
        f"<tr>{''.join(f'<td style={_LEFT}>{_short(value)}</td>' for value in row)}</tr>"
        for row in listed[:shown]
    )
    more = f"<p>... and {len(listed) - shown:,} more</p>" if len(listed) > shown else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _short(value: object) -> str:
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


def document(title: str, style: str, *parts: str) -> str:
    """Return a whole HTML page of parts, which are HTML already: it needs nothing beside itself.

    Its policy forbids scripts and everything from elsewhere, whatever the parts hold.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    body = "\n".join(filter(None, parts))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        f"<body><main><h1>{escape(title)}</h1>\n{body}\n</main></body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """Return a part of a page under a heading; '' when there is nothing in it."""
    body = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def table(caption: str, titles: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return all rows as a table with a caption, numbers to the right; '' without rows."""
    lines = ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows]
    if not lines:
        return ""
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        return f'<td class="n">{value:,}</td>'
    return f"<td>{escape(str(value))}</td>"


def note(content: str) -> str:
    """Return a line of plain text as a paragraph, '' for none."""
    return f"<p>{escape(content)}</p>" if content else ""
