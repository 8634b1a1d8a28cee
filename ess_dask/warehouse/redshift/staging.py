"""Staging for Redshift: parts of exactly the columns and types that COPY puts into a table.

A part has the plan's columns as Redshift stores them, then ``_ess_file``, with ``ordered`` the
number ``_ess_order`` and with ``direct`` the load's id as ``_ess_load``. COPY takes the columns of
Parquet by position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ess_dask.catalog.datastores import make_datastore
from ess_dask.dataclass import dataclass
from ess_dask.engine.model import Batch, Piece
from ess_dask.errors import ConfigError, DataError, UsageError
from ess_dask.records.arrays import from_numpy, strings
from ess_dask.records.rejects import quote_value
from ess_dask.records.spec import Column
from ess_dask.warehouse.redshift.limits import find_bad
from ess_dask.warehouse.redshift.measure import RedshiftMeasure
from ess_dask.warehouse.redshift.nested import as_texts, part_type
from ess_dask.warehouse.redshift.place import Format, S3Place
from ess_dask.warehouse.redshift.types import MAX_SCALE, NESTED
from ess_dask.warehouse.schema import FILE_COLUMN, LOAD_COLUMN, check_columns
from ess_dask.warehouse.staging import PART_BYTES, Layout, StagingWriter
from ess_dask.warehouse.staging_place import make_folder
from ess_dask.warehouse.staging_shape import cast_column, file_column

if TYPE_CHECKING:
    import pyarrow as pa

ORDER_COLUMN = "_ess_order"
"""Column of the parts of an upsert: a number (int64) that grows in file order within each file."""


@dataclass(frozen=True, slots=True)
class RedshiftSink:
    """Writes the rows of each batch as parts below ``prefix`` (``s3://bucket/stage/<load_id>``).

    ``folder`` is on the worker's disk, for parts that are not finished. ``text_digest`` adds
    the md5 of texts to the parts' digests. ``part_bytes`` is the size at which a new part is begun,
    as Parquet; a part of gzip CSV is about as large.
    """

    folder: str
    prefix: str
    load_id: str
    columns: tuple[Column, ...]
    ordered: bool = False
    direct: bool = False
    format: Format = "parquet"
    text_digest: bool = False
    codec: str = "zstd"
    part_bytes: int = PART_BYTES
    required: tuple[str, ...] = ()

    def open(self, batch: Batch) -> StagingWriter:
        """Begin a batch; makes the folder."""
        own = make_folder(self.folder)
        place = S3Place(make_datastore(self.prefix), self.format, self.load_id)
        measured = partial(RedshiftMeasure, self.columns, text=self.text_digest)
        layout = Layout(own, RedshiftShape(self), place, measured, self.part_bytes, self.codec)
        return StagingWriter(layout, batch.number)


class RedshiftShape:
    """The columns of a part for Redshift (``staging_shape.Shape``)."""

    def __init__(self, sink: RedshiftSink) -> None:
        _check(sink.columns)
        self._sink = sink
        self._types = {column.name: part_type(column.type) for column in sink.columns}
        self._nested = {c.name for c in sink.columns if c.type.name == NESTED}
        self._rows: dict[str, int] = {}

    def rows(self, piece: Piece) -> pa.Table:
        """Return the piece's rows.

        Raises ``DataError`` naming column, value, file and the row's number in it (from 1) for a
        value that has no place in the table.
        """
        import pyarrow as pa

        piece = replace(piece, table=self._flat(piece.table))
        start = max((self._rows.get(file.uri, 0) for file in piece.files), default=0)
        arrays = {name: self._column(piece, name) for name in self._types}
        self._refuse_unfit(piece, arrays)
        own = self._own(piece.table.num_rows, start)
        self._rows.update({file.uri: start + piece.table.num_rows for file in piece.files})
        return pa.table([*arrays.values(), file_column(piece), *own], schema=self.schema)

    @property
    def schema(self) -> pa.Schema:
        """The columns of a part."""
        import pyarrow as pa

        name = pa.dictionary(pa.int32(), pa.string())
        own = {FILE_COLUMN: name}
        if self._sink.ordered:
            own[ORDER_COLUMN] = pa.int64()
        if self._sink.direct:
            own[LOAD_COLUMN] = name
        fields = [pa.field(name, type_) for name, type_ in self._types.items()]
        return pa.schema([*fields, *(pa.field(*pair, nullable=False) for pair in own.items())])

    def forget(self, uri: str) -> None:
        """Number the file's rows from the start again."""
        self._rows.pop(uri, None)

    def _flat(self, table: pa.Table) -> pa.Table:
        """Return the table with the values of nested columns as texts."""
        for column in self._sink.columns:
            if column.type.name == NESTED and table.column_names.count(column.name) == 1:
                place = table.column_names.index(column.name)
                table = table.set_column(place, column.name, as_texts(table[column.name]))
        return table

    def _own(self, rows: int, start: int) -> list[pa.Array]:
        import numpy as np
        import pyarrow as pa

        own = []
        if self._sink.ordered:
            own.append(from_numpy(np.arange(start, start + rows, dtype=np.int64)))
        if self._sink.direct:
            same = from_numpy(np.zeros(rows, np.int32))
            own.append(pa.DictionaryArray.from_arrays(same, strings([self._sink.load_id])))
        return own

    def _column(self, piece: Piece, name: str) -> pa.ChunkedArray:
        wanted = self._types[name]
        try:
            return cast_column(piece.table, name, wanted)
        except DataError as error:
            row = _first_misfit(piece.table, name, wanted)
            if row is None:
                raise
            value = quote_value(str(piece.table[name][row]))
            raise DataError(
                f"{self._where(piece, row)}: column {name!r}: {value} cannot become {wanted}",
                hint=error.hint,
            ) from None

    def _refuse_unfit(self, piece: Piece, arrays: dict[str, pa.ChunkedArray]) -> None:
        bad = find_bad(arrays, self._sink.required, self._nested)
        if len(bad.rows):
            column = f"column {bad.columns[0]!r}: " if bad.columns[0] else ""
            more = f" (and {len(bad.rows) - 1} more rows)" if len(bad.rows) > 1 else ""
            raise DataError(
                f"{self._where(piece, int(bad.rows[0]))}: {column}{bad.reasons[0]}{more}",
                hint="Redshift cannot hold this: let a cleaning command mend or drop such rows",
            )

    def _where(self, piece: Piece, row: int) -> str:
        owner = piece.file_of[row]
        before = int((piece.file_of[:row] == owner).sum())
        uri = piece.files[owner].uri
        return f"{uri}, row {self._rows.get(uri, 0) + before + 1}"


def _check(columns: Sequence[Column]) -> None:
    check_columns(columns)
    if not columns:
        raise UsageError("rows can be staged for Redshift only in columns that are known")
    for column in columns:
        if column.type.name == "decimal" and column.type.scale > MAX_SCALE:
            raise ConfigError(
                f"column {column.name!r}: Redshift has decimals of at most {MAX_SCALE} digits "
                f"after the point, not {column.type.scale}",
                hint="declare a smaller scale",
            )


def _first_misfit(table: pa.Table, name: str, wanted: pa.DataType) -> int | None:
    """Return the first row whose value alone cannot be cast; None when it is the column's fault."""
    from contextlib import suppress

    if table.column_names.count(name) != 1:
        return None
    first, rows = 0, table.num_rows
    while rows > 1:
        half = rows // 2
        with suppress(DataError):
            cast_column(table.slice(first, half).select([name]), name, wanted)
            first, rows = first + half, rows - half
            continue
        rows = half
    return first
