"""Staging: clean rows become Parquet parts that a warehouse can take, written by the workers."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.catalog.model import FileRef
from ess_dask.engine.model import Batch, Piece
from ess_dask.errors import DataError, EssError
from ess_dask.records.arrays import from_numpy, strings
from ess_dask.records.spec import MIB, Column
from ess_dask.records.types import arrow_type
from ess_dask.warehouse.model import StagedPart
from ess_dask.warehouse.schema import FILE_COLUMN, check_columns, from_arrow

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROW_GROUP_BYTES = 32 * MIB
"""Arrow bytes that are held before they are written; bounds the memory of a writer."""
ROW_GROUP_ROWS = 122_880
"""Rows of a row group; DuckDB's own number, and it reads row groups in parallel."""


@dataclass(frozen=True, slots=True)
class StagingSink:
    """Writes the rows of each batch as Parquet (zstd) under ``folder``.

    With ``columns`` every table is brought to exactly these; without, a batch takes its columns
    from its first rows. ``part_bytes`` is the stored size at which a new part is begun.
    """

    folder: str
    columns: tuple[Column, ...] = ()
    part_bytes: int = 64 * MIB

    def open(self, batch: Batch) -> StagingWriter:
        """Begin a batch; makes the folder."""
        try:
            Path(self.folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise EssError(f"cannot make the staging folder {self.folder}: {error}") from error
        return StagingWriter(self, batch.number)


@dataclass(slots=True)
class _Part:
    """A part on its way: written under a name of its own, so that two attempts cannot mix."""

    path: Path
    temporary: Path
    schema: pa.Schema
    sole: bool
    """Whether it is for one large file alone."""
    uris: dict[str, None] = field(default_factory=dict)
    rows: int = 0
    held: list[pa.Table] = field(default_factory=list)
    held_bytes: int = 0
    writer: pq.ParquetWriter | None = None
    closed: bool = False

    def add(self, table: pa.Table, uris: Sequence[str]) -> None:
        self.uris.update(dict.fromkeys(uris))
        self.rows += table.num_rows
        self.held.append(table)
        self.held_bytes += table.nbytes
        if self.held_bytes >= ROW_GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        if not self.held:
            return
        if self.writer is None:
            self.writer = _parquet(self.temporary, self.schema)
        table = pa.concat_tables(self.held).unify_dictionaries()
        self.writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        self.held, self.held_bytes = [], 0

    def stored(self) -> int:
        return self.temporary.stat().st_size if self.writer is not None else 0

    def finish(self) -> None:
        self.flush()
        if self.writer is not None:
            self.writer.close()
        self.closed = True

    def drop(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.temporary.unlink(missing_ok=True)


class StagingWriter:
    """The parts of one batch (``engine.model.SinkWriter``).

    Small files share parts. A file that goes on over several pieces gets parts of its own, so that
    forgetting it removes whole parts; forgetting a small one writes its shared part again.
    """

    def __init__(self, sink: StagingSink, number: int) -> None:
        self._sink = sink
        self._number = number
        self._parts: list[_Part] = []
        self._waiting: tuple[pa.Table, str] | None = None
        self._types: dict[str, pa.DataType] = {}
        check_columns(sink.columns)

    def write(self, piece: Piece) -> None:
        """Take one piece. Raises ``DataError`` naming a column that does not fit."""
        if not piece.table.num_rows:
            return
        table = self._shape(piece)
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
        if self._waiting is not None and self._waiting[1] == file.uri:
            self._waiting = None
        try:
            kept = [self._without(file.uri, part) for part in self._parts]
        except OSError as error:
            raise _no_room(self._sink.folder, error) from error
        self._parts = [part for part in kept if part is not None]

    def close(self) -> tuple[StagedPart, ...]:
        """Finish all parts and give them their names, all rows being on disk by then."""
        self._settle()
        try:
            for part in self._parts:
                part.finish()
            staged = []
            for number, part in enumerate(self._parts):
                final = part.path.with_name(f"part-{self._number:06d}-{number:04d}.parquet")
                size = part.temporary.stat().st_size
                part.temporary.replace(final)
                staged.append(StagedPart(str(final), part.rows, size, tuple(part.uris)))
        except OSError as error:
            self.abort()
            raise _no_room(self._sink.folder, error) from error
        return tuple(staged)

    def abort(self) -> None:
        """Remove whatever was written."""
        for part in self._parts:
            part.drop()
        self._parts, self._waiting = [], None

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
            raise _no_room(self._sink.folder, error) from error

    def _part_for(self, schema: pa.Schema, uris: list[str], *, sole: bool) -> _Part:
        last = self._parts[-1] if self._parts else None
        if last is not None:
            same_owner = last.sole == sole and (not sole or uris[0] in last.uris)
            fits = last.schema == schema and last.stored() < self._sink.part_bytes
            if same_owner and fits and not last.closed:
                return last
            last.finish()
        folder = Path(self._sink.folder)
        name = f"part-{self._number:06d}"
        self._parts.append(_Part(folder / name, _temporary(folder / name), schema, sole))
        return self._parts[-1]

    @staticmethod
    def _without(uri: str, part: _Part) -> _Part | None:
        if uri not in part.uris:
            return part
        if len(part.uris) == 1:
            part.drop()
            return None
        return _rewritten(part, uri)

    def _shape(self, piece: Piece) -> pa.Table:
        """Return the piece's rows with the declared columns and the file each came from."""
        import pyarrow as pa

        if self._sink.columns:
            wanted = {column.name: arrow_type(column.type) for column in self._sink.columns}
        else:
            wanted = self._types = _agreed(self._types, piece.table.schema)
        arrays = [_cast(piece.table, name, type_) for name, type_ in wanted.items()]
        fields = [pa.field(name, type_) for name, type_ in wanted.items()]
        uris = strings([file.uri for file in piece.files])
        indices = from_numpy(piece.file_of)
        arrays.append(pa.chunked_array([pa.DictionaryArray.from_arrays(indices, uris)]))
        fields.append(pa.field(FILE_COLUMN, arrays[-1].type, nullable=False))
        return pa.table(arrays, schema=pa.schema(fields))


def columns_of(parts: Sequence[StagedPart]) -> tuple[Column, ...]:
    """Return the columns the parts hold, all together; none for no parts.

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
        types = _agreed(types, schema.remove(schema.get_field_index(FILE_COLUMN)))
    return tuple(Column(name, from_arrow(name, type_)) for name, type_ in types.items())


def _agreed(known: dict[str, pa.DataType], schema: pa.Schema) -> dict[str, pa.DataType]:
    """Return the Arrow types that both what is known and this schema agree on."""
    import pyarrow as pa

    found = {field.name: _storable(field.name, field.type) for field in schema}
    if not known:
        check_columns([Column(name, from_arrow(name, type_)) for name, type_ in found.items()])
        return found
    for name in (*known, *found):
        if (name in known) != (name in found):
            raise DataError(
                f"column {name!r} is in some cleaned rows and missing in others",
                hint="let the cleaning commands always give the same columns",
            )
    for name, type_ in found.items():
        if pa.null() not in {type_, known[name]} and type_ != known[name]:
            raise DataError(
                f"column {name!r} is {known[name]} in some cleaned rows and {type_} in others",
                hint="let the last cleaning command cast it to one type",
            )
    return {name: found[name] if type_ == pa.null() else type_ for name, type_ in known.items()}


def _storable(name: str, arrow: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    return arrow if arrow == pa.null() else arrow_type(from_arrow(name, arrow))


def _present(piece: Piece) -> list[str]:
    """Return the uris that have rows in the piece, in its order of files."""
    import numpy as np

    return [piece.files[index].uri for index in np.unique(piece.file_of)]


def _cast(table: pa.Table, name: str, wanted: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa

    if table.column_names.count(name) != 1:
        raise DataError(
            f"column {name!r} is {'twice' if name in table.column_names else 'not'} in the cleaned "
            "rows",
            hint="let the cleaning commands give every declared column once",
        )
    column = table[name]
    if column.type == wanted:
        return column
    try:
        return column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"column {name!r} cannot become {wanted}: {error}",
            hint="let the last cleaning command cast it, or declare another type",
        ) from error


def _parquet(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, schema, compression="zstd")


def _rewritten(part: _Part, uri: str) -> _Part:
    """Return a finished copy of a shared part without one file's rows."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    part.finish()
    copy = _Part(part.path, _temporary(part.path), part.schema, part.sole)
    with pq.ParquetFile(part.temporary) as source:
        for group in range(source.num_row_groups):
            table = source.read_row_group(group)
            others = pc.not_equal(table[FILE_COLUMN].cast(pa.string()), uri)
            copy.add(table.filter(others).cast(part.schema), ())
    copy.uris = {other: None for other in part.uris if other != uri}
    copy.finish()
    part.temporary.unlink()
    return copy


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}-{os.getpid()}-{uuid.uuid4().hex}.tmp")


def _no_room(folder: str, error: OSError) -> EssError:
    return EssError(
        f"cannot write staged rows under {folder}: {error.strerror or error}",
        hint="make room there, or set another work folder; nothing was loaded",
    )
