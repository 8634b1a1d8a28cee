"""The rejected rows that stand, as a table (``Warehouse.rejects``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

FIELDS = (
    "load_id", "table_name", "pipeline", "uri", "etag", "member", "line", "column_name", "reason",
    "raw", "title",
)  # fmt: skip
"""The columns: strings, ``line`` int64, ``raw`` binary."""


def rejects_table(rows: Sequence[Sequence[Any]] = ()) -> pa.Table:
    """Return rows of ``FIELDS`` as a table."""
    import pyarrow as pa

    other = {"line": pa.int64(), "raw": pa.binary()}
    schema = pa.schema([(name, other.get(name, pa.string())) for name in FIELDS])
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(FIELDS)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)
