"""The tables held in one cluster's memory: import, open, change, clear, drop.

A version is published whole or not at all: its partitions are computed first and kept alive by the
scheduler, then one transaction of the registry makes it the current one. Who reads an older version
keeps it until done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask.cluster.lost import loss_told
from ess_dask.errors import ConflictError, LockedError, UsageError
from ess_dask.tables.homes import Home, instance_of
from ess_dask.tables.layout import TableLayout
from ess_dask.tables.load import Recipe, load_partition, write_partition
from ess_dask.tables.places import place_of
from ess_dask.tables.registry import Registry, TableName, Version
from ess_dask.tables.segment import Segment
from ess_dask.tables.sink import SegmentSink
from ess_dask.tables.table import MemoryTable, worker_errors

if TYPE_CHECKING:
    import pyarrow as pa
    from distributed import Client, Future

DATASET = "ess-table-"
"""Begins the name under which the scheduler keeps a version's partitions alive."""

RETRIES = 3
"""How often a partition's task is tried when it fails by an error (lost workers count apart)."""


class TableStore:
    """The tables of the cluster that ``client`` is connected to.

    ``home`` is where segments and the list of tables lie; a folder is one on a disk that this
    process and all workers share, private to the user. What earlier instances of the cluster left
    there is removed.
    """

    def __init__(self, client: Client, home: Path | Home) -> None:
        self._client = client
        self.home = home if isinstance(home, Home) else Home(home)
        self._registry = self.home.registry(instance_of(client))

    @property
    def registry(self) -> Registry:
        """The list of the tables."""
        return self._registry

    def names(self) -> tuple[TableName, ...]:
        """Return the names of all tables, sorted."""
        return self._registry.names()

    def sink(self, layout: TableLayout) -> SegmentSink:
        """Return a sink for one import; its segments go to ``publish`` or ``discard``.

        Raises ``ConfigError`` when there is no place that all workers reach.
        """
        self.home.check(self._client, self._registry.root)
        return SegmentSink(self._registry.segment_folder(), layout)

    def discard(self, sink: SegmentSink) -> None:
        """Remove what a failed or abandoned import wrote, unless it was published all the same."""
        self._registry.end_import(sink.folder)
        self._registry.sweep()

    def publish(
        self,
        name: TableName,
        sink: SegmentSink,
        segments: Sequence[Segment],
        *,
        fresh: bool = False,
        once: bool = False,
    ) -> MemoryTable:
        """Add an import's segments, in their order, as the table's next version; return it.

        The table is made when missing. ``fresh``: the new version holds nothing else. ``once``:
        segments of files that the table has by now are left out; ``LockedError`` when that is so of
        a part of a segment only. Raises ``ConflictError`` when the table has another layout,
        ``ReadError`` or ``WorkerLostError`` when the new version could not be made; the old one
        stays in each case.
        """
        with self._registry.writing(name):
            base = self._base(name, sink.layout)
            if once and not fresh:
                segments = _not_held(name, base, segments)
            first = self._registry.reserve(name, len(segments))
            added = tuple((first + place, segment) for place, segment in enumerate(segments))
            old = () if fresh else base.segments
            table = self._advance(name, base, (*old, *added))
        _remove_others(sink.folder, keep={segment.path for segment in segments})
        self._registry.end_import(sink.folder, clean=True)
        return table

    def replace(
        self,
        name: TableName,
        sink: SegmentSink,
        segment: Segment,
        base: tuple[tuple[int, Segment], ...],
    ) -> MemoryTable | None:
        """Put a segment in the place of a version's segments ``base``; return the next version.

        The segment has all rows that ``base`` had, in some form, and those of an import; its
        ``ORDER`` is absolute. None, and nothing has changed, when the table has others by now.
        Errors are those of ``publish``.
        """
        with self._registry.writing(name):
            current = self._base(name, sink.layout)
            if current.segments != base:
                return None
            sources = tuple(source for _, old in base for source in old.sources)
            whole = replace(segment, sources=sources)
            table = self._advance(name, current, ((0, whole),))
        self._registry.end_import(sink.folder, clean=True)
        return table

    def open(self, name: TableName) -> MemoryTable:
        """Return the current version of a table; ``UsageError`` when there is none."""
        while True:
            version = self._registry.current(name)
            if version is None:
                known = ", ".join(str(n) for n in self.names() if n.workspace == name.workspace)
                raise UsageError(
                    f"there is no table {name} in memory", hint=f"in memory are: {known or 'none'}"
                )
            pin = self._registry.pin(version)
            try:
                futures = self._partitions(version)
            except KeyError:
                pass  # published and replaced since we looked: look again
            else:
                # A version is let go after it has ceased to be the current one. It could be in the
                # moment before the scheduler hears that we want it: then nobody would tell us.
                self._unpublish_all([])
                if self._registry.current(name) == version:
                    return self._table(name, version, futures, pin)
            os.close(pin)

    def create(self, name: TableName, layout: TableLayout) -> MemoryTable:
        """Return the table, made if missing; ``ConflictError`` when it has another layout."""
        with self._registry.writing(name):
            self._base(name, layout)
        return self.open(name)

    def define(self, name: TableName, layout: TableLayout) -> None:
        """Make the table if it is missing; ``ConflictError`` when it has another layout."""
        with self._registry.writing(name):
            self._base(name, layout)

    def rewrite(
        self,
        name: TableName,
        function: Callable[..., pa.Table],
        beside: Sequence[Sequence[Any]] = (),
    ) -> MemoryTable:
        """Replace every partition by ``function(partition, ..)`` as one new version; return it.

        ``function`` runs on the workers, sees ``layout.stored_schema`` (with ``ORDER`` for ordered
        tables), returns the same columns, and may change or remove rows, or add some whose key is
        of this partition. ``beside`` are more values for each partition, such as those of another
        table: the futures with the partition's number are its further arguments. No import can come
        between.
        """
        self.home.check(self._client, self._registry.root)
        with self._registry.writing(name):
            table = self.open(name)
            base = table.version
            folder = self._registry.segment_folder()
            try:
                segments = self._write(table, function, folder, beside)
                # ORDER is absolute by now: ordinal 0 leaves it as it is.
                sources = tuple(s for _, segment in base.segments for s in segment.sources)
                if segments:
                    segments[0] = replace(segments[0], sources=sources)
                changed = self._advance(name, base, tuple((0, segment) for segment in segments))
            except BaseException:
                self._registry.end_import(folder)
                raise
            self._registry.end_import(folder, clean=True)
            table.close()
        return changed

    def clear(self, name: TableName) -> None:
        """Remove all rows of a table; the table stays. A table that is not there is no error."""
        with self._registry.writing(name):
            version = self._registry.current(name)
            if version is not None:
                self._advance(name, version, ()).close()

    def drop(self, name: TableName) -> bool:
        """Remove a table; return False when there was none. Readers keep what they have open."""
        with self._registry.writing(name):
            version = self._registry.current(name)
            if version is None:
                return False
            self._registry.drop(name)
            self._unpublish(version)
            self._registry.sweep()
        return True

    def drop_database(self, workspace: str, database: str) -> tuple[TableName, ...]:
        """Remove all tables of a database; return their names."""
        found = tuple(
            name
            for name in self.names()
            if (name.workspace, name.database) == (workspace, database.lower())
        )
        for name in found:
            self.drop(name)
        return found

    def _base(self, name: TableName, layout: TableLayout) -> Version:
        version = self._registry.create(name, layout)
        if version.layout.to_json() != layout.to_json():
            raise ConflictError(
                f"table {name} is in memory with other columns, key, order or partitions",
                hint="drop it first, or import into a table of another name",
            )
        return version

    def _advance(
        self, name: TableName, base: Version, segments: tuple[tuple[int, Segment], ...]
    ) -> MemoryTable:
        new = replace(base, number=base.number + 1, segments=segments)
        futures = self.load(base, new)
        pin = self._registry.pin(new)
        try:
            self._registry.commit(base, new)
        except BaseException:
            if self._registry.current(name) != new:  # else interrupted just behind the commit
                self._unpublish(new)
            os.close(pin)
            raise
        self._unpublish(base)
        self._registry.sweep()
        return self._table(name, new, futures, pin)

    def load(self, base: Version, new: Version) -> list[Future[pa.Table]]:
        """Have the cluster hold a version that is not current yet; return its partitions.

        ``base`` is the version that is held now.
        """
        futures = self._compute(base, new)
        # Published before it is current, so that it outlives us; override: an attempt that died
        # between the two steps may have left the same name.
        with loss_told(f"memory table {new.table_id}", self._client):
            self._client.publish_dataset(futures, name=DATASET + new.label, override=True)
        return futures

    def unload(self, versions: Sequence[Version]) -> None:
        """Let versions go that did not become current."""
        for version in versions:
            self._unpublish(version)

    def _compute(self, base: Version, new: Version) -> list[Future[pa.Table]]:
        from distributed import wait

        previous = _recipes(base)
        held = self._held(base)
        futures = []
        for old, recipe in zip(previous, _recipes(new), strict=True):
            future = held[recipe.partition] if held else None
            if future is None or recipe != old:
                # Nothing ties a task to a worker, not even loosely: if all workers died at once,
                # Dask would let it wait for ever for the one that is gone.
                future = self._client.submit(
                    load_partition, recipe, old, key=recipe.key, retries=RETRIES
                )
            futures.append(future)
        with worker_errors(f"memory table {new.table_id}"), self._client.as_current():
            pending = set(futures)
            while pending:
                # One that has failed is told at once: where workers die of it, the others would
                # take them along, too, one after the other.
                done, pending = wait(pending, return_when="FIRST_COMPLETED")
                for future in done:
                    if future.status != "finished":
                        future.result()
        return futures

    def _held(self, version: Version) -> list[Future[pa.Table]]:
        if version.number == 0:
            return []
        try:
            return self._partitions(version)
        except KeyError:
            return []

    def _partitions(self, version: Version) -> list[Future[pa.Table]]:
        if version.number == 0:
            return self._compute_empty(version)
        with loss_told(f"memory table {version.table_id}", self._client):
            found: list[Future[pa.Table]] = self._client.get_dataset(DATASET + version.label)
        return found

    def _compute_empty(self, version: Version) -> list[Future[pa.Table]]:
        return [
            self._client.submit(load_partition, recipe, None, key=recipe.key)
            for recipe in _recipes(version)
        ]

    def _write(
        self,
        table: MemoryTable,
        function: Callable[..., pa.Table],
        folder: str,
        beside: Sequence[Sequence[Any]],
    ) -> list[Segment]:
        futures = [
            self._client.submit(
                write_partition,
                function,
                future,
                folder,
                recipe,
                *(other[recipe.partition] for other in beside),
                pure=False,
                retries=RETRIES,
            )
            for future, recipe in zip(table.futures, _recipes(table.version), strict=True)
        ]
        with worker_errors(str(table.name)):
            written: list[Segment | None] = self._client.gather(futures)
        segments = [segment for segment in written if segment is not None]
        _remove_others(folder, keep={segment.path for segment in segments})
        return segments

    def _table(
        self, name: TableName, version: Version, futures: list[Future[pa.Table]], pin: int
    ) -> MemoryTable:
        return MemoryTable(name, version, tuple(futures), self._client, pin, far=self.home.far)

    def _unpublish(self, version: Version) -> None:
        self._unpublish_all([DATASET + version.label])

    def _unpublish_all(self, names: list[Any]) -> None:
        """Also with no names: when it returns, the scheduler has heard all that we said before."""
        with loss_told("memory tables", self._client):
            self._client.unpublish_dataset(names)


def _recipes(version: Version) -> list[Recipe]:
    layout = version.layout
    return [
        Recipe(
            layout,
            number,
            tuple((place, s.path) for place, s in version.segments if s.rows[number]),
        )
        for number in range(layout.partitions)
    ]


def _not_held(name: TableName, base: Version, segments: Sequence[Segment]) -> list[Segment]:
    """Return the segments whose files are not in the table yet."""
    held = {uri for _, segment in base.segments for uri, _ in segment.sources}
    new = [s for s in segments if not s.sources or any(uri not in held for uri, _ in s.sources)]
    twice = sum(uri in held for segment in new for uri, _ in segment.sources)
    if twice:
        raise LockedError(
            f"another import put {twice} of the same files into table {name} in the meantime",
            hint="run it again: what is missing is added",
        )
    return new


def _remove_others(folder: str, keep: set[str]) -> None:
    """Delete what is not in ``keep``: temporary files, and segments of attempts that were lost."""
    place = place_of(folder)
    if keep:
        place.remove([name for name in place.list(folder) if name not in keep])
    else:
        place.remove_folder(folder)
