"""What a request gives where it was at work: counts, rows of the result, changed rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.aq.kinds import Value
from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of keys and rows, rows that failed and why the first did, variables at the end."""

    keys: int
    rows: int
    failed: int
    reason: str
    variables: tuple[Value, ...]


Done = tuple[Report, "pa.Table", dict[str, "pl.DataFrame"]]
"""The report, the result's rows, and by object its changed rows."""

Outcome = tuple[Report, "pa.Table", dict[str, "list[pa.Table]"]]
"""The report, the result's rows, and by object its changed rows for each partition."""


def result_column(at: int) -> str:
    """Return the name of a column in the table of results."""
    return f"r{at}"


def plain_arrow(frame: pl.DataFrame) -> pa.Table:
    """Return a frame as Arrow with types that every Arrow function takes."""
    import polars as pl

    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
