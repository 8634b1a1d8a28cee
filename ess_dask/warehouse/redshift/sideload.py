"""Small tables that go along with a load: the rejected rows, and the names of those read again."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.catalog.datastores import make_datastore
from ess_dask.warehouse.model import StagedPart
from ess_dask.warehouse.redshift.place import FileForm, S3Place

if TYPE_CHECKING:
    import pyarrow as pa


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
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [pq.read_table(path) for path in paths]
    table = pa.concat_tables(
        [pa.table([_fitted(each, *column) for column in side.columns],
                  names=[name for name, _ in side.columns]) for each in tables]
    )  # fmt: skip
    place = S3Place(make_datastore(prefix), form.format, load_id)
    with tempfile.TemporaryDirectory(prefix="ess-") as folder:
        local = Path(folder) / side.name
        pq.write_table(table, local, compression=form.codec)
        ((url, size),) = place.publish([(local, side.name)])
    return StagedPart(url, table.num_rows, size, ())


def _fitted(table: pa.Table, name: str, sql: str) -> pa.ChunkedArray:
    """Return a column as its SQL type holds it; '' where the file has none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if name not in table.column_names:
        return pa.chunked_array([pa.array([""] * table.num_rows, pa.string())])
    limit = re.search(r"\((\d+)\)", sql)
    if sql == "BIGINT" or limit is None:
        return table[name].cast(pa.int64())
    width = int(limit[1])
    if sql.startswith("VARBYTE"):
        return pc.binary_slice(table[name].cast(pa.binary()), 0, width)
    texts = pc.replace_substring(table[name].cast(pa.string()), "\0", "\\0")
    if (pc.max(pc.binary_length(texts)).as_py() or 0) <= width:
        return texts
    # A character has at most four bytes.
    cut = pc.utf8_slice_codeunits(texts, 0, width // 4)
    return pc.if_else(pc.greater(pc.binary_length(texts), width), cut, texts)
