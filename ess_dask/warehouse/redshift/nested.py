"""Nested values (lists, structs, maps) on their way into SUPER: staged as JSON text.

A Parquet column of texts becomes one JSON string each in a SUPER column, and nested Parquet needs
an option that CSV does not have: as text both formats go the same way, and ``json_parse`` makes the
value when the rows are inserted. A text is limited to 65,535 bytes, and so is a nested value here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.errors import DataError
from ess_dask.records.spec import DataType
from ess_dask.records.types import arrow_type
from ess_dask.warehouse.redshift.types import NESTED, stored

if TYPE_CHECKING:
    import pyarrow as pa


def part_type(type_: DataType) -> pa.DataType:
    """Return the Arrow type that a column has in a part."""
    import pyarrow as pa

    return pa.string() if type_.name == NESTED else arrow_type(stored(type_))


def as_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return nested values as JSON, the same text every time; other columns as they are.

    Raises ``DataError`` for what has no place in JSON: a map with a key twice.
    """
    import duckdb
    import pyarrow as pa
    import pyarrow.types as kinds

    if not kinds.is_nested(column.type):
        return column
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.register("given", pa.table({"value": column}))
        # Without a struct of its own around it a null would become the word null.
        query = "SELECT CASE WHEN value IS NOT NULL THEN to_json(value)::VARCHAR END FROM given"
        try:
            made = connection.sql(query).to_arrow_table().column(0)
        except duckdb.Error as error:
            raise DataError(f"nested values cannot become JSON: {error}") from None
    return made.cast(pa.string())
