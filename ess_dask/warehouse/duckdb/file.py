"""Opening a DuckDB file: no extensions, no network, locks waited for, errors in our words."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError, DataError, EssError, LockedError, TransientError
from ess_dask.warehouse.retry import retrying

if TYPE_CHECKING:
    import duckdb

_FULL = re.compile(
    r"no space left|file too large|disk quota|could not write|max_temp_directory", re.I
)
_DENIED = re.compile(
    r"permission denied|read-only file system|is a directory|not a directory", re.I
)
_CORRUPT = re.compile(r"not a valid duckdb|corrupt|checksum|serialization error|invalidated", re.I)
_RELEASE = re.compile(r"(newer|older) version|version number", re.I)
_HOLDER = re.compile(r"held in (.+?) \(PID (\d+)\)")


@dataclass(frozen=True, slots=True)
class DuckDBOptions:
    """How a file is used: ``memory_limit`` as DuckDB writes it (``4GB``; '' is its default),
    ``threads`` (0: all), ``lock_wait`` in seconds, ``text_digest`` compares texts by md5 as well.
    """

    memory_limit: str = ""
    threads: int = 0
    lock_wait: float = 5.0
    text_digest: bool = False

    def config(self) -> dict[str, str | bool | int | float | list[str]]:
        """Return the settings a connection is opened with."""
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "preserve_insertion_order": "true",
        }
        if self.memory_limit:
            config["memory_limit"] = self.memory_limit
        if self.threads:
            config["threads"] = self.threads
        return config


@contextmanager
def opened(
    path: Path, options: DuckDBOptions, *, write: bool, needs: int = 0
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection to the file, closed afterwards; ``write`` makes a missing file.

    ``needs`` is what is going to be written, in bytes, for the message when there is no room.
    """
    with translated(path, needs):
        if write:
            path.parent.mkdir(parents=True, exist_ok=True)
            _create(path)
        connection = _connect(path, options, write=write, needs=needs)
        try:
            yield connection
        finally:
            connection.close()


def _create(path: Path) -> None:
    """Make an empty database where there is no file yet: whole, or not at all.

    DuckDB itself leaves a torn file, which it then refuses, when the disk fills up or the process
    dies meanwhile.
    """
    import duckdb

    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        duckdb.connect(str(temporary)).close()
        # Another process may have been faster; where links are unknown, DuckDB makes the file.
        with suppress(FileExistsError, PermissionError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _connect(
    path: Path, options: DuckDBOptions, *, write: bool, needs: int
) -> duckdb.DuckDBPyConnection:
    import duckdb

    def connect() -> duckdb.DuckDBPyConnection:
        with translated(path, needs):
            return duckdb.connect(str(path), read_only=not write, config=options.config())

    return retrying(LockedError, options.lock_wait, connect)


_HELD = (
    "Could not set lock",
    "different configuration",
    # Another thread of this process is about to close the file.
    "Unique file handle conflict",
)


def _is_held(error: Exception) -> bool:
    return any(words in str(error) for words in _HELD)


@contextmanager
def translated(path: Path, needs: int = 0) -> Iterator[None]:
    """Turn DuckDB's and the system's errors into the product's, naming the file."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise _explain(error, path, needs) from error
    except OSError as error:
        if error.filename is None and error.strerror is None:
            raise
        raise _unwritable(path, needs, error.strerror or str(error)) from error
    except MemoryError as error:
        raise EssError(f"not enough memory for the warehouse {path}") from error


def _explain(error: duckdb.Error, path: Path, needs: int) -> EssError:
    import duckdb

    text = str(error)
    said = text.splitlines()[0]
    if _is_held(error):
        return _held(path, text)
    if _FULL.search(text):
        return _unwritable(path, needs, said)
    if isinstance(error, duckdb.TransactionException) or "write-write conflict" in text:
        return TransientError(f"another load of this process changed {path} at the same time")
    if _RELEASE.search(text) and isinstance(error, duckdb.IOException):
        return ConfigError(f"{path} was written by another release of DuckDB: {said}")
    if _CORRUPT.search(text):
        return DataError(
            f"{path} cannot be read as a DuckDB file: {said}",
            hint="restore it from a copy, or name another file; what was staged is kept",
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return EssError(
            f"DuckDB ran out of memory or temporary space with {path}: {said}",
            hint="raise memory_limit in the warehouse's URL, or free space beside the file",
        )
    if _DENIED.search(text) or isinstance(error, duckdb.IOException):
        return _unwritable(path, needs, said)
    if isinstance(error, duckdb.DataError | duckdb.IntegrityError):
        return DataError(f"a value does not fit the table in {path}: {said}")
    return EssError(f"the warehouse {path} refused: {said}")


def _held(path: Path, text: str) -> LockedError:
    match = _HOLDER.search(text)
    holder = f"process {match[2]} ({match[1]})" if match else f"this process ({os.getpid()})"
    return LockedError(
        f"{path} is open in {holder}",
        hint="close it there and run again; DuckDB lets one process write at a time",
    )


def _unwritable(path: Path, needs: int, said: str) -> EssError:
    room = f", {needs} bytes are to be written" if needs else ""
    return EssError(
        f"cannot use the warehouse file {path}{room}: {said}",
        hint="nothing was loaded and the staged files are kept; make room or name another path",
    )
