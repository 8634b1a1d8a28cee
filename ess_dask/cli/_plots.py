"""``ess summary --plot``: what lies on which day, in a terminal or on a page."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.drawing.bars import Bar, bars_svg, bars_text
from ess_dask.drawing.calendar import calendar_text
from ess_dask.drawing.page import document, figure
from ess_dask.drawing.shapes import plain
from ess_dask.errors import EssError
from ess_dask.markup import count, escape, printable, show_bytes

if TYPE_CHECKING:
    from ess_dask.catalog.coverage import Coverage

_BARS = 31
"""Periods that are drawn as bars, at most."""

Drawn = Mapping[str, "Coverage"]


def is_plain() -> bool:
    """Return whether stdout takes ASCII alone: it is no terminal, or one that has no UTF-8."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    return not sys.stdout.isatty() or encoding != "utf8"


def plot_text(drawn: Drawn, place: str) -> list[str]:
    """Return the drawing of categories as lines as wide as the terminal.

    Of one category files by day and bytes by period; of several bytes by category, and files by day
    of all together.
    """
    width, ascii_only = shutil.get_terminal_size().columns, is_plain()
    lines = [_heading(drawn, place), ""]
    together = _together(drawn)
    lines += calendar_text(
        together.files, width, ascii_only=ascii_only, show=lambda n: count(int(n), "file", "files")
    )
    bars = _bars(drawn)
    if bars:
        lines += ["", *bars_text(bars, width, ascii_only=ascii_only)]
    lines += [f"{note} are not in the calendar" for note in _apart(together)]
    return [plain(line, ascii_only=ascii_only).rstrip() for line in lines]


def plot_page(drawn: Drawn, place: str) -> str:
    """Return the drawing of categories as a page: bytes of each, and its files by day."""
    from ess_dask.api.show import coverage_svg

    parts = [f"<p>{escape(printable(_heading(drawn, place)))}</p>"]
    if len(drawn) > 1:
        parts.append(figure(bars_svg(_bars(drawn), "Stored bytes by category")))
    for name, coverage in drawn.items():
        parts += [
            f"<h2>{escape(printable(name))}</h2>",
            figure(coverage_svg(coverage, name), "files by the date in their name"),
            figure(bars_svg(_bars({name: coverage}), f"Stored bytes of {name}"), "stored bytes"),
            *(f"<p>{escape(note)} are not in the calendar</p>" for note in _apart(coverage)),
        ]
    return document("Files by day", "\n".join(parts))


def write_html(path: str, page: str) -> None:
    """Write a page; raise ``EssError`` when that fails."""
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise EssError(
            f"cannot write {path}: {error.strerror}",
            hint="name a file in a folder that you may write to",
        ) from None


def _heading(drawn: Drawn, place: str) -> str:
    together = _together(drawn)
    files = sum(together.files.values()) + together.undated + together.numbered
    names = next(iter(drawn)) if len(drawn) == 1 else count(len(drawn), "category", "categories")
    dated = show_bytes(sum(together.sizes.values()))
    return f"{names} in {place}: {count(files, 'file', 'files')}, {dated} with a date"


def _together(drawn: Drawn) -> Coverage:
    from ess_dask.catalog.coverage import Coverage

    files: dict[date, int] = {}
    sizes: dict[date, int] = {}
    for coverage in drawn.values():
        for day, number in coverage.files.items():
            files[day] = files.get(day, 0) + number
            sizes[day] = sizes.get(day, 0) + coverage.sizes[day]
    undated = sum(each.undated for each in drawn.values())
    return Coverage(files, sizes, undated, sum(each.numbered for each in drawn.values()))


def _bars(drawn: Drawn) -> list[Bar]:
    """Return bytes by category, or of one category by period: days, months or years."""
    if len(drawn) != 1:
        sizes = {name: sum(coverage.sizes.values()) for name, coverage in drawn.items()}
    else:
        of_days = next(iter(drawn.values())).sizes
        for letters in (10, 7, 4):
            sizes = {}
            for day, size in sorted(of_days.items()):
                period = day.isoformat()[:letters]
                sizes[period] = sizes.get(period, 0) + size
            if len(sizes) <= _BARS:
                break
    return [Bar(name, size, show_bytes(size)) for name, size in sizes.items()]


def _apart(coverage: Coverage) -> list[str]:
    """Return what no day holds, in words."""
    said = [count(coverage.undated, "file without a date", "files without a date")]
    said += [count(coverage.numbered, "file with a number", "files with a number")]
    counts = (coverage.undated, coverage.numbered)
    return [text for text, number in zip(said, counts, strict=True) if number]
