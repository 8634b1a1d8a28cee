"""The shape of a staged part: which columns a piece of clean rows gets, in which Arrow types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ess_dask.engine.model import Piece
from ess_dask.errors import DataError
from ess_dask.records.arrays import from_numpy, strings
from ess_dask.records.spec import Column
from ess_dask.records.types import arrow_type
from ess_dask.warehouse.schema import FILE_COLUMN, check_columns, from_arrow

if TYPE_CHECKING:
    import pyarrow as pa


class Shape(Protocol):
    """Brings the pieces of one batch, in order, to the columns of a part."""

    def rows(self, piece: Piece) -> pa.Table:
        """Return the piece's rows, ``_ess_file`` among the columns.

        Raises ``DataError`` naming a column that does not fit.
        """

    def forget(self, uri: str) -> None:
        """The rows of this file so far count no more; it may come again."""


class PlainShape:
    """The declared columns and the file each row came from.

    Without ``columns`` they are those of the first piece, which all others must have too.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        check_columns(columns)
        self._declared = {column.name: arrow_type(column.type) for column in columns}
        self._agreed: dict[str, pa.DataType] = {}

    def rows(self, piece: Piece) -> pa.Table:
        """See ``Shape.rows``."""
        import pyarrow as pa

        wanted = self._declared
        if not wanted:
            wanted = self._agreed = agreed(self._agreed, piece.table.schema)
        arrays = [cast_column(piece.table, name, type_) for name, type_ in wanted.items()]
        fields = [pa.field(name, type_) for name, type_ in wanted.items()]
        arrays.append(file_column(piece))
        fields.append(pa.field(FILE_COLUMN, arrays[-1].type, nullable=False))
        return pa.table(arrays, schema=pa.schema(fields))

    def forget(self, uri: str) -> None:
        """Nothing is remembered of a file."""


def file_column(piece: Piece) -> pa.ChunkedArray:
    """Return the uri of the file each row came from, as a dictionary."""
    import pyarrow as pa

    uris = strings([file.uri for file in piece.files])
    return pa.chunked_array([pa.DictionaryArray.from_arrays(from_numpy(piece.file_of), uris)])


def cast_column(table: pa.Table, name: str, wanted: pa.DataType) -> pa.ChunkedArray:
    """Return a column in the wanted type, each value exactly; raise ``DataError`` naming it."""
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


def agreed(known: dict[str, pa.DataType], schema: pa.Schema) -> dict[str, pa.DataType]:
    """Return the Arrow types that both what is known and this schema agree on.

    Raises ``DataError`` naming the column where they do not.
    """
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
