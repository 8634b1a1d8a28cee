"""Figures of a category, from its index."""

from __future__ import annotations

from ess_dask.catalog.dates import NO_DATE
from ess_dask.catalog.index import Catalog, Indexed
from ess_dask.catalog.model import Datastore, FileDate
from ess_dask.catalog.registry import select_indexed
from ess_dask.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Statistics:
    """Number of files, stored bytes and the range of dates of a category.

    A category without any dated file ranges from 1970-01-01, as under ``--dateregex none``; one
    without files has no range.
    """

    name: str
    count: int
    size: int
    undated: int
    first: FileDate | None
    last: FileDate | None


def statistics(catalog: Catalog, store: Datastore, found: Indexed) -> Statistics:
    """Return the figures of a category as last listed."""
    selection = select_indexed(catalog, store, found)
    dates = [file.date for file in selection.files if file.date is not None]
    if not dates and selection.files:
        dates = [NO_DATE]
    return Statistics(
        name=found.category.name,
        count=len(selection.files),
        size=selection.size,
        undated=selection.undated,
        first=dates[0] if dates else None,
        last=dates[-1] if dates else None,
    )
