"""The catalogue on disk: datastores, categories, their files, and clusters, in SQLite.

Several processes may use it at once. Listings go into a temporary table first, so that the shared
one is locked only for the difference.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Any

from ess_dask.catalog.coverage import Coverage, count_days, read_coverage
from ess_dask.catalog.damaged import is_damage, set_aside
from ess_dask.catalog.migrations import migrate
from ess_dask.catalog.model import Category, Datastore, FileRef, WarehouseCluster
from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError, EssError, LockedError
from ess_dask.folders import cache_dir

_BUSY_SECONDS = 30.0
_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Difference:
    """What a listing changed in the index: numbers of files."""

    new: int = 0
    changed: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class Indexed:
    """A category with its place in the index."""

    number: int
    label: str
    category: Category


@contextmanager
def open_catalog(path: Path | None = None) -> Iterator[Catalog]:
    """Open the catalogue; raises as ``open_state``."""
    with open_state(path) as connection:
        yield Catalog(connection)


@contextmanager
def open_state(path: Path | None = None) -> Iterator[sqlite3.Connection]:
    """Open the state (default ``catalog.db`` in ``cache_dir()``), made or migrated if needed.

    Every statement outside a ``begin`` is a transaction of its own. A damaged file is kept aside
    (``damaged.set_aside``) and a new one begun. Raises ``ConfigError`` for one that a newer release
    wrote or whose damage shows only now, ``LockedError`` when another process holds it too long,
    ``EssError`` naming the path when the disk fails.
    """
    path = path or cache_dir() / "catalog.db"
    with state_errors(path):
        try:
            connection = _open(path)
        except OSError as error:
            raise EssError(
                f"cannot use the catalogue {path}: {error.strerror}",
                hint="set ESS_CACHE_DIR to a folder you may write",
            ) from None
        # An error of the system in the block is not one of the catalogue.
        with closing(connection):
            yield connection


def _open(path: Path) -> sqlite3.Connection:
    # Made here, because SQLite would make it readable for others.
    path.touch(mode=0o600)
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        set_aside(path)
        path.touch(mode=0o600)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.execute("pragma foreign_keys = on")
        migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


class Catalog:
    """Reads and writes of the open catalogue; each method is one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def setting(self, name: str) -> str:
        """Return a remembered value, or ''."""
        row = self._row("select value from settings where name = ?", name)
        return str(row[0]) if row else ""

    def remember(self, name: str, value: str) -> None:
        """Remember a value under a name."""
        self._run("insert or replace into settings values (?, ?)", name, value)

    def datastores(self) -> list[Datastore]:
        """Return all datastores by label."""
        rows = self._run("select * from datastores order by label")
        return [Datastore(*row) for row in rows]

    def datastore(self, label: str) -> Datastore | None:
        """Return one datastore."""
        row = self._row("select * from datastores where label = ?", label)
        return Datastore(*row) if row else None

    def put_datastore(self, store: Datastore) -> None:
        """Add a datastore or change the one with the same label; its categories stay."""
        self._run(
            "insert into datastores values (?, ?, ?, ?, ?) on conflict (label) do update set"
            " root = excluded.root, region = excluded.region,"
            " credentials = excluded.credentials, endpoint = excluded.endpoint",
            *astuple(store),
        )

    def delete_datastore(self, label: str) -> bool:
        """Forget a datastore, its categories and their index; say whether it was known."""
        return self._run("delete from datastores where label = ?", label).rowcount > 0

    def categories(self, label: str) -> list[Indexed]:
        """Return a datastore's categories by name."""
        rows = self._run(
            "select id, label, definition from categories where label = ? order by name", label
        )
        return [_indexed(*row) for row in rows]

    def category(self, label: str, name: str) -> Indexed | None:
        """Return one category of a datastore."""
        row = self._row(
            "select id, label, definition from categories where label = ? and name = ?", label, name
        )
        return _indexed(*row) if row else None

    def put_category(self, label: str, category: Category) -> Indexed:
        """Add a category or change the one with the same name; return it with its number."""
        self._run(
            "insert into categories (label, name, definition) values (?, ?, ?)"
            " on conflict (label, name) do update set definition = excluded.definition",
            label,
            category.name,
            json.dumps(asdict(category)),
        )
        found = self.category(label, category.name)
        assert found is not None
        return found

    def delete_category(self, label: str, name: str) -> bool:
        """Forget a category and its index; say whether it was known."""
        statement = "delete from categories where label = ? and name = ?"
        return self._run(statement, label, name).rowcount > 0

    def clusters(self) -> list[WarehouseCluster]:
        """Return all registered clusters by label."""
        return [
            WarehouseCluster(*row) for row in self._run("select * from clusters order by label")
        ]

    def put_cluster(self, cluster: WarehouseCluster) -> None:
        """Register a cluster, or another one under the same label."""
        statement = "insert or replace into clusters values (?, ?, ?, ?, ?, ?, ?, ?)"
        self._run(statement, *astuple(cluster))

    def delete_cluster(self, label: str) -> bool:
        """Forget a cluster; say whether it was known."""
        return self._run("delete from clusters where label = ?", label).rowcount > 0

    def files(self, number: int) -> Iterator[FileRef]:
        """Yield the indexed files of a category, undated, in the order of their names' bytes."""
        rows = self._run("select uri, size, etag from files where category = ?", number)
        return (FileRef(os.fsdecode(uri), None, size, etag) for uri, size, etag in rows)

    def coverage(self, found: Indexed) -> Coverage:
        """Return how many files and bytes of a category lie on each day, as last listed."""
        return read_coverage(self._connection, found.number, found.category.dateregex)

    def refresh(
        self, number: int, listing: Iterable[FileRef], dateregex: str = "auto"
    ) -> Difference:
        """Make the index of a category equal to a listing; nothing changes if the listing fails.

        The listing is streamed: memory is bounded whatever its length. Days are counted as
        ``dateregex`` finds dates.
        """
        run = self._connection.execute
        run("drop table if exists temp.listed")
        run(
            "create temporary table listed"
            " (uri blob primary key, size integer, etag text) without rowid"
        )
        for rows in _chunks(listing):
            run("begin")
            self._connection.executemany("insert or replace into temp.listed values (?,?,?)", rows)
            run("commit")
        with self._transaction():
            count_days(self._connection, number, dateregex)
            difference = self._apply_difference(number)
        run("drop table temp.listed")
        return difference

    def _apply_difference(self, number: int) -> Difference:
        run = self._connection.execute
        deleted = run(
            "delete from files where category = ? and uri not in (select uri from temp.listed)",
            (number,),
        ).rowcount
        changed = run(
            "update files set size = listed.size, etag = listed.etag from temp.listed as listed"
            " where files.category = ? and files.uri = listed.uri"
            " and (files.size, files.etag) is not (listed.size, listed.etag)",
            (number,),
        ).rowcount
        new = run(
            "insert or ignore into files select ?, uri, size, etag from temp.listed",
            (number,),
        ).rowcount
        return Difference(new, changed, deleted)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("begin immediate")
        try:
            yield
            self._connection.execute("commit")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            raise

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    def _row(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._run(statement, *values).fetchone()
        return row


def _chunks(listing: Iterable[FileRef]) -> Iterator[list[tuple[bytes, int, str]]]:
    rows: list[tuple[bytes, int, str]] = []
    for file in listing:
        rows.append((os.fsencode(file.uri), file.size, file.etag))
        if len(rows) == _ROWS:
            yield rows
            rows = []
    yield rows


def _indexed(number: int, label: str, definition: str) -> Indexed:
    values = json.loads(definition)
    known = {f.name for f in fields(Category)}
    values = {name: value for name, value in values.items() if name in known}
    for name in ("patterns", "exclude"):
        values[name] = tuple(values[name])
    return Indexed(number, label, Category(**values))


@contextmanager
def state_errors(path: Path) -> Iterator[None]:
    """Raise what ``open_state`` raises for what SQLite says in the block."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise LockedError(
                f"{path} is held by another process for more than {_BUSY_SECONDS:.0f} s",
                hint="wait for the other command, then try again",
            ) from None
        raise EssError(
            f"cannot use the catalogue {path}: {error}",
            hint="check free space and permissions, or set ESS_CACHE_DIR to another folder",
        ) from None
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise ConfigError(
                f"{path}: {error}", hint="another command may have changed it; try again"
            ) from None
        set_aside(path)
        raise ConfigError(
            f"{path} was damaged ({error}), and is kept aside",
            hint="try again: a new one is begun",
        ) from None
