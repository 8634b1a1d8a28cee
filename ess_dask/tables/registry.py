"""Which tables there are, their versions and the segments of each: SQLite, for one running cluster.

What a cluster holds in memory is lost when it stops, so a registry belongs to one instance of it
and is left behind with it, unless the tables are kept (``keeping``). A version is the segments that
lie in it: ``first <= version < last``. Nothing of a version is visible before the transaction that
makes it the current one.

Readers and imports hold locks on files: all who use the tables of a cluster are on one machine.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError, LockedError
from ess_dask.tables.layout import TableLayout
from ess_dask.tables.places import place_of
from ess_dask.tables.segment import ORDINAL_SHIFT, Segment, remove_segments

_TABLES = """
create table if not exists tables (
    id text primary key, workspace text not null, database text not null, name text not null,
    layout text not null, version integer not null, unique (workspace, database, name));
create table if not exists segments (
    table_id text not null, ordinal integer not null, path text not null, rows text not null,
    bytes integer not null, first integer not null, last integer, primary key (table_id, path));
create table if not exists sources (
    table_id text not null, path text not null, place integer not null, uri text not null,
    etag text not null);
create index if not exists sources_table on sources (table_id, path);
create index if not exists sources_path on sources (path);
create table if not exists ordinals (
    workspace text not null, database text not null, next integer not null,
    primary key (workspace, database));
create table if not exists roots (path text primary key);
create table if not exists closed (since real not null);
"""


class DamagedListError(EssError):
    """The list of tables is no database any more."""


@dataclass(frozen=True, slots=True)
class TableName:
    """A table's full name. ``workspace`` is the working folder; compared without case otherwise."""

    workspace: str
    database: str
    table: str

    def __str__(self) -> str:
        return f"{self.database}.{self.table}"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a table: its segments in the order of import, each with its ordinal.

    ``number`` is 0 for a table that was made and never imported to.
    """

    table_id: str
    number: int
    layout: TableLayout
    segments: tuple[tuple[int, Segment], ...] = ()

    @property
    def label(self) -> str:
        """A name of this version that no other has."""
        return f"{self.table_id}-{self.number}"


class Registry:
    """The tables of one cluster instance, in ``folder`` (shared by the processes of its user).

    ``root`` is where new segments are put: a folder or ``s3://bucket/prefix`` of this instance
    alone; '' is a folder in ``folder``.
    """

    def __init__(self, folder: Path, root: str = "") -> None:
        self.folder = folder
        self.root = root or str(folder / "segments")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("pins", "segments"):
            (folder / name).mkdir(exist_ok=True, mode=0o700)
        self._path = folder / "tables.sqlite"
        self._imports: dict[str, int] = {}
        with self._transaction() as db:
            for statement in _TABLES.split(";"):
                db.execute(statement)
            db.execute("insert or ignore into roots values (?)", (self.root,))
        self._path.chmod(0o600)

    def names(self) -> tuple[TableName, ...]:
        """Return all tables, sorted."""
        with self._transaction() as db:
            rows = db.execute("select workspace, database, name from tables order by 1, 2, 3")
            return tuple(TableName(*row) for row in rows)

    def current(self, name: TableName) -> Version | None:
        """Return the current version, or None when there is no such table."""
        with self._transaction() as db:
            row = db.execute(
                "select id, version, layout from tables"
                " where workspace = ? and database = ? and name = ?",
                _key(name),
            ).fetchone()
            if row is None:
                return None
            segments = _segments(db, row[0], row[1])
            return Version(row[0], row[1], TableLayout.from_json(row[2]), segments)

    def create(self, name: TableName, layout: TableLayout) -> Version:
        """Return the table, made without rows if it is missing (whatever its layout otherwise)."""
        version = self.current(name)
        if version is not None:
            return version
        with self._changing() as db:
            db.execute(
                "insert or ignore into tables values (?, ?, ?, ?, ?, 0)",
                (uuid.uuid4().hex, *_key(name), layout.to_json()),
            )
        version = self.current(name)
        assert version is not None
        return version

    def reserve(self, name: TableName, count: int) -> int:
        """Return the first of ``count`` ordinals that rise over all imports to the database."""
        workspace, database, _ = _key(name)
        with self._transaction() as db:
            db.execute("insert or ignore into ordinals values (?, ?, 1)", (workspace, database))
            row = db.execute(
                "update ordinals set next = next + ? where workspace = ? and database = ?"
                " returning next",
                (count, workspace, database),
            ).fetchone()
        if row[0] >= 1 << (63 - ORDINAL_SHIFT):
            raise EssError(f"database {database} has had too many imports", hint="ess udbd restart")
        return int(row[0]) - count

    def commit(self, base: Version, new: Version) -> None:
        """Make ``new`` the table's current version in place of ``base``: one transaction.

        Raises ``EssError`` when the table was changed or dropped since ``base``; the caller holds
        ``writing``, so only a drop can be the reason.
        """
        old = {segment.path for _, segment in base.segments}
        kept = {segment.path for _, segment in new.segments}
        with self._changing() as db:
            changed = db.execute(
                "update tables set version = ? where id = ? and version = ?",
                (new.number, base.table_id, base.number),
            )
            if changed.rowcount != 1:
                raise EssError("the table was dropped while it was being changed")
            for path in sorted(old - kept):
                db.execute(
                    "update segments set last = ? where table_id = ? and path = ?",
                    (new.number, base.table_id, path),
                )
            for ordinal, segment in new.segments:
                if segment.path not in old:
                    _insert(db, new, ordinal, segment)

    def drop(self, name: TableName) -> str:
        """Remove a table and its segments; return its id, or '' when there was none."""
        with self._changing() as db:
            row = db.execute(
                "delete from tables where workspace = ? and database = ? and name = ? returning id",
                _key(name),
            ).fetchone()
        return str(row[0]) if row else ""

    def sweep(self) -> None:
        """Delete the segments that no version, no reader and no living import needs any more.

        Not while the registry is closed: what was saved must stay.
        """
        with self._transaction() as db:
            if _closed_since(db):
                return
            dead = db.execute(
                "select table_id, path, version from segments left join tables on id = table_id"
                " where version is null or last <= version"
            ).fetchall()
            read = {(table, now) for table, _, now in dead if self._is_read(table, now)}
            paths = [path for table, path, now in dead if (table, now) not in read]
            db.executemany("delete from segments where path = ?", [(path,) for path in paths])
            db.executemany("delete from sources where path = ?", [(path,) for path in paths])
            needed = {Path(path).parent.name for (path,) in db.execute("select path from segments")}
            abandoned = [
                f"{self.root}/{pin.name}"
                for pin in (self.folder / "pins").iterdir()
                if "-" not in pin.name and pin.name not in needed and not _is_held(pin)
            ]
        remove_segments(paths)
        for folder in abandoned:
            place_of(folder).remove_folder(folder)

    def segment_folder(self) -> str:
        """Return a new folder for the segments of one import; ours until ``end_import``.

        What is in it when we die is swept, unless a table has it by then.
        """
        label = uuid.uuid4().hex
        self._imports[label] = self._lock(label)
        return f"{self.root}/{label}"

    def end_import(self, folder: str, *, clean: bool = False) -> None:
        """Let a folder of ``segment_folder`` go: what no table has of it may be swept.

        ``clean``: there is nothing in it but what a table has.
        """
        label = folder.rpartition("/")[2]
        handle = self._imports.pop(label, None)
        if handle is not None:
            if clean:
                (self.folder / "pins" / label).unlink(missing_ok=True)
            os.close(handle)

    def roots(self) -> frozenset[str]:
        """Return every folder in which segments of these tables may lie."""
        with self._transaction() as db:
            return frozenset(path for (path,) in db.execute("select path from roots"))

    def ordinals(self) -> list[tuple[str, str, int]]:
        """Return (workspace, database, next ordinal) of every database that had an import."""
        with self._transaction() as db:
            return [tuple(row) for row in db.execute("select * from ordinals order by 1, 2")]

    def close_tables(self) -> None:
        """Refuse changes from now on, and delete no segment: the tables are being saved."""
        with self._transaction() as db:
            if not _closed_since(db):
                db.execute("insert into closed values (?)", (time.time(),))

    def is_closed(self) -> bool:
        """Whether changes are refused: see ``close_tables``."""
        with self._transaction() as db:
            return bool(_closed_since(db))

    def reopen_tables(self) -> None:
        """Allow changes again."""
        with self._transaction() as db:
            db.execute("delete from closed")

    def save_as(self, path: Path) -> None:
        """Write a copy of the whole list, as it is now, to a new file."""
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as db:
            db.execute("vacuum into ?", (str(path),))
        path.chmod(0o600)

    def adopt(self, kept: Registry, tables: Sequence[tuple[TableName, Version]]) -> None:
        """Take tables of another instance's registry over, all in one transaction."""
        ordinals, roots = kept.ordinals(), kept.roots()
        with self._changing() as db:
            for name, version in tables:
                row = (version.table_id, *_key(name), version.layout.to_json(), version.number)
                db.execute("insert into tables values (?, ?, ?, ?, ?, ?)", row)
                for ordinal, segment in version.segments:
                    _insert(db, version, ordinal, segment)
            db.executemany(
                "insert into ordinals values (?, ?, ?) on conflict do update"
                " set next = max(next, excluded.next)",
                ordinals,
            )
            db.executemany("insert or ignore into roots values (?)", [(root,) for root in roots])

    def pin(self, version: Version) -> int:
        """Keep a version's segments; return the file descriptor whose closing lets them go."""
        return self._lock(version.label)

    @contextmanager
    def writing(self, name: TableName) -> Iterator[None]:
        """Hold the right to change a table; waits for whoever has it. Freed when we die."""
        lock = uuid.uuid5(uuid.NAMESPACE_URL, "\0".join(_key(name))).hex
        handle = os.open(self.folder / f"{lock}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _lock(self, label: str) -> int:
        path = self.folder / "pins" / label
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_SH)
        return handle

    def _is_read(self, table_id: str, current: int | None) -> bool:
        return any(
            _is_held(path)
            for path in (self.folder / "pins").glob(f"{table_id}-*")
            if path.name != f"{table_id}-{current}"
        )

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._transaction() as db:
            if _closed_since(db):
                raise LockedError(
                    "the memory tables are saved, so that their cluster can stop: no change now",
                    hint="when it has stopped, start it and try again; to have it go on: "
                    "ess udbd start",
                )
            yield db

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as db:
                db.execute("begin immediate")
                with db:
                    yield db
        except sqlite3.Error as error:
            told = f"the list of memory tables {self._path} cannot be used: {error}"
            if isinstance(error, sqlite3.OperationalError):
                raise EssError(told) from None
            raise DamagedListError(
                told,
                hint="the tables are lost; begin anew: ess udbd restart, for machines "
                "ess cluster terminate",
            ) from None


def _is_held(pin: Path) -> bool:
    """Say whether a living process has the pin; one that nobody has is removed."""
    try:
        file = pin.open()
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        pin.unlink(missing_ok=True)
    return False


def _closed_since(db: sqlite3.Connection) -> float:
    """Return when the tables were closed (seconds since 1970), 0 when they are open."""
    row = db.execute("select max(since) from closed").fetchone()
    return float(row[0] or 0)


def _key(name: TableName) -> tuple[str, str, str]:
    return name.workspace, name.database.lower(), name.table.lower()


def _segments(
    db: sqlite3.Connection, table_id: str, version: int
) -> tuple[tuple[int, Segment], ...]:
    sources: dict[str, list[tuple[str, str]]] = {}
    for path, uri, etag in db.execute(
        "select path, uri, etag from sources where table_id = ? order by path, place", (table_id,)
    ):
        sources.setdefault(path, []).append((uri, etag))
    rows = db.execute(
        "select ordinal, path, rows, bytes from segments where table_id = ? and first <= ?"
        " and (last is null or last > ?) order by ordinal, path",
        (table_id, version, version),
    )
    return tuple(
        (ordinal, Segment(path, _counts(counts), size, tuple(sources.get(path, ()))))
        for ordinal, path, counts, size in rows
    )


def _insert(db: sqlite3.Connection, version: Version, ordinal: int, segment: Segment) -> None:
    rows = ",".join(map(str, segment.rows))
    db.execute(
        "insert into segments values (?, ?, ?, ?, ?, ?, null)",
        (version.table_id, ordinal, segment.path, rows, segment.bytes, version.number),
    )
    db.executemany(
        "insert into sources values (?, ?, ?, ?, ?)",
        [
            (version.table_id, segment.path, place, uri, etag)
            for place, (uri, etag) in enumerate(segment.sources)
        ],
    )


def _counts(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))
