"""A database in the local cluster's memory: its objects, opened, changed, published."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ess_dask.aq.errors import AqError, StoreError
from ess_dask.aq.surroundings import complain
from ess_dask.errors import ConflictError, EssError, TransientError, WorkerLostError
from ess_dask.folders import cache_dir, work_dir
from ess_dask.tables.registry import TableName
from ess_dask.tables.session import Session, open_session
from ess_dask.tables.spec import KEYS
from ess_dask.udb.specs import Database, Entity

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.tables.segment import Segment
    from ess_dask.tables.sink import SegmentSink
    from ess_dask.tables.table import MemoryTable

Change = Callable[..., "pa.Table"]


class ConnectError(AqError):
    """The cluster that holds the databases cannot be reached."""

    exit_code = 31


class LostError(AqError):
    """The cluster or its workers were lost while they worked on a request."""

    exit_code = 32


@contextmanager
def store_errors() -> Iterator[None]:
    """Give errors of the tables, and of their cluster, the exit codes of the aq programs."""
    from ess_dask.tables.table import worker_errors

    try:
        with worker_errors("the request"):
            yield
    except AqError:
        raise
    except ConflictError as error:
        raise StoreError(error.message, hint=error.hint) from None
    except (WorkerLostError, TransientError) as error:
        raise LostError(error.message, hint=error.hint) from None
    except EssError as error:
        raise StoreError(error.message, hint=error.hint) from None


def _say(text: str) -> None:
    complain(f"udb: {text}\n")


class Memory:
    """The objects of one database. Close it when done; what is in memory stays."""

    def __init__(self, database: Database) -> None:
        self.database = database
        try:
            self._session: Session = open_session(_say)
        except EssError as error:
            raise ConnectError(error.message, hint=error.hint) from None

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._session.close()

    @property
    def client(self) -> Any:
        """The Dask client."""
        return self._session.client

    def name(self, entity: Entity) -> TableName:
        """Return under which name an object lies in memory."""
        return TableName(str(work_dir()), self.database.name, entity.name)

    def is_defined(self) -> bool:
        """Whether the cluster has any object of this database."""
        here = (str(work_dir()), self.database.name.lower())
        names = self._session.store.names()
        return any((name.workspace, name.database.lower()) == here for name in names)

    def define(self) -> None:
        """Make every object known, without rows; ``StoreError`` if one is there otherwise."""
        with store_errors():
            for entity in self._entities():
                self._session.store.define(self.name(entity), self.database.layout(entity))

    def _entities(self) -> tuple[Entity, ...]:
        keys = (self.database.keys,) if self.database.spec.key else ()
        variables = (self.database.variables,) if self.database.spec.variables else ()
        return (*keys, *variables, *self.database.tables)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the right to change the database; whoever wants it next waits."""
        folder = cache_dir() / "databases"
        folder.mkdir(mode=0o700, exist_ok=True)
        label = f"{work_dir()}\0{self.database.name.lower()}"
        path = folder / f"{uuid.uuid5(uuid.NAMESPACE_URL, label).hex}.lock"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def open(self, entity: Entity) -> MemoryTable | None:
        """Return an object's current version; None if it never had a row."""
        store = self._session.store
        name = self.name(entity)
        if not _has(store.names(), name):
            return None
        with store_errors():
            table = store.open(name)
        if table.layout.to_json() != self.database.layout(entity).to_json():
            table.close()
            raise StoreError(
                f"{self.database.name}:{entity.name} is in memory with another definition",
                hint="define it as it was, or clear the database first: aq_udb -clr",
            )
        if not table.version.segments:
            table.close()
            return None
        return table

    def sink(self, entity: Entity) -> SegmentSink:
        """Return where the rows of an import go until ``publish``."""
        return self._session.store.sink(self.database.layout(entity))

    def discard(self, sink: SegmentSink) -> None:
        """Remove what an import wrote that failed."""
        self._session.store.discard(sink)

    def publish(
        self,
        entity: Entity,
        sink: SegmentSink,
        segments: Sequence[Segment],
        *,
        fresh: bool = False,
    ) -> None:
        """Make the rows of an import visible, or only them."""
        with store_errors():
            self._session.store.publish(self.name(entity), sink, segments, fresh=fresh).close()

    def next_place(self, entity: Entity) -> int:
        """Return the ``ORDER`` of a row that comes behind all that were imported so far."""
        from ess_dask.tables.segment import ORDINAL_SHIFT

        return self._session.store.registry.reserve(self.name(entity), 1) << ORDINAL_SHIFT

    def replace(
        self,
        entity: Entity,
        sink: SegmentSink,
        segment: Segment,
        base: tuple[tuple[int, Segment], ...],
    ) -> bool:
        """Make rows visible in place of those of ``base``; False if there are others by now."""
        with store_errors():
            table = self._session.store.replace(self.name(entity), sink, segment, base)
        if table is not None:
            table.close()
        return table is not None

    def rewrite(self, entity: Entity, change: Change, beside: Sequence[Sequence[Any]] = ()) -> None:
        """Replace the partitions of an object by what ``change`` makes of them."""
        with store_errors():
            self._session.store.define(self.name(entity), self.database.layout(entity))
            self._session.store.rewrite(self.name(entity), change, beside).close()

    def clear(self, entity: Entity) -> None:
        """Remove the rows of an object."""
        with store_errors():
            self._session.store.clear(self.name(entity))

    def alter_variables(self) -> None:
        """Give the variables in memory the columns of the definition, values of old ones kept."""
        from ess_dask.udb.altering import altered_row

        entity = self.database.variables
        with store_errors():
            store, name = self._session.store, self.name(entity)
            held = store.open(name) if _has(store.names(), name) else None
            if held is None:
                return
            with held:
                rows = held.to_arrow()
            store.drop(name)
        if entity.fields and rows.num_rows:
            self.rewrite(entity, take_beside, [[altered_row(self.database, rows)]])

    def forget(self) -> None:
        """Remove every object of the database."""
        with store_errors():
            self._session.store.drop_database(str(work_dir()), self.database.name)

    def keyed(self) -> dict[str, MemoryTable]:
        """Return all objects that hold keys and have rows, by name."""
        entities = [entity for entity in self._entities() if entity.role != "variables"]
        opened = {entity.name: self.open(entity) for entity in entities}
        return {name: table for name, table in opened.items() if table is not None}

    def remember_keys(self) -> None:
        """Write down every key with its place, so that it outlives its rows."""
        tables = self.keyed()
        others = [table for name, table in tables.items() if name != KEYS]
        if others:
            self.rewrite(self.database.keys, all_keys, [table.futures for table in others])


def _has(names: Iterable[TableName], wanted: TableName) -> bool:
    """Whether one of the names means the same; case does not count."""
    folded = (wanted.workspace, wanted.database.lower(), wanted.table.lower())
    return any((n.workspace, n.database.lower(), n.table.lower()) == folded for n in names)


def all_keys(keys: pa.Table, *others: pa.Table) -> pa.Table:
    """Return the keys of one partition of all objects, each with its first place."""
    import polars as pl
    import pyarrow as pa

    names = keys.column_names
    whole = pa.concat_tables([keys, *(other.select(names) for other in others)])
    frame = pl.DataFrame(pl.from_arrow(whole))
    first = frame.group_by(names[:-1], maintain_order=True).agg(pl.col(names[-1]).min())
    return first.select(names).to_arrow().cast(keys.schema)


def take_beside(_: pa.Table, beside: pa.Table) -> pa.Table:
    """Return the new rows in place of the old ones."""
    return beside
