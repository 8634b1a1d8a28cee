"""From (category, lower, upper) to an ordered list of file versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ess_dask.catalog.bounds import OPEN, Bounds, parse_bounds
from ess_dask.catalog.dates import DatePattern, FoundDate, compile_dates
from ess_dask.catalog.listing import list_files
from ess_dask.catalog.model import Category, Datastore, FileDate, FileRef
from ess_dask.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Selection:
    """Files in order (date, then uri; undated ones last), and what was left out.

    ``undated`` counts all matching files whose name holds no possible date, selected or not;
    ``matched`` all files of the category.
    """

    files: tuple[FileRef, ...]
    undated: int = 0
    matched: int = 0

    @property
    def size(self) -> int:
        """Stored bytes of all selected files."""
        return sum(file.size for file in self.files)


def select_files(
    store: Datastore,
    category: Category,
    lower: str = OPEN,
    upper: str = OPEN,
    exclude: Iterable[str] = (),
    limit: int | None = None,
) -> Selection:
    """List a category and return its files with ``lower <= date <= upper``, in order.

    Needs no registered state. Bounds as in ``catalog.bounds``; undated files are selected only
    when both are open. ``limit`` keeps the first files. Raises ``UsageError`` for bad patterns or
    bounds, ``AccessError`` and ``TransientError`` from listing.
    """
    dates = compile_dates(category.dateregex)
    bounds = parse_bounds(lower, upper, dates)
    return select_from(list_files(store, category, exclude), dates, bounds, limit)


def select_from(
    files: Iterable[FileRef], dates: DatePattern, bounds: Bounds, limit: int | None = None
) -> Selection:
    """Date, filter and order the files of a listing or an index."""
    kept: list[FileRef] = []
    undated = matched = 0
    for file in files:
        found = dates.locate(file.uri)
        matched += 1
        undated += found is None
        if bounds.covers(found):
            kept.append(_dated(file, found))
    kept.sort(key=_order)
    return Selection(tuple(kept[:limit]), undated, matched)


def dated(files: Iterable[FileRef], dateregex: str) -> list[FileRef]:
    """Return files with the dates their names hold, in the order given."""
    dates = compile_dates(dateregex)
    return [replace(file, date=dates.find(file.uri)) for file in files]


def _dated(file: FileRef, found: FoundDate | None) -> FileRef:
    return file if found is None else FileRef(file.uri, found.value, file.size, file.etag)


def _order(file: FileRef) -> tuple[bool, FileDate, str]:
    # Never compared with a real date: undated files are a group of their own, at the end.
    return (file.date is None, 0 if file.date is None else file.date, file.uri)
