"""A connection to the cluster and the tables it holds in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError
from ess_dask.folders import work_dir
from ess_dask.tables.registry import TableName
from ess_dask.tables.spec import KEYS

if TYPE_CHECKING:
    from distributed import Client

    from ess_dask.cluster.endpoint import Endpoint
    from ess_dask.tables.store import TableStore
    from ess_dask.tables.table import MemoryTable


@dataclass(frozen=True, slots=True)
class Session:
    """A client of the cluster and the store of its tables; close it when done."""

    client: Client
    store: TableStore
    endpoint: Endpoint

    def open(self, text: str) -> MemoryTable:
        """Return a table by its name ``database.table`` (``UsageError`` when there is none)."""
        return self.store.open(table_name(text))

    def names(self) -> tuple[TableName, ...]:
        """Return the names of this working folder's tables, sorted; what ``KEYS`` names is none."""
        here = str(work_dir())
        names = self.store.names()
        return tuple(each for each in names if each.workspace == here and each.table != KEYS)

    def close(self) -> None:
        """Disconnect; the cluster and its tables stay."""
        self.client.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def table_name(text: str) -> TableName:
    """Return the full name of ``database.table`` (or ``database:table``) in this working folder."""
    database, _, table = text.replace(":", ".", 1).partition(".")
    if not database or not table:
        raise UsageError(f"{text!r} is no table name", hint="write database.table")
    return TableName(str(work_dir()), database, table)


def open_session(say: Callable[[str], None], kind: str = "") -> Session:
    """Connect to the cluster of this kind ('': the one in force); see ``ensure_started``.

    Tables that were kept when it stopped are there again; see ``keeping.restore_tables``.
    """
    from ess_dask.cluster.machines import ensure_started

    return _session(ensure_started(say, kind), say)


def running_session(kind: str = "") -> Session | None:
    """Connect to the cluster of this kind ('': the one in force) if it runs; never starts it."""
    from ess_dask.cluster.machines import attach

    found = attach(kind)
    return None if found is None else _session(found, _silently)


def watching_session() -> Session | None:
    """Connect to the cluster in force if it runs, only to look: nothing is passed on, nothing
    restored."""
    from ess_dask.cluster.machines import attach

    found = attach("")
    return None if found is None else _connected(found)


def forget_table(database: str, table: str) -> None:
    """Drop a table of this working folder from memory, if the cluster runs and holds it."""
    session = running_session()
    if session is not None:
        with session:
            session.store.drop(TableName(str(work_dir()), database, table))


def forget_database(database: str) -> None:
    """Drop all tables of a database of this working folder from memory, if the cluster runs."""
    session = running_session()
    if session is not None:
        with session:
            session.store.drop_database(str(work_dir()), database)


def forget_everything() -> None:
    """Drop all tables of the running cluster, those of other working folders and kept ones too."""
    from ess_dask.tables.kept import forget_kept

    session = watching_session()
    if session is not None:
        with session:
            session.store.registry.reopen_tables()
            for name in session.store.names():
                session.store.drop(name)
            forget_kept(session.store.home)


def _silently(text: str) -> None:
    """Say nothing."""


def _session(endpoint: Endpoint, say: Callable[[str], None]) -> Session:
    from ess_dask.cluster.passing import pass_environment
    from ess_dask.credentials import keys_of_files
    from ess_dask.tables.keeping import restore_tables
    from ess_dask.tables.kept import may_be_kept

    session = _connected(endpoint)
    try:
        pass_environment(session.client, keys_of_files() if endpoint.remote else None)
        store = session.store
        if may_be_kept(store.home, store.registry.folder) or store.registry.is_closed():
            restore_tables(session, say)
    except BaseException:
        session.close()
        raise
    return session


def _connected(endpoint: Endpoint) -> Session:
    from ess_dask.cluster.machines import connect
    from ess_dask.settings import load_settings
    from ess_dask.tables.homes import home_of
    from ess_dask.tables.store import TableStore

    shared = load_settings().shared_tables if endpoint.remote else ""
    client = connect(endpoint)
    try:
        return Session(client, TableStore(client, home_of(endpoint, shared)), endpoint)
    except BaseException:
        client.close()
        raise
