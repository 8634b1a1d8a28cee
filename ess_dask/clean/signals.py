"""What a row step tells the engine besides a plain ``CleanError``."""

from __future__ import annotations

from ess_dask.errors import CleanError


class RowCleanError(CleanError):
    """A cleaning command failed on one row, when that row could be found.

    ``label`` is its value in ``ROW_LABEL`` (None: not found, or not the fault of a row): the engine
    turns it into a file and a line.
    """

    def __init__(self, message: str, *, hint: str = "", label: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.label = label


class LostRowLabelsError(CleanError):
    """A ``per: batch`` step returned rows that cannot be matched with those it was given.

    The engine catches it and runs the step file by file, on tables without ``ROW_LABEL``: then the
    file of each row is known by construction, and its line is 0.
    """
