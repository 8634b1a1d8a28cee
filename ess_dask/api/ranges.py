"""Date ranges within date ranges."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ess_dask.catalog.bounds import parse_bound, parse_bounds
from ess_dask.catalog.dates import compile_dates
from ess_dask.catalog.model import Category

Range = tuple[str, str]


def narrow(category: Category, outer: Range, inner: Range) -> Range:
    """Return the bounds of what lies in both ranges, as they were written.

    Raises ``UsageError`` for a text that is no date (no id) and when nothing can lie in both.
    """
    dates = compile_dates(category.dateregex)
    parse_bounds(*inner, dates)

    def moment(text: str, *, end: bool) -> Any:
        return parse_bound(text, dates.granularity, end=end)

    lower = max(outer[0], inner[0], key=lambda text: _place(moment(text, end=False), -1))
    upper = min(outer[1], inner[1], key=lambda text: _place(moment(text, end=True), 1))
    parse_bounds(lower, upper, dates)
    return lower, upper


def _place(bound: datetime | int | None, when_open: int) -> tuple[int, Any]:
    """Return a key that orders bounds, an open one before (-1) or after (1) all others."""
    return (0, bound) if bound is not None else (when_open, 0)
