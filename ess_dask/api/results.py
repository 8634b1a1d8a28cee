"""What a selection gives besides rows: what it would read, and the account of what it read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ess_dask.api.excerpt import rows_html, rows_text
from ess_dask.api.forms import as_frame, as_polars, describe_schema
from ess_dask.catalog.model import FileRef
from ess_dask.dataclass import dataclass
from ess_dask.engine.model import Batch, BatchResult
from ess_dask.markup import count, facts, grid, page, show_bytes

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from ess_dask.api.plot import Plot
    from ess_dask.api.selection import Selection
    from ess_dask.query.sql.run import Run


@dataclass(frozen=True, slots=True, repr=False)
class Collected:
    """Clean rows and their account. ``rejects`` has uri, line, column, reason, raw."""

    table: pa.Table
    rejects: pa.Table
    results: tuple[BatchResult, ...]

    def __repr__(self) -> str:
        return f"<Collected: {self.table.num_rows:,} rows, {self.rejects.num_rows:,} rejected>"

    def _repr_html_(self) -> str:
        rows = {"rows": f"{self.table.num_rows:,}", "rejected": f"{self.rejects.num_rows:,}"}
        columns = grid(("column", "type"), describe_schema(self.table.schema).items())
        return page("Collected", facts(rows), columns)


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """The rows that a question gave, in the form that is asked for."""

    table: pa.Table
    run: Run | None = None

    def explain(self) -> str:
        """Return what ran where, what moved, and how long each stage took."""
        from ess_dask.query.sql.explain import explain

        return explain(self.run) if self.run else ""

    def to_arrow(self) -> pa.Table:
        """Return the rows as a ``pyarrow.Table``."""
        return self.table

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas frame with Arrow-backed columns."""
        return as_frame(self.table)

    def to_polars(self) -> pl.DataFrame:
        """Return the rows as a Polars frame."""
        return as_polars(self.table)

    @property
    def plot(self) -> Plot:
        """Draws the rows: ``answer.plot.bar()``, ``answer.plot(x, y, kind="line")``; see ``Plot``.

        Needs matplotlib (``pip install "ess-dask[ui]"``).
        """
        from ess_dask.api.plot import Plot

        return Plot(self.table)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand the rows to any Arrow library (the Arrow PyCapsule interface)."""
        return self.table.__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        return rows_text(self.table)

    def _repr_html_(self) -> str:
        return rows_html(self.table)


@dataclass(frozen=True, slots=True, repr=False)
class SelectionPlan:
    """What a selection would read: files in order, grouped into batches (one task each), out of
    ``matched`` files of the category."""

    selection: Selection
    files: tuple[FileRef, ...]
    batches: tuple[Batch, ...]
    matched: int = 0

    def __repr__(self) -> str:
        stored = show_bytes(sum(file.size for file in self.files))
        selection = self.selection
        lines = [
            f"{selection.category.name}: {count(len(self.files), 'file', 'files')}, "
            f"{stored} stored, {count(len(self.batches), 'batch', 'batches')}",
            *(f"  {file.uri}" for file in self.files[:3]),
        ]
        if len(self.files) > 3:
            lines.append(f"  ... {self.files[-1].uri}")
        steps: Any = (*selection.bytes_steps, *selection.row_steps)
        lines += [f"  {number}. {step.name}" for number, step in enumerate(steps, 1)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        steps: Any = (*self.selection.bytes_steps, *self.selection.row_steps)
        known = {
            "files": f"{len(self.files):,}",
            "stored": show_bytes(sum(file.size for file in self.files)),
            "tasks": count(len(self.batches), "batch", "batches"),
            "clean": "; ".join(step.name for step in steps),
        }
        titles = ("task", "files", "stored", "first file", "last file")
        tasks = grid(titles, map(_task, self.batches))
        return page(f"Plan of {self.selection.category.name}", facts(known), tasks)


def _task(batch: Batch) -> tuple[object, ...]:
    first, last = batch.files[0], batch.files[-1]
    more = last.shown if len(batch.files) > 1 else ""
    return batch.number, len(batch.files), show_bytes(batch.size), first.shown, more
