"""Small tables that go along with a load: the rejected rows, and the names of those read again."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.catalog.datastores import make_datastore
from ess_dask.dataclass import dataclass
from ess_dask.warehouse.model import StagedPart
from ess_dask.warehouse.redshift.place import FileForm, S3Place

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 100_000
"""Rows that are held in memory at once."""


@dataclass(frozen=True, slots=True)
class Side:
    """A small table: its name under the load's prefix, its columns with their SQL types."""

    name: str
    columns: tuple[tuple[str, str], ...]


def stage_side(
    side: Side, paths: Sequence[str], prefix: str, form: FileForm, load_id: str
) -> StagedPart:
    """Put the rows of local Parquet files under the prefix as one part, as the columns hold them.

    What is longer than its column is cut, and a NUL is written ``\\0``: texts of Redshift cannot
    hold one. The run's own folder keeps both as they were.
    """
    import pyarrow.parquet as pq

    place, rows = S3Place(make_datastore(prefix), form.format, load_id), 0
    with tempfile.TemporaryDirectory(prefix="ess-") as folder:
        local = Path(folder) / side.name
        with pq.ParquetWriter(local, _schema(side), compression=form.codec) as writer:
            for some in _pieces(side, paths):
                writer.write_table(some)
                rows += some.num_rows
        ((url, size),) = place.publish([(local, side.name)])
    return StagedPart(url, rows, size, ())


def _pieces(side: Side, paths: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the rows as they are written, some at a time: there may be millions."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS):
                table = pa.Table.from_batches([batch])
                fitted = [_fitted(table, *column) for column in side.columns]
                yield pa.table(fitted, schema=_schema(side))


def _schema(side: Side) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, _kind(sql)) for name, sql in side.columns])


def _kind(sql: str) -> pa.DataType:
    import pyarrow as pa

    plain = {"BIGINT": pa.int64(), "VARBYTE": pa.binary()}
    return plain.get(sql.partition("(")[0], pa.string())


def _fitted(table: pa.Table, name: str, sql: str) -> pa.ChunkedArray:
    """Return a column as its SQL type holds it; '' where the file has none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if name not in table.column_names:
        return pa.chunked_array([pa.array([""] * table.num_rows, pa.string())])
    values = table[name].cast(_kind(sql))
    limit = re.search(r"\((\d+)\)", sql)
    if limit is None:
        return values
    width = int(limit[1])
    if pa.types.is_binary(values.type):
        return pc.binary_slice(values, 0, width)
    texts = pc.replace_substring(values, "\0", "\\0")
    if (pc.max(pc.binary_length(texts)).as_py() or 0) <= width:
        return texts
    # A character has at most four bytes.
    cut = pc.utf8_slice_codeunits(texts, 0, width // 4)
    return pc.if_else(pc.greater(pc.binary_length(texts), width), cut, texts)
