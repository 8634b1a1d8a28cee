"""Staging: clean rows become Parquet parts that a warehouse can take, written by the workers.

How the parts of a back end look, what is measured of them and where they end up are pieces of a
``Layout``; how files are dealt to parts is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.catalog.model import FileRef
from ess_dask.dataclass import dataclass
from ess_dask.engine.model import Batch, Piece
from ess_dask.errors import DataError
from ess_dask.records.spec import MIB, Column
from ess_dask.warehouse.model import StagedPart
from ess_dask.warehouse.schema import FILE_COLUMN, from_arrow
from ess_dask.warehouse.staging_part import Measure, NoMeasure, OpenPart
from ess_dask.warehouse.staging_place import LocalPlace, Place, make_folder, no_room
from ess_dask.warehouse.staging_shape import PlainShape, Shape, agreed

if TYPE_CHECKING:
    import pyarrow as pa

PART_BYTES = 64 * MIB
"""Stored size at which a new part is begun."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the parts of one batch are made. Stays on the worker.

    ``folder`` is where they are written, ``place`` where they end up; ``part_bytes`` is the stored
    size at which a new part is begun.
    """

    folder: str
    shape: Shape
    place: Place
    measured: Callable[[], Measure] = NoMeasure
    part_bytes: int = PART_BYTES
    codec: str = "zstd"


@dataclass(frozen=True, slots=True)
class StagingSink:
    """Writes the rows of each batch as Parquet (zstd) under ``folder``.

    With ``columns`` every table is brought to exactly these; without, a batch takes its columns
    from its first rows. ``part_bytes`` is the stored size at which a new part is begun.
    """

    folder: str
    columns: tuple[Column, ...] = ()
    part_bytes: int = PART_BYTES

    def open(self, batch: Batch) -> StagingWriter:
        """Begin a batch; makes the folder."""
        own = make_folder(self.folder)
        shape, place = PlainShape(self.columns), LocalPlace(self.folder)
        layout = Layout(own, shape, place, part_bytes=self.part_bytes)
        return StagingWriter(layout, batch.number)


class StagingWriter:
    """The parts of one batch (``engine.model.SinkWriter``).

    Small files share parts. A file that goes on over several pieces gets parts of its own, so that
    forgetting it removes whole parts; forgetting a small one writes its shared part again.
    """

    def __init__(self, layout: Layout, number: int) -> None:
        self._layout = layout
        self._number = number
        self._parts: list[OpenPart] = []
        self._waiting: tuple[pa.Table, str] | None = None
        self._published: list[str] = []

    def write(self, piece: Piece) -> None:
        """Take one piece. Raises ``DataError`` naming a column that does not fit."""
        if not piece.table.num_rows:
            return
        table = self._layout.shape.rows(piece)
        uris = _present(piece)
        if len(uris) > 1:
            self._settle()
            self._add(table, uris, sole=False)
        elif self._goes_on(uris[0]):
            self._settle(sole=True)
            self._add(table, uris, sole=True)
        else:
            self._settle()
            self._waiting = (table, uris[0])

    def forget(self, file: FileRef) -> None:
        """Take back the file's rows so far; it may be written again afterwards."""
        self._layout.shape.forget(file.uri)
        if self._waiting is not None and self._waiting[1] == file.uri:
            self._waiting = None
        try:
            kept = [part.without(file.uri) for part in self._parts]
        except OSError as error:
            raise no_room(self._layout.folder, error) from error
        self._parts = [part for part in kept if part is not None]

    def close(self) -> tuple[StagedPart, ...]:
        """Finish all parts and publish them, all rows being on disk by then."""
        self._settle()
        named = []
        try:
            for number, part in enumerate(self._parts):
                part.finish()
                named.append((part.temporary, f"part-{self._number:06d}-{number:04d}"))
            stored = self._layout.place.publish(named)
        except OSError as error:
            self.abort()
            raise no_room(self._layout.folder, error) from error
        self._published = [path for path, _ in stored]
        return tuple(
            StagedPart(path, p.rows, size, tuple(p.uris), p.measure.widths(), p.measure.digest())
            for (path, size), p in zip(stored, self._parts, strict=True)
        )

    def abort(self) -> None:
        """Remove whatever was written, published or not."""
        for part in self._parts:
            part.drop()
        published, self._published = self._published, []
        self._parts, self._waiting = [], None
        self._layout.place.remove(published)

    def _goes_on(self, uri: str) -> bool:
        if self._waiting is not None:
            return self._waiting[1] == uri
        return bool(self._parts) and self._parts[-1].sole and uri in self._parts[-1].uris

    def _settle(self, *, sole: bool = False) -> None:
        """Write the single-file piece that waited to see whether its file goes on."""
        if self._waiting is not None:
            (table, uri), self._waiting = self._waiting, None
            self._add(table, [uri], sole=sole)

    def _add(self, table: pa.Table, uris: list[str], *, sole: bool) -> None:
        try:
            self._part_for(table.schema, uris, sole=sole).add(table, uris)
        except OSError as error:
            raise no_room(self._layout.folder, error) from error

    def _part_for(self, schema: pa.Schema, uris: list[str], *, sole: bool) -> OpenPart:
        layout = self._layout
        last = self._parts[-1] if self._parts else None
        if last is not None:
            same_owner = last.sole == sole and (not sole or uris[0] in last.uris)
            fits = last.schema == schema and last.stored() < layout.part_bytes
            if same_owner and fits and not last.closed:
                return last
            last.finish()
        path = Path(layout.folder) / f"part-{self._number:06d}"
        self._parts.append(OpenPart(path, schema, sole, layout.measured, layout.codec))
        return self._parts[-1]


def columns_of(parts: Sequence[StagedPart]) -> tuple[Column, ...]:
    """Return the columns the parts in a folder hold, all together; none for no parts.

    A column without any value in one part takes its type from the others. Raises ``DataError``
    naming the column where two parts disagree, and for a part that cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types: dict[str, pa.DataType] = {}
    for part in parts:
        try:
            schema = pq.read_schema(part.path)
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"staged part {part.path} cannot be read: {error}") from error
        types = agreed(types, schema.remove(schema.get_field_index(FILE_COLUMN)))
    return tuple(Column(name, from_arrow(name, type_)) for name, type_ in types.items())


def _present(piece: Piece) -> list[str]:
    """Return the uris that have rows in the piece, in its order of files."""
    import numpy as np

    return [piece.files[index].uri for index in np.unique(piece.file_of)]
