"""Where an import's rows go on a worker: from clean pieces to segments.

Rows of small files share a segment. Rows of a file that comes in several pieces wait apart, and go
into a segment of their own when they become too many to wait in memory: until the file is complete
they must be removable without a trace.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from ess_dask.catalog.model import FileRef
from ess_dask.dataclass import dataclass
from ess_dask.engine.model import Batch, Piece
from ess_dask.errors import ColumnsError
from ess_dask.tables.layout import TableLayout
from ess_dask.tables.segment import STRIPE_BYTES, Segment, SegmentWriter, remove_segments

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class SegmentSink:
    """Writes the rows of each batch as segments in ``folder`` (a path, or ``s3://bucket/prefix``);
    implements ``engine.model.Sink``.

    The parts of a batch are ``Segment`` values, in file order.
    """

    folder: str
    layout: TableLayout

    def open(self, batch: Batch) -> SegmentSinkWriter:
        """Begin a batch."""
        return SegmentSinkWriter(self.folder, self.layout)


@dataclass(slots=True)
class _OpenFile:
    """The rows so far of a file that may go on: waiting, or in a segment of its own."""

    file: FileRef
    waiting: list[pa.Table] = field(default_factory=list)
    bytes: int = 0
    own: SegmentWriter | None = None


class SegmentSinkWriter:
    """Takes the pieces of one batch in file order; implements ``engine.model.SinkWriter``."""

    def __init__(self, folder: str, layout: TableLayout) -> None:
        self._folder = folder
        self._layout = layout
        self._shared: SegmentWriter | None = None
        self._sources: list[tuple[str, str]] = []
        self._open: _OpenFile | None = None
        self._done: list[Segment] = []

    def write(self, piece: Piece) -> None:
        """Take one piece; ``ColumnsError`` when its columns are not the table's."""
        table = conform(piece.table, self._layout.schema)
        if len(piece.files) == 1:
            self._write_part(piece.files[0], table)
            return
        self._complete()
        self._share(table, piece.files)

    def forget(self, file: FileRef) -> None:
        """Drop the rows of a file that failed while its pieces came."""
        if self._open is not None and self._open.file.uri == file.uri:
            if self._open.own is not None:
                self._open.own.abort()
            self._open = None

    def close(self) -> tuple[Segment, ...]:
        """Finish; return the segments in file order."""
        self._complete()
        self._close_shared()
        return tuple(self._done)

    def abort(self) -> None:
        """Remove whatever was written."""
        for writer in (self._shared, self._open.own if self._open else None):
            if writer is not None:
                writer.abort()
        self._shared, self._open = None, None
        remove_segments(segment.path for segment in self._done)
        self._done.clear()

    def _write_part(self, file: FileRef, table: pa.Table) -> None:
        if self._open is None or self._open.file.uri != file.uri:
            self._complete()
            self._open = _OpenFile(file)
        part = self._open
        if part.own is not None:
            part.own.add(table)
            return
        part.waiting.append(table)
        part.bytes += table.nbytes
        if part.bytes >= STRIPE_BYTES:
            part.own = SegmentWriter(self._folder, self._layout)
            for waiting in part.waiting:
                part.own.add(waiting)
            part.waiting.clear()

    def _complete(self) -> None:
        """The open file is complete: its rows may no longer be taken back."""
        part, self._open = self._open, None
        if part is None:
            return
        if part.own is None:
            for table in part.waiting:
                self._share(table, ())
            self._sources.append((part.file.uri, part.file.etag))
            return
        self._close_shared()
        self._done.append(part.own.close(((part.file.uri, part.file.etag),)))

    def _share(self, table: pa.Table, files: tuple[FileRef, ...]) -> None:
        if self._shared is None:
            self._shared = SegmentWriter(self._folder, self._layout)
        self._shared.add(table)
        self._sources += [(file.uri, file.etag) for file in files]

    def _close_shared(self) -> None:
        if self._shared is not None:
            self._done.append(self._shared.close(tuple(self._sources)))
        self._shared, self._sources = None, []


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with exactly the schema's columns and types, in its order.

    Other columns are left out. ``ColumnsError`` lists every missing column and every type that does
    not convert without loss.
    """
    import pyarrow as pa

    problems, columns = [], []
    for field_ in schema:
        if field_.name not in table.column_names:
            problems.append(f"{field_.name} is missing")
            continue
        try:
            columns.append(table[field_.name].cast(field_.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            found = table[field_.name].type
            problems.append(f"{field_.name} is {found}, which does not become {field_.type}")
    if problems:
        raise ColumnsError(
            f"the rows do not fit the memory table: {'; '.join(problems)}",
            hint="name the columns and types of the table in the last cleaning step",
        )
    return pa.table(columns, schema=schema)
