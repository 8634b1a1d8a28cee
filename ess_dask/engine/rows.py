"""Rows on their way through the row steps, each with its file and line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ess_dask.catalog.model import FileRef
from ess_dask.clean.protocol import ROW_LABEL, RowStep, StepContext
from ess_dask.clean.signals import LostRowLabelsError, RowCleanError
from ess_dask.dataclass import dataclass
from ess_dask.engine.model import Piece
from ess_dask.errors import CleanError
from ess_dask.records.arrays import from_numpy, take, to_numpy

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from ess_dask.records.chunk import Chunk


@dataclass(frozen=True, slots=True)
class StepCount:
    """Rows into and out of one step."""

    name: str
    rows_in: int
    rows_out: int


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A clean piece and the account of each step.

    ``origins`` are the places that its rows had before, -1 where that is not known; None when all
    rows are where they were.
    """

    piece: Piece
    counts: list[StepCount]
    origins: np.ndarray | None = None


def gather(files: Sequence[FileRef], chunks: Sequence[Sequence[Chunk]]) -> Piece:
    """Join the chunks of some files, in order, into one piece."""
    import numpy as np
    import pyarrow as pa

    flat = [chunk for of_file in chunks for chunk in of_file]
    rows = [sum(chunk.table.num_rows for chunk in of_file) for of_file in chunks]
    return Piece(
        table=pa.concat_tables([chunk.table for chunk in flat]),
        files=tuple(files),
        file_of=np.repeat(np.arange(len(files), dtype=np.int32), rows),
    )


def add_file_columns(piece: Piece, names: Sequence[str]) -> Piece:
    """Append ``file_date`` (date) and ``file_uri`` (string) as asked for."""
    import pyarrow as pa

    table = piece.table
    for name in names:
        values = [_file_value(file, name) for file in piece.files]
        kind = pa.date32() if name == "file_date" else pa.string()
        column = take(pa.array(values, kind), from_numpy(piece.file_of))
        table = table.append_column(name, column)
    return replace(piece, table=table)


def _file_value(file: FileRef, name: str) -> object:
    if name == "file_uri":
        return file.uri
    return None if file.date is None or isinstance(file.date, int) else file.date.date()


def clean(piece: Piece, steps: Sequence[RowStep], context: StepContext) -> Cleaned:
    """Run the steps over a piece.

    Raises ``CleanError`` of the first step that fails, and ``LostRowLabelsError`` when a
    ``per: batch`` step lost track of its rows and the piece holds several files.
    """
    import numpy as np

    counts: list[StepCount] = []
    if not steps:
        return Cleaned(piece, counts)
    table = piece.table.append_column(ROW_LABEL, from_numpy(np.arange(piece.table.num_rows)))
    for step in steps:
        rows_in = table.num_rows
        table = _apply(step, table, context, alone=len(piece.files) == 1)
        counts.append(StepCount(step.name, rows_in, table.num_rows))
    return _follow(piece, table, counts)


def _apply(step: RowStep, table: pa.Table, context: StepContext, *, alone: bool) -> pa.Table:
    """Run one step; of a single file, rows that lost their label get -1: of no line."""
    import numpy as np

    try:
        cleaned = step.apply(table, context)
    except LostRowLabelsError:
        if not alone:
            raise
        cleaned = step.apply(table.drop_columns([ROW_LABEL]), context)
    if ROW_LABEL in cleaned.column_names:
        return cleaned
    if not alone:
        raise LostRowLabelsError(step.name)
    labels = from_numpy(np.full(cleaned.num_rows, -1, dtype=np.int64))
    return cleaned.append_column(ROW_LABEL, labels)


def _follow(piece: Piece, table: pa.Table, counts: list[StepCount]) -> Cleaned:
    """Look up the file of each row by its label."""
    import numpy as np

    origins = to_numpy(table.column(ROW_LABEL))
    if len(piece.files) == 1:
        file_of = np.zeros(table.num_rows, dtype=np.int32)
    else:
        file_of = piece.file_of[origins]
    cleaned = Piece(table.drop_columns([ROW_LABEL]), piece.files, file_of)
    return Cleaned(cleaned, counts, origins)


def name_row(
    error: CleanError, files: Sequence[FileRef], chunks: Sequence[Sequence[Chunk]]
) -> CleanError:
    """Say file and line of the row that a step failed on, where the step knows it.

    ``chunks[i]`` are those of ``files[i]``, as they were gathered.
    """
    label = error.label if isinstance(error, RowCleanError) else None
    if label is None or label < 0:
        return error
    for file, of_file in zip(files, chunks, strict=True):
        for chunk in of_file:
            if label < len(chunk):
                where = f"{file.uri}, line {int(chunk.lines[label])}"
                return CleanError(f"{error.message} ({where})", hint=error.hint)
            label -= len(chunk)
    return error
