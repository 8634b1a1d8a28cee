"""The databases of a working folder: ``create``, ``drop`` and ``use`` on its ``DB.spec`` files.

The files are the truth: they are read when an import or a query begins. Every change is one atomic
replacement of one file, under a lock of the folder, so commands may run side by side.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ess_dask.errors import ConfigError, UsageError
from ess_dask.folders import make_work_dir, work_dir
from ess_dask.tables.spec import (
    DatabaseSpec,
    Kind,
    TableSpec,
    check_name,
    check_unique,
    check_variables,
    parse_columns,
)
from ess_dask.tables.specfile import MAX_LINE, add_table, format_spec, parse_spec

FIRST_PORT = 10010
"""Databases get their ports from here upward; a port is only a name, nobody listens on it."""

_SUFFIX = ".spec"
_CURRENT = ".current_database"
_LOCK = ".databases.lock"
_SERVER_PORT = re.compile(r":(\d+)(?:\*\d+)?$")


def database_names() -> tuple[str, ...]:
    """Return the names of the working folder's databases, sorted."""
    return tuple(sorted(path.stem for path in work_dir().glob(f"*{_SUFFIX}")))


def database_exists(name: str) -> bool:
    """Whether the working folder has a database of that name."""
    return _path(check_name(name, "database")).exists()


def load_database(name: str) -> DatabaseSpec:
    """Return one database; ``UsageError`` when there is none, ``ConfigError`` for a bad file."""
    path = _path(name)
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        known = ", ".join(database_names()) or "none"
        raise UsageError(
            f"there is no database {name} in {work_dir()} (known: {known})",
            hint=f"create it here: ess create database {name}",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}:1:1: cannot be read: {error}") from None
    return parse_spec(name, text, str(path))


def current_database() -> str:
    """Return the name of the database that ``create`` and ``drop`` work on, or ''."""
    with suppress(FileNotFoundError):
        name = (work_dir() / _CURRENT).read_text("utf-8").strip()
        return name if name and _path(name).exists() else ""
    return ""


def create_database(name: str, ports: int = 1) -> DatabaseSpec:
    """Make a database with ``ports`` ports of its own, and make it the current one."""
    check_name(name, "database")
    if not 1 <= ports <= 4096:
        raise UsageError(f"{ports} is not a number of ports", hint="give --ports 1 to 4096")
    with _locked():
        if name.lower() in map(str.lower, database_names()):
            raise UsageError(
                f"there is already a database {name}",
                hint=f"go on with it (ess use {name}) or drop it (ess drop database {name})",
            )
        first = _free_ports(ports)
        servers = tuple(f"127.0.0.1:{port}" for port in range(first, first + ports))
        spec = DatabaseSpec(name, servers=servers)
        _write(spec)
        _replace(work_dir() / _CURRENT, name + "\n")
    return spec


def create_table(name: str, kind: Kind, columns: tuple[str, ...]) -> DatabaseSpec:
    """Add a table or vector to the current database.

    ``columns`` are ``TYPE[,attr..]:name`` texts, one or several to a string.
    """
    parsed = parse_columns(columns)
    if not parsed:
        raise UsageError(f"{kind} {name} has no columns", hint="give them as TYPE[,attr..]:name")
    return _change(lambda spec: add_table(spec, name, kind, parsed))


def create_variables(columns: tuple[str, ...]) -> DatabaseSpec:
    """Add variables to the current database."""
    parsed = parse_columns(columns)
    if not parsed:
        raise UsageError("no variable is given", hint="give them as TYPE:name")
    check_variables(parsed)

    def add(spec: DatabaseSpec) -> DatabaseSpec:
        check_unique((*spec.variables, *parsed))
        return replace(spec, variables=(*spec.variables, *parsed))

    return _change(add)


def drop_database(name: str) -> bool:
    """Forget a database; return False when there was none, which is no error."""
    check_name(name, "database")
    if not work_dir().is_dir():
        return False
    with _locked():
        path = _path(name)
        existed = path.exists()
        path.unlink(missing_ok=True)
        if current_database() == "":
            (work_dir() / _CURRENT).unlink(missing_ok=True)
    return existed


def drop_table(name: str, kind: Kind) -> DatabaseSpec:
    """Remove a table or vector from the current database; return the database without it."""

    def remove(spec: DatabaseSpec) -> DatabaseSpec:
        table = _find(spec, name, kind)
        tables = tuple(other for other in spec.tables if other is not table)
        return replace(spec, tables=tables, key=spec.key if tables else ())

    return _change(remove)


def drop_variables() -> DatabaseSpec:
    """Remove all variables of the current database."""
    return _change(lambda spec: replace(spec, variables=()))


def drop_all() -> tuple[str, ...]:
    """Forget every database of the working folder; return their names."""
    if not work_dir().is_dir():
        return ()
    with _locked():
        names = database_names()
        for name in names:
            _path(name).unlink(missing_ok=True)
        (work_dir() / _CURRENT).unlink(missing_ok=True)
    return names


def use_database(name: str) -> None:
    """Make an existing database the current one."""
    check_name(name, "database")
    with _locked():
        load_database(name)
        _replace(work_dir() / _CURRENT, name + "\n")


def require_current() -> str:
    """Return the current database's name; ``UsageError`` when there is none."""
    if name := current_database():
        return name
    raise UsageError(
        f"no database is current in {work_dir()}",
        hint="ess create database NAME, or ess use NAME",
    )


def require_table(name: str, kind: Kind) -> TableSpec:
    """Return a table or vector of the current database; ``UsageError`` when it has none."""
    return _find(load_database(require_current()), name, kind)


def _find(spec: DatabaseSpec, name: str, kind: Kind) -> TableSpec:
    table = spec.find(name)
    if table is None or table.kind != kind:
        raise UsageError(f"database {spec.name} has no {kind} {name}", hint=_known(spec, kind))
    return table


def _known(spec: DatabaseSpec, kind: Kind) -> str:
    names = ", ".join(table.name for table in spec.tables if table.kind == kind)
    return f"it has {names}" if names else f"it has no {kind} at all"


def _change(edit: Callable[[DatabaseSpec], DatabaseSpec]) -> DatabaseSpec:
    with _locked():
        spec = edit(load_database(require_current()))
        _write(spec)
    return spec


def _free_ports(count: int) -> int:
    taken = {port for name in database_names() for port in ports(load_database(name))}
    first = FIRST_PORT
    while clash := taken.intersection(range(first, first + count)):
        first = max(clash) + 1
    if first + count > 65536:
        raise UsageError(f"no {count} free ports are left", hint="drop databases you do not need")
    return first


def ports(spec: DatabaseSpec) -> tuple[int, ...]:
    """Return the ports of a database's servers and its own, ascending; at least one."""
    default = spec.port or FIRST_PORT
    found = {default} if spec.port or not spec.servers else set()
    for server in spec.servers:
        match = _SERVER_PORT.search(server)
        found.add(int(match.group(1)) if match else default)
    return tuple(sorted(found))


def _path(name: str) -> Path:
    return work_dir() / f"{name}{_SUFFIX}"


def _write(spec: DatabaseSpec) -> None:
    text = format_spec(spec)
    if any(len(line) > MAX_LINE for line in text.splitlines()):
        raise UsageError(f"a line of database {spec.name} is longer than {MAX_LINE} bytes")
    _replace(_path(spec.name), text)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")  # one writer: the lock is held
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigError(f"{path}:1:1: cannot be written: {error.strerror}") from None


@contextmanager
def _locked() -> Iterator[None]:
    path = make_work_dir() / _LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"cannot write to {path.parent}: {error.strerror}",
            hint="set ESS_WORK_DIR to a folder you may write",
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
