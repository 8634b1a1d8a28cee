"""A batch's clean rows as a plain Arrow table, for a Python caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ess_dask.catalog.model import FileRef
from ess_dask.clean.protocol import DescribingStep
from ess_dask.engine.model import Batch, BatchResult, FileCount, Job, Piece
from ess_dask.engine.rows import add_file_columns, clean, gather
from ess_dask.engine.work import work_through
from ess_dask.errors import DataError, TransientError

if TYPE_CHECKING:
    import pyarrow as pa


def collect(batch: Batch, job: Job) -> list[Any]:
    """Work on one batch; return ``[table or None, rejects or None, BatchResult]``.

    A plain list and not a dataclass: Arrow tables travel between workers without copies only so.
    """
    import pyarrow as pa

    sink = _Memory()
    result, rejects = work_through(batch, job, sink)
    return [sink.table(), pa.concat_tables(rejects) if rejects else None, result]


def collect_table(batch: Batch, job: Job) -> pa.Table:
    """Work on one batch; return its clean rows. Raises when one of its files failed."""
    table, _, result = collect(batch, job)
    raise_failures(result)
    return empty_table(job) if table is None else table


def empty_table(job: Job) -> pa.Table:
    """Return no rows with the columns that the job's rows have.

    A step that can say what columns come out of it is asked; the others run on no rows. Raises
    ``ConfigError`` for a step that names a column that is not there.
    """
    from ess_dask.records.arrays import empty_table as no_rows
    from ess_dask.records.untyped import empty_chunk

    file = FileRef("", None, 0, "")
    piece = add_file_columns(gather([file], [[empty_chunk(job.read)]]), job.file_columns)
    for step in job.row_steps:
        if isinstance(step, DescribingStep):
            piece = replace(piece, table=no_rows(step.describe(piece.table.schema)))
        else:
            piece = clean(piece, (step,), job.context).piece
    return piece.table


def raise_failures(result: BatchResult) -> None:
    """Raise ``DataError`` or ``TransientError`` naming the first file that failed."""
    raise_failed([count for count in result.counts if count.error])


def raise_failed(failed: Sequence[FileCount]) -> None:
    """Raise ``DataError`` or ``TransientError`` naming the first of these files, if there are any.

    The name is not put before a message that holds it already.
    """
    if not failed:
        return
    kind = TransientError if all(count.transient for count in failed) else DataError
    first = failed[0]
    more = f" (and {len(failed) - 1} more files failed)" if len(failed) > 1 else ""
    name = "" if first.uri in first.error else f"{first.uri}: "
    raise kind(f"{name}{first.error}{more}")


class _Memory:
    """A sink that keeps the pieces of one batch; never leaves the task it was made in."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []

    def open(self, batch: Batch) -> _Memory:
        return self

    def write(self, piece: Piece) -> None:
        self._pieces.append(piece)

    def forget(self, file: FileRef) -> None:
        # A file that can fail after a piece of it was written has its pieces for itself.
        self._pieces = [piece for piece in self._pieces if piece.files != (file,)]

    def close(self) -> tuple[Any, ...]:
        return ()

    def abort(self) -> None:
        self._pieces.clear()

    def table(self) -> pa.Table | None:
        import pyarrow as pa

        if not self._pieces:
            return None
        return pa.concat_tables([piece.table for piece in self._pieces])
