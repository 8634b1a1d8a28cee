"""``-ord``: the rows of each key, or the keys themselves, in another order for good.

Places are exchanged, never made: sorted rows take the places that the rows of their key had, so
that keys stay where they are and what is imported later comes behind.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ess_dask.aq.kinds import Kind
from ess_dask.dataclass import dataclass
from ess_dask.tables.layout import ORDER
from ess_dask.udb.memory import Memory
from ess_dask.udb.specs import Entity, Field
from ess_dask.udb.texts import rule_column

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

FRONT = -(1 << 62)
"""Sorted keys get places from here on: before all that an import ever gave."""


@dataclass(frozen=True, slots=True)
class Ordering:
    """How columns are compared; descending is the ascending order reversed, ties included."""

    ncas: bool = False
    descending: bool = False


def order_rows(
    memory: Memory, entity: Entity, fields: tuple[Field, ...], ordering: Ordering
) -> None:
    """Sort the rows of each key of a table."""
    table = memory.open(entity)
    if table is not None:
        table.close()
        key = tuple(field.name for field in entity.key)
        memory.rewrite(entity, partial(_ordered, key=key, fields=fields, ordering=ordering))


def _ordered(
    partition: pa.Table, key: tuple[str, ...], fields: tuple[Field, ...], ordering: Ordering
) -> pa.Table:
    import polars as pl

    if not partition.num_rows:
        return partition
    columns = {f"k{at}": pl.Series(pl.from_arrow(partition[name])) for at, name in enumerate(key)}
    order = pl.Series(ORDER, partition[ORDER].to_numpy())
    frame = pl.DataFrame(columns | _sortable(partition, fields, ordering)).with_columns(order)
    frame = frame.with_row_index("row").with_columns(
        pl.col(ORDER).min().over(list(columns)).alias("first")
    )
    by = [f"by{at}" for at in range(len(fields))]
    # The rows of a key lie together in both orders, so the n-th of one is the n-th of the other.
    plain = frame.sort("first", ORDER)
    down = ordering.descending
    rows = frame.sort(
        "first", *by, ORDER, descending=[False, *([down] * len(by)), down], maintain_order=True
    )
    taken = partition.combine_chunks().take(rows["row"].to_arrow())
    place = taken.column_names.index(ORDER)
    return taken.set_column(place, taken.field(place), plain[ORDER].to_arrow())


def _sortable(
    table: pa.Table, fields: tuple[Field, ...], ordering: Ordering
) -> dict[str, pl.Series]:
    """Return columns as they are compared."""
    import polars as pl

    from ess_dask.aq.vector.texts import sort_key

    columns = {}
    for at, field in enumerate(fields):
        values = table[field.name]
        series = rule_column(values) if field.kind is Kind.S else pl.Series(pl.from_arrow(values))
        columns[f"by{at}"] = sort_key(series, field.kind.type, ncas=ordering.ncas)
    return columns


def order_keys(memory: Memory, fields: tuple[Field, ...], ordering: Ordering) -> int:
    """Sort the keys of a database; return how many there are."""
    import numpy as np
    import polars as pl
    import pyarrow as pa

    from ess_dask.tables.segment import SegmentWriter
    from ess_dask.udb.keysets import held_keys

    with memory.changing():
        keys = held_keys(memory)
        if not keys.num_rows:
            return 0
        frame = pl.DataFrame(_sortable(keys, fields, ordering)).with_columns(
            pl.Series(ORDER, keys[ORDER].to_numpy())
        )
        rows = frame.with_row_index("row").sort(*frame.columns)["row"]
        rows = rows.reverse() if ordering.descending else rows
        taken = keys.combine_chunks().take(rows.to_arrow()).drop_columns([ORDER])
        places = np.arange(FRONT, FRONT + keys.num_rows, dtype=np.int64)
        entity = memory.database.keys
        sink = memory.sink(entity)
        writer = SegmentWriter(sink.folder, memory.database.layout(entity))
        writer.add(taken.append_column(pa.field(ORDER, pa.int64()), pa.array(places)))
        memory.publish(entity, sink, [writer.close()], fresh=True)
        return int(keys.num_rows)
