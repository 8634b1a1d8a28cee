"""The worker's side: one partition of one version, from its segments into memory.

A partition's task depends on no other task, only on the paths of its segments: a lost one is
rebuilt in one step, however many imports made it. To add to a partition that this process still
holds, only the new segments are read; which way it came changes nothing in the result.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.tables.layout import ORDER, TableLayout
from ess_dask.tables.merge import arrange
from ess_dask.tables.segment import ORDINAL_SHIFT, Segment, SegmentWriter, read_partition

if TYPE_CHECKING:
    import pyarrow as pa

MAX_CHUNKS = 64
"""Pieces in which a partition may lie in memory; above it, it is copied into one."""

_held: weakref.WeakValueDictionary[str, pa.Table] = weakref.WeakValueDictionary()
"""Partitions that this process holds for somebody else (Dask), by recipe; nothing is kept alive."""

_held_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a partition is made: its segments, in order, each with its ordinal."""

    layout: TableLayout
    partition: int
    segments: tuple[tuple[int, str], ...]

    @property
    def key(self) -> str:
        """The Dask key: the same for the same recipe. Segment paths are never used again."""
        text = repr((self.partition, self.segments, self.layout.to_json()))
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return f"ess-table-{digest}"

    def after(self, previous: Recipe) -> Recipe | None:
        """Return what is to be added to ``previous``, or None when this does not continue it."""
        count = len(previous.segments)
        if not count or self.segments[:count] != previous.segments:
            return None
        return Recipe(self.layout, self.partition, self.segments[count:])


def load_partition(recipe: Recipe, previous: Recipe | None) -> pa.Table:
    """Return the partition's rows (``layout.stored_schema``), merged and sorted.

    ``previous`` is the recipe of the version before, used when its rows are still here. Raises
    ``ReadError`` naming a segment that cannot be read.
    """
    import pyarrow as pa

    layout = recipe.layout
    added = recipe.after(previous) if previous else None
    old = _find(previous.key) if previous and added else None
    if old is None:
        added, old = recipe, layout.stored_schema.empty_table()
    assert added is not None
    parts = [_read(path, ordinal, added) for ordinal, path in added.segments]
    # Without merges and sorting the old rows stay where they are: no copy.
    table = arrange(pa.concat_tables([old, *parts]), layout)
    if table.num_columns and table.column(0).num_chunks > MAX_CHUNKS:
        table = table.combine_chunks()
    with _held_lock:
        _held[recipe.key] = table
    return table


def write_partition(
    function: Callable[..., pa.Table], table: pa.Table, folder: str, recipe: Recipe, *beside: Any
) -> Segment | None:
    """Apply ``function`` to a partition and what is beside it; write what it returns as a segment.

    None for no rows. What it returns must have the stored schema and the partition's own keys.
    """
    changed = function(table, *beside).cast(recipe.layout.stored_schema)
    if changed.num_rows == 0:
        return None
    writer = SegmentWriter(folder, recipe.layout)
    try:
        writer.add(changed)
        return writer.close()
    except BaseException:
        writer.abort()
        raise


def _read(path: str, ordinal: int, recipe: Recipe) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    table = read_partition(path, recipe.partition, recipe.layout)
    if not recipe.layout.ordered:
        return table
    place = table.column_names.index(ORDER)
    base = pa.scalar(ordinal << ORDINAL_SHIFT, pa.int64())
    return table.set_column(place, table.field(place), pc.add(table[ORDER], base))


def _find(key: str) -> pa.Table | None:
    with _held_lock:
        return _held.get(key)
