"""Which row a step failed on: found by halving, since a ``per: batch`` step works row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ess_dask.clean.protocol import ROW_LABEL
from ess_dask.clean.signals import RowCleanError
from ess_dask.errors import CleanError

if TYPE_CHECKING:
    import pyarrow as pa

Attempt = Callable[["pa.Table"], CleanError | None]
"""Runs the step on some rows; returns the error with which it failed, or None."""


def located(table: pa.Table, error: CleanError, attempt: Attempt) -> RowCleanError:
    """Return ``error`` with the label of the first row on which the step fails by itself.

    The label is None when the rows have none, when the step fails on no rows at all, or when
    neither half of some rows fails alone. Runs the step on about twice the rows of ``table``.
    """
    label = None
    if ROW_LABEL in table.column_names and attempt(table.slice(0, 0)) is None:
        error, label = _first_bad_row(table, error, attempt)
    return RowCleanError(error.message, hint=error.hint, label=label)


def _first_bad_row(
    table: pa.Table, error: CleanError, attempt: Attempt
) -> tuple[CleanError, int | None]:
    while table.num_rows > 1:
        half = table.num_rows // 2
        for part in (table.slice(0, half), table.slice(half)):
            found = attempt(part)
            if found is not None:
                table, error = part, found
                break
        else:
            return error, None
    return error, table.column(ROW_LABEL)[0].as_py()
