"""Different values, and how often each occurs: partials that add up to the same in any pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

COUNT = "count"
"""Name of the column with the number of rows that have the values."""

_MERGE_ROWS = 1 << 16
"""Partials are merged when they are more rows than this, and than what is merged already."""


class Tally:
    """The rows by their values in some columns, in the order in which the values first came.

    Only different values are held. ``columns`` are names of columns of the frames.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._parts: list[pl.DataFrame] = []
        self._merged = self._waiting = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Count the rows of a frame."""
        import polars as pl

        if frame.height:
            groups = frame.group_by(self._columns, maintain_order=True)
            self.merge(groups.agg(pl.len().cast(pl.UInt64).alias(COUNT)))

    def merge(self, counted: pl.DataFrame) -> None:
        """Add what another tally counted; its rows come behind those that are here."""
        self._parts.append(counted)
        self._waiting += counted.height
        if self._waiting > max(_MERGE_ROWS, self._merged):
            self._collapse()

    def counted(self) -> pl.DataFrame | None:
        """Return the different values and ``COUNT``; None when nothing was counted."""
        if len(self._parts) > 1:
            self._collapse()
        return self._parts[0] if self._parts else None

    def _collapse(self) -> None:
        import polars as pl

        groups = pl.concat(self._parts).group_by(self._columns, maintain_order=True)
        self._parts = [groups.agg(pl.col(COUNT).sum())]
        self._merged, self._waiting = self._parts[0].height, 0
