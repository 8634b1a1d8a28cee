"""A profile for a notebook, and as a page of its own."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from ess_dask.drawing.bars import Bar, bars_svg, histogram_svg
from ess_dask.drawing.calendar import calendar_svg
from ess_dask.drawing.page import document, figure
from ess_dask.errors import EssError
from ess_dask.markup import count, escape, facts, grid, page, printable
from ess_dask.profiling.words import about, heading, notes, share_text, value_text

if TYPE_CHECKING:
    from pathlib import Path

    from ess_dask.profiling.model import ColumnProfile, Profile, RejectedKind

_RAW = 200
"""Characters of a rejected row that are shown."""


def profile_html(profile: Profile) -> str:
    """Return a profile as HTML for a notebook."""
    return page(_title(profile), _body(profile))


def write_page(profile: Profile, path: Path) -> Path:
    """Write a profile as a page of its own; raise ``EssError`` when that fails."""
    try:
        path.write_text(document(_title(profile), _body(profile)), encoding="utf-8")
    except OSError as error:
        raise EssError(
            f"cannot write {path}: {error.strerror}",
            hint="name a file in a folder that you may write to",
        ) from None
    return path


def _title(profile: Profile) -> str:
    where = f" {profile.range}" if profile.range else ""
    return printable(f"Profile of {profile.name}{where}")


def _body(profile: Profile) -> str:
    said = "".join(f"<p>{escape(printable(note))}</p>" for note in notes(profile))
    days: dict[dt.date, float] = dict(profile.files.days)
    calendar = calendar_svg(days, "Files by day", lambda value: count(int(value), "file", "files"))
    parts = [
        f"<p>{escape(heading(profile))}, {escape(printable(profile.source))}</p>",
        said,
        figure(calendar, "files by the date in their name"),
        _overview(profile),
    ]
    parts += [_column(column) for column in profile.columns]
    if profile.rejects:
        parts += ["<h2>Rejected rows</h2>", *(_rejected(kind) for kind in profile.rejects)]
    return "\n".join(parts)


def _overview(profile: Profile) -> str:
    rows = [
        (each.name, each.type, share_text(each.nulls, each.rows),
         "" if each.distinct is None else f"{about(each)}{each.distinct:,}",
         value_text(each.min), value_text(each.max))
        for each in profile.columns
    ]  # fmt: skip
    # All of them: a column that is left out would be missed.
    titles = ("column", "type", "nulls", "distinct", "min", "max")
    return grid(titles, [tuple(_cut(each) for each in row) for row in rows], shown=len(rows))


def _column(column: ColumnProfile) -> str:
    sign = about(column)
    values = {
        "nulls": f"{column.nulls:,} ({share_text(column.nulls, column.rows)})",
        "not a number": f"{column.nan:,}" if column.nan else "",
        "blank": f"{column.blank:,}" if column.blank else "",
        "distinct": "" if column.distinct is None else f"{sign}{column.distinct:,}",
        "min": _cut(value_text(column.min)),
        "max": _cut(value_text(column.max)),
        "mean": value_text(column.mean),
        "standard deviation": value_text(column.std),
        "length": _lengths(column),
    }
    values |= {
        f"{share:.0%}": f"{sign}{value_text(each, rough=bool(sign))}"
        for share, each in column.quantiles
    }
    return "\n".join(
        [
            f"<h2>{escape(printable(column.name))} <small>{escape(column.type)}</small></h2>",
            _histogram(column),
            facts({name: printable(value) for name, value in values.items()}),
            _top(column),
        ]
    )


def _lengths(column: ColumnProfile) -> str:
    lengths = column.lengths
    return f"{lengths.min:,} to {lengths.max:,}, mean {lengths.mean:.1f}" if lengths else ""


def _histogram(column: ColumnProfile) -> str:
    found = column.histogram
    if found is None:
        return ""
    ends = (value_text(found.edges[0]), value_text(found.edges[-1], rough=True))
    return figure(histogram_svg(found.counts, ends, f"Rows by {column.name}"))


def _top(column: ColumnProfile) -> str:
    top = [each for each in column.top if each.count > 1]
    if not top:
        return ""
    sign = about(column)
    bars = [
        Bar(_cut(value_text(each.value)) or "(empty)", each.count, f"{sign}{each.count:,}")
        for each in top
    ]
    error = f"counts are too high by {column.top_error:,} at most" if column.top_error else ""
    return figure(bars_svg(bars, f"Most frequent values of {column.name}"), error)


def _rejected(kind: RejectedKind) -> str:
    rows = [
        (each.uri, each.line, each.column, each.reason,
         _cut(each.raw.decode("utf-8", "backslashreplace")))
        for each in kind.samples
    ]  # fmt: skip
    shown = [tuple(printable(str(value)) for value in row) for row in rows]
    title = f"<h3>{escape(printable(kind.reason))}: {kind.count:,}</h3>"
    return title + grid(("file", "line", "column", "reason", "row"), shown, shown=len(shown))


def _cut(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _RAW else text[: _RAW - 1] + "…"
