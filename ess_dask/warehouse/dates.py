"""File dates as the ledger keeps them: text that sorts, compares and reads back."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ess_dask.catalog.bounds import Bounds
    from ess_dask.catalog.model import FileDate


def date_text(date: FileDate | None) -> str:
    """Return a file's date for ``LoadFile.date``: ISO 8601, the digits of an id, '' for none."""
    if date is None:
        return ""
    return date.isoformat() if isinstance(date, datetime) else str(date)


def parse_date(text: str) -> FileDate | None:
    """Return what ``date_text`` was given (a date without a time is its midnight)."""
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        return datetime.fromisoformat(text)


def within(text: str, bounds: Bounds | None) -> bool:
    """Whether a file's date lies in the bounds, both inclusive; undated only when all is open.

    An id never lies between dates, nor a date between ids.
    """
    if bounds is None or (bounds.lower is None and bounds.upper is None):
        return True
    date = parse_date(text)
    return date is not None and _above(date, bounds.lower) and _above(bounds.upper, date)


def _above(high: FileDate | None, low: FileDate | None) -> bool:
    if high is None or low is None:
        return True
    if isinstance(high, datetime) and isinstance(low, datetime):
        return high >= low
    return isinstance(high, int) and isinstance(low, int) and high >= low


def file_order(date: str, uri: str) -> tuple[int, float, datetime, str]:
    """Return the sort key of file order: undated files, then by id or date, then by uri."""
    parsed = parse_date(date)
    moment = parsed if isinstance(parsed, datetime) else datetime.min  # noqa: DTZ901
    number = parsed if isinstance(parsed, int) else 0
    return (0 if parsed is None else 1, number, moment, uri)
