"""``-alt``: the variables' row under a new definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.tables.layout import ORDER
from ess_dask.udb.specs import Database, stored_type

if TYPE_CHECKING:
    import pyarrow as pa


def altered_row(database: Database, rows: pa.Table) -> pa.Table:
    """Return the row of the variables; those of before keep their values if their type stays."""
    import pyarrow as pa

    known = {name.lower(): rows[name] for name in rows.column_names}
    columns = {}
    for field in database.variables.fields:
        kind, old = stored_type(field.kind), known.get(field.name.lower())
        kept = old is not None and old.type == kind
        columns[field.name] = old if kept else pa.array([field.kind.blank], kind)
    return pa.table({**columns, ORDER: pa.array([0], pa.int64())})
