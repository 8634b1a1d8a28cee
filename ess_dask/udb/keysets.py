"""The keys of a database: those of all its objects, each in the place where it came first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.tables.layout import ORDER
from ess_dask.udb.memory import Memory, all_keys

if TYPE_CHECKING:
    import pyarrow as pa


def held_keys(memory: Memory) -> pa.Table:
    """Return all keys, with their place in ``ORDER``, here."""
    import pyarrow as pa

    schema = memory.database.layout(memory.database.keys).stored_schema
    found = [schema.empty_table()]
    for table in memory.keyed().values():
        with table:
            found.extend(table.map(_keys_of, tuple(schema.names)))
    return all_keys(*found) if len(found) > 1 else pa.concat_tables(found)


def _keys_of(partition: pa.Table, names: tuple[str, ...]) -> pa.Table:
    assert names[-1] == ORDER
    empty = partition.select(names).slice(0, 0)
    return all_keys(empty, partition)
