"""How a selection looks in a notebook: columns, steps, days and sizes; and a table in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from ess_dask.api.forms import describe_schema
from ess_dask.catalog.coverage import Coverage, coverage_of
from ess_dask.catalog.model import FileRef
from ess_dask.drawing.calendar import calendar_svg
from ess_dask.drawing.page import figure
from ess_dask.errors import EssError
from ess_dask.markup import count, facts, grid, page, show_bytes, show_date, text

if TYPE_CHECKING:
    from ess_dask.api.selection import Selection
    from ess_dask.tables.session import Session
    from ess_dask.tables.table import MemoryTable


def selection_html(selection: Selection) -> str:
    """Return a selection as HTML. Lists its files; what fails is said in place of the figures."""
    title = f"{selection.category.name} in {selection.store.root}"
    try:
        files = selection.files()
        figures = facts(_figures(selection, files))
        calendar = coverage_svg(coverage_of(files), title)
        columns = grid(("column", "type"), selection.columns.items())
    except EssError as error:
        return page(title, text(str(error)))
    return page(title, figures, figure(calendar), columns)


def coverage_svg(coverage: Coverage, title: str) -> str:
    """Return files and bytes by day as a calendar; '' where no file has a date."""
    sizes, files = coverage.sizes, coverage.files

    def said(day: date) -> str:
        return f"{count(files[day], 'file', 'files')}, {show_bytes(sizes[day])}"

    return calendar_svg(files, f"Files by day: {title}", tell=said)


def selection_text(selection: Selection) -> str:
    """Return a selection in one line; nothing is listed."""
    words = [f"<Selection {selection.category.name}"]
    if chosen := _range(selection.lower, selection.upper):
        words.append(chosen)
    steps: Any = (*selection.bytes_steps, *selection.row_steps)
    words += [step.name for step in steps]
    return " | ".join(words) + ">"


def table_html(memory: MemoryTable) -> str:
    """Return a table as HTML: columns, sizes, and how evenly its rows lie. Its rows are not read;
    those of a table that merges are not counted, for that is work."""
    layout, segments = memory.layout, [segment for _, segment in memory.version.segments]
    placed = zip(*(each.rows for each in segments), strict=True)
    rows = () if layout.merges else tuple(map(sum, placed))
    known = {
        "rows": "" if layout.merges else f"{sum(rows):,}",
        "size": show_bytes(sum(segment.bytes for segment in segments)),
        "key": ", ".join(layout.key),
        "sorted by": ", ".join(layout.sort),
        "partitions": f"{layout.partitions:,}",
        "rows of a partition": _evenness(rows),
        "files": f"{len(memory.sources):,}",
        "version": memory.version.number,
    }
    columns = grid(("column", "type"), describe_schema(memory.schema).items())
    return page(f"Table {memory.name}", facts(known), columns)


def cluster_html(session: Session) -> str:
    """Return a cluster as HTML: its machines and the tables that they hold."""
    from ess_dask.tables.inventory import take_snapshot

    title = f"Cluster: {session.endpoint.kind}"
    try:
        found = take_snapshot(session)
    except EssError as error:
        return page(title, text(str(error)))
    known = {
        "name": found.name,
        "workers": f"{len(found.workers):,}",
        "threads": f"{sum(worker.threads for worker in found.workers):,}",
    }
    rows = [
        (
            table.name,
            "" if table.rows is None else f"{table.rows:,}",
            f"{table.partitions:,}",
            show_bytes(table.bytes),
        )
        for table in found.tables
    ]
    return page(title, facts(known), grid(("table", "rows", "partitions", "in memory"), rows))


def _evenness(rows: Sequence[int]) -> str:
    """Say how many rows the partitions have: least, most, and the most against the average."""
    if not sum(rows):
        return ""
    times = max(rows) * len(rows) / sum(rows)
    empty = f", {rows.count(0):,} empty" if 0 in rows else ""
    return f"{min(rows):,} to {max(rows):,} (the largest has {times:.1f} x the average{empty})"


def _figures(selection: Selection, files: Sequence[FileRef]) -> dict[str, object]:
    dates = [file.date for file in files if file.date is not None]
    steps: Any = (*selection.bytes_steps, *selection.row_steps)
    return {
        "patterns": ", ".join(selection.category.patterns),
        "range": _range(selection.lower, selection.upper),
        "files": f"{len(files):,}",
        "stored": show_bytes(sum(file.size for file in files)),
        "first": show_date(dates[0]) if dates else "",
        "last": show_date(dates[-1]) if dates else "",
        "undated files": len(files) - len(dates) or "",
        "clean": "; ".join(step.name for step in steps),
    }


def _range(lower: str, upper: str) -> str:
    return "" if (lower, upper) == ("*", "*") else f"{lower} to {upper}"
