"""The rows of an export in their order, limited and sorted as the request wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ess_dask.aq.program import OutputColumn
from ess_dask.udb.frames import KEY, PLACE
from ess_dask.udb.model import Request, Sort
from ess_dask.udb.outcome import plain_arrow, result_column

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from ess_dask.udb.outcome import Outcome


def part_of(outcome: Outcome, request: Request) -> pa.Table:
    """Return what one partition can contribute to the result; runs on the worker."""
    import polars as pl

    frame = pl.DataFrame(pl.from_arrow(outcome[1]))
    limits = request.limits
    cut = limits.top is not None and limits.keys is None and limits.records is None
    return plain_arrow(arranged(frame, request) if cut else _limited(frame, request))


def arranged(frame: pl.DataFrame, request: Request) -> pl.DataFrame:
    """Return rows of a result limited, sorted and cut; any order in, the same out."""
    frame = _limited(frame, request)
    if request.sort:
        frame = _sorted(frame, request, request.sort)
    return frame if request.limits.top is None else frame.head(request.limits.top)


def _limited(frame: pl.DataFrame, request: Request) -> pl.DataFrame:
    """Return the rows by keys in their order, as many as are wanted before any sorting."""
    import polars as pl

    limits = request.limits
    frame = frame.sort(KEY, PLACE, maintain_order=True)
    if limits.per_key is not None:
        frame = frame.filter(pl.int_range(pl.len()).over(KEY) < limits.per_key)
    if limits.keys is not None:
        frame = frame.filter(pl.col(KEY).rle_id() < limits.keys)
    return frame if limits.records is None else frame.head(limits.records)


def _sorted(frame: pl.DataFrame, request: Request, sort: Sort) -> pl.DataFrame:
    """Return the rows sorted; descending is the ascending order reversed, ties included."""
    from ess_dask.aq.vector.texts import sort_key

    places = {reference: at for at, reference in enumerate(request.results)}
    columns = [
        sort_key(frame[result_column(places[reference])], reference.type, ncas=sort.ncas)
        for reference in sort.columns
    ]
    by = [column.alias(f"by{at}") for at, column in enumerate(columns)]
    rows = frame.with_columns(*by).sort(*(column.name for column in by), KEY, PLACE)
    rows = rows.drop(column.name for column in by)
    return rows.reverse() if sort.descending else rows


def output_frame(
    frame: pl.DataFrame, columns: Sequence[OutputColumn], request: Request
) -> pl.DataFrame:
    """Return the columns of one output under the names that its writer wants."""
    from ess_dask.aq.vector.writing import column_name

    places = {reference: at for at, reference in enumerate(request.results)}
    return frame.select(
        frame[result_column(places[column.source])].alias(column_name(at))
        for at, column in enumerate(columns)
    )
