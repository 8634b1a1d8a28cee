"""Tables that outlive their cluster: saved as they are before it stops, held again after a start.

Segments never change, and say all that a version is made of. Saving therefore writes no row: it
closes the list of tables to changes, marks the instance as kept and, for a cluster on other
machines, puts a copy of the list beside the segments, for the case that this machine's is lost.
The first connection to the next instance has the cluster read every version and then takes all of
them over in one transaction: the same tables, versions and rows, or none.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask._version import __version__
from ess_dask.errors import ConfigError, ConflictError, EssError, TransientError, UsageError
from ess_dask.tables.places import place_of
from ess_dask.tables.registry import Registry, TableName, Version
from ess_dask.tables.spec import KEYS

if TYPE_CHECKING:
    from ess_dask.tables.homes import Home
    from ess_dask.tables.session import Session
    from ess_dask.tables.store import TableStore

FORMAT = 1
"""Changes with what a saved list of tables or a segment looks like."""

WORKERS_SECONDS = 300.0
"""How long the tables wait for the first worker of a cluster that has just started."""

GATHER_SECONDS = 60.0
"""How long they wait for as many as there were."""

_ASLEEP = ("stopping", "stopped")

_MARK = "kept.json"
_LOOKED = "looked"


@dataclass(frozen=True, slots=True)
class Kept:
    """Saved tables: the instance that held them, the release that saved them, when (seconds since
    1970), their names, the folders in which their segments lie, and how many workers there were."""

    format: int
    version: str
    instance: str
    saved: float
    tables: tuple[str, ...]
    roots: tuple[str, ...]
    workers: int


def save_tables(session: Session, say: Callable[[str], None]) -> tuple[TableName, ...]:
    """Keep all tables of the cluster, those of every working folder, over a stop that follows.

    Returns their names. Until the stop no table can be changed (``LockedError``); ``resume_tables``
    takes it back. Raises what the shared place does; nothing is kept then.
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
        _write(store.home, kept, store.registry)
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
        kept = _find(store.home)
        if kept is None:
            (store.registry.folder / _LOOKED).touch()
            return ()
        registry = store.registry
        if kept.instance == registry.folder.name and registry.names():
            resume_tables(session)  # it never stopped
            return ()
        if set(kept.roots) <= registry.roots():
            forget_kept(store.home)  # taken over already, by somebody who was killed after it
            return ()
        names = _restore(session, kept)
        forget_kept(store.home)
    say(f"{_told(names)} in memory again, as they were when the cluster stopped")
    return names


def may_be_kept(store: TableStore) -> bool:
    """Whether ``restore_tables`` may find something: the shared place is asked once by it."""
    home, folder = store.home, store.registry.folder
    return (home.folder / _MARK).exists() or bool(home.shared and not (folder / _LOOKED).exists())


@contextmanager
def kept_over_stop(say: Callable[[str], None]) -> Iterator[None]:
    """Save the tables of the running cluster, and take it back when the block, the stop, fails."""
    from ess_dask.tables.session import running_session

    session = running_session()
    if session is None:
        yield
        return
    with session:
        save_tables(session, say)
    try:
        yield
    except BaseException:
        _resume_if_running()
        raise


def save_running(say: Callable[[str], None]) -> None:
    """Save the tables of the running cluster, which somebody else is to stop."""
    from ess_dask.tables.session import running_session

    session = running_session()
    if session is not None:
        with session:
            if save_tables(session, say):
                say("stop the cluster now; to go on without: ess udbd start")


def _resume_if_running() -> None:
    from ess_dask.tables.session import watching_session

    with suppress(EssError):
        session = watching_session()
        if session is not None:
            with session:
                resume_tables(session)


def bring_back(say: Callable[[str], None]) -> None:
    """Hold the kept tables again, if there are some and the cluster runs."""
    from ess_dask.cluster.machines import attach
    from ess_dask.settings import load_settings
    from ess_dask.tables.homes import home_of
    from ess_dask.tables.session import open_session

    endpoint = attach()
    if endpoint is not None:
        home = home_of(endpoint, load_settings().shared_tables)
        if home.shared or (home.folder / _MARK).exists():
            open_session(say).close()


def forget_kept(home: Home) -> None:
    """Give kept tables up. Their segments are removed with the leftovers of their instance."""
    if home.shared:
        place_of(home.shared).remove_folder(f"{home.shared}/kept")
    (home.folder / _MARK).unlink(missing_ok=True)


def give_up() -> None:
    """Do so for the cluster of this machine, whether it runs or not."""
    from ess_dask.folders import cache_dir

    (cache_dir() / "tables" / _MARK).unlink(missing_ok=True)


def kept_in(folder: Path) -> Kept | None:
    """Return what the mark in a home's folder says; None without one."""
    try:
        return _parsed((folder / _MARK).read_bytes())
    except FileNotFoundError:
        return None


def _parsed(text: bytes) -> Kept:
    try:
        found = json.loads(text)
        found |= {name: tuple(found[name]) for name in ("tables", "roots")}
        return Kept(**found)
    except (ValueError, TypeError, KeyError):
        raise EssError(
            "the mark of the kept memory tables cannot be read",
            hint="give them up: ess udbd restart",
        ) from None


def _write(home: Home, kept: Kept, registry: Registry) -> None:
    text = json.dumps(asdict(kept)).encode()
    if home.shared:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "tables.sqlite"
            registry.save_as(copy)
            _put(f"{home.shared}/kept/{kept.instance}.sqlite", copy.read_bytes())
        # Last: whoever finds it finds the list, too.
        _put(f"{home.shared}/kept/{_MARK}", text)
    _mark(home, text)


def _mark(home: Home, text: bytes) -> None:
    part = home.folder / f"{_MARK}.part"
    part.write_bytes(text)
    part.replace(home.folder / _MARK)


def _put(name: str, data: bytes) -> None:
    place = place_of(name)
    temporary = place.begin(name)
    temporary.write_bytes(data)
    place.put(temporary, name)


def _find(home: Home) -> Kept | None:
    """Return what is kept; fetch the list of tables where this machine has lost it."""
    kept = kept_in(home.folder)
    if kept is None and home.shared:
        text = place_of(home.shared).read(f"{home.shared}/kept/{_MARK}")
        if text is not None:
            kept = _parsed(text)
            # Before there is a folder of that instance, which would be swept without the mark.
            _mark(home, text)
    if kept is None:
        return None
    _check_release(kept)
    path = home.folder / kept.instance / "tables.sqlite"
    if not path.exists() and home.shared:
        name = f"{home.shared}/kept/{kept.instance}.sqlite"
        data = place_of(name).read(name)
        if data is None:
            raise EssError(
                f"the list of the kept memory tables is gone: {name}",
                hint="give them up: ess udbd restart",
            )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(data)
    return kept


def _told(names: Sequence[TableName]) -> str:
    number = sum(name.table != KEYS for name in names)
    return "1 table is" if number == 1 else f"{number} tables are"


def _check_release(kept: Kept) -> None:
    if (kept.format, kept.version) != (FORMAT, __version__):
        raise ConfigError(
            f"memory tables are kept that ess-dask {kept.version} saved, this is {__version__}",
            hint=f"start the cluster with ess-dask {kept.version}, or give them up: "
            "ess udbd restart",
        )


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


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    home.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(home.folder / "restore.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
