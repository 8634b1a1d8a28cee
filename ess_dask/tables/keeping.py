"""Tables that outlive their cluster: saved as they are before it stops, held again after a start.

Segments never change, and say all that a version is made of. Saving therefore writes no row: it
closes the list of tables to changes and says that they are kept (``kept``). The first connection to
the next instance has the cluster read every version and then takes all of them over in one
transaction: the same tables, versions and rows, or none.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ess_dask._version import __version__
from ess_dask.errors import ConflictError, TransientError, UsageError
from ess_dask.locks import is_held
from ess_dask.tables.kept import (
    FORMAT,
    Kept,
    find_kept,
    forget_kept,
    is_stop_awaited,
    note_none_kept,
    write_kept,
)
from ess_dask.tables.registry import Registry, TableName, Version
from ess_dask.tables.spec import KEYS

if TYPE_CHECKING:
    from ess_dask.tables.homes import Home
    from ess_dask.tables.session import Session

WORKERS_SECONDS = 300.0
"""How long the tables wait for the first worker of a cluster that has just started."""

GATHER_SECONDS = 60.0
"""How long they wait for as many as there were."""

_ASLEEP = ("stopping", "stopped")


def save_tables(session: Session, say: Callable[[str], None]) -> tuple[TableName, ...]:
    """Keep all tables of the cluster, those of every working folder, over a stop that follows.

    Returns their names. Until the stop no table can be changed (``LockedError``); ``resume_tables``
    takes it back, and so does the next session, unless ``stop_expected``. Raises what the shared
    place does; nothing is kept then.
    """
    store = session.store
    store.registry.close_tables()
    try:
        names = store.registry.names()
        if not names:
            forget_kept(store.home)
            return ()
        kept = Kept(
            FORMAT,
            __version__,
            store.registry.folder.name,
            time.time(),
            tuple(map(str, names)),
            tuple(sorted(store.registry.roots())),
            len(session.client.scheduler_info(n_workers=-1)["workers"]),
        )
        write_kept(store.home, kept, store.registry)
    except BaseException:
        store.registry.reopen_tables()
        raise
    say(f"{_told(names)} kept; the next start of the cluster brings them back")
    return names


def resume_tables(session: Session) -> None:
    """Take ``save_tables`` back: the cluster runs on, and its tables may change again."""
    forget_kept(session.store.home)
    session.store.registry.reopen_tables()


def restore_tables(session: Session, say: Callable[[str], None]) -> tuple[TableName, ...]:
    """Hold the kept tables again; return their names, () when there are none.

    Raises ``ConfigError`` when another release saved them, ``ConflictError`` when the cluster has
    tables of the same names, ``ReadError`` and ``TransientError`` when their rows cannot be read:
    no table is there then, and they stay kept.
    """
    store = session.store
    with _alone(store.home):
        kept = find_kept(store.home)
        registry = store.registry
        if kept is None:
            if not is_stop_expected(store.home):
                registry.reopen_tables()  # whoever closed it was killed
            note_none_kept(registry.folder)
            return ()
        if kept.instance == registry.folder.name and registry.names():
            if not is_stop_expected(store.home):
                resume_tables(session)  # it never stopped
            return ()
        if set(kept.roots) <= registry.roots():
            forget_kept(store.home)  # taken over already, by somebody who was killed after it
            return ()
        names = _restore(session, kept)
        forget_kept(store.home)
    say(f"{_told(names)} in memory again, as they were when the cluster stopped")
    return names


@contextmanager
def stop_expected(home: Home) -> Iterator[None]:
    """Have saved tables stay as they are while the block, which stops the cluster, runs.

    Another command may come in the meantime. When we are killed, it ends of itself.
    """
    handle = os.open(home.folder / "stop.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with suppress(BlockingIOError):  # somebody else stops it, too
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def is_stop_expected(home: Home) -> bool:
    """Whether somebody stops the cluster at this moment, or has been asked to."""
    return is_held(home.folder / "stop.lock") or is_stop_awaited(home)


def _restore(session: Session, kept: Kept) -> tuple[TableName, ...]:
    store = session.store
    old = Registry(store.home.folder / kept.instance)
    tables = [(name, version) for name in old.names() if (version := old.current(name))]
    here = set(store.registry.names())
    twice = [str(name) for name, _ in tables if name in here]
    if twice:
        raise ConflictError(
            f"tables of the same names are in memory as are kept: {', '.join(twice[:5])}",
            hint="drop these, then start the cluster again; or give the kept ones up: "
            "ess udbd restart",
        )
    _wait_for_workers(session, kept)
    held: list[Version] = []
    try:
        for _, version in tables:
            if version.number:
                held.append(version)
                store.load(Version(version.table_id, 0, version.layout), version)
        store.registry.adopt(old, tables)
    except BaseException:
        store.unload(held)
        raise
    return tuple(name for name, _ in tables)


def _wait_for_workers(session: Session, kept: Kept) -> None:
    _check_some_may_come(session)
    try:
        session.client.wait_for_workers(1, timeout=WORKERS_SECONDS)
    except TimeoutError:
        raise TransientError(
            "memory tables are kept, but no worker has come to hold them "
            f"for {WORKERS_SECONDS:.0f} s",
            hint="see ess cluster status; a worker more: ess cluster create --add",
        ) from None
    if session.store.home.far:
        # Machines join one after the other; who comes first would have to hold everything.
        with suppress(TimeoutError):
            session.client.wait_for_workers(kept.workers, timeout=GATHER_SECONDS)


def _check_some_may_come(session: Session) -> None:
    """Raise ``UsageError`` when the cluster has no machine that a worker could come from.

    Only EC2 knows them all: elsewhere workers come when somebody starts them.
    """
    from ess_dask.cluster.choice import chosen
    from ess_dask.cluster.verbs import verb

    if chosen() != "ec2" or session.client.scheduler_info(n_workers=1)["workers"]:
        return
    machines = verb("status")()
    if not any(each.role == "worker" and each.state not in _ASLEEP for each in machines):
        raise UsageError(
            "memory tables are kept, but the cluster runs without any worker to hold them",
            hint="a worker more: ess cluster create --add; they stay kept until then",
        )


def _told(names: Sequence[TableName]) -> str:
    number = sum(name.table != KEYS for name in names)
    return "1 table is" if number == 1 else f"{number} tables are"


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    home.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(home.folder / "restore.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
