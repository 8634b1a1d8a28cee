"""Files of a local folder: streamed listing and opening of one exact version."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ess_dask.catalog.model import FileRef
from ess_dask.catalog.patterns import PathFilter
from ess_dask.errors import AccessError, EssError, ReadError, TransientError


def list_local(wanted: PathFilter) -> Iterator[FileRef]:
    """Yield every regular file that matches, undated, in no particular order.

    Links to files and folders are followed, a folder that contains itself once. A prefix that does
    not exist yields nothing; a folder that cannot be read raises ``AccessError``.
    """
    for prefix in wanted.prefixes:
        if prefix.endswith("/"):
            yield from _walk(prefix, wanted)
        elif wanted.matches(prefix):
            yield from _one(prefix)


def open_local(file: FileRef) -> BinaryIO:
    """Open the recorded version; raise ``ReadError`` when the file changed or vanished."""
    try:
        stream = Path(file.uri).open("rb", buffering=0)  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise open_error(file.uri, error) from None
    if version_of(os.fstat(stream.fileno())) != file.etag:
        stream.close()
        raise changed(file.uri)
    return stream


def check_local(file: FileRef) -> None:
    """Raise ``ReadError`` when the file is no longer the recorded version."""
    try:
        now = version_of(Path(file.uri).stat())
    except OSError as error:
        raise open_error(file.uri, error) from None
    if now != file.etag:
        raise changed(file.uri)


def version_of(status: os.stat_result) -> str:
    """Return the etag of a local file: ``mtime_ns-size``."""
    return f"{status.st_mtime_ns}-{status.st_size}"


def changed(uri: str) -> ReadError:
    """Return the error for a file that is no longer the version that was listed."""
    return ReadError(
        f"{uri} was replaced after it was listed", hint="run again: the new version will be taken"
    )


def open_error(uri: str, error: OSError) -> EssError:
    """Return the error of the product for a failed open of a local file."""
    if isinstance(error, FileNotFoundError):
        return ReadError(
            f"{uri} vanished after it was listed", hint="run again, or put the file back"
        )
    if isinstance(error, PermissionError):
        return AccessError(
            f"cannot read {uri}: permission denied", hint="give yourself read permission (chmod)"
        )
    if isinstance(error, IsADirectoryError):
        return ReadError(f"{uri} is a folder, not a file")
    return TransientError(f"cannot open {uri}: {error.strerror}")


def _walk(root: str, wanted: PathFilter) -> Iterator[FileRef]:
    """Finish a folder before the ones in it: one open folder and the waiting names at a time."""
    stack: list[tuple[str, frozenset[tuple[int, int]]]] = [(root, frozenset())]
    while stack:
        folder, above = stack.pop()
        if wanted.prunes(folder):
            continue
        # A link to a folder that it lies in, the first one too, would give its files twice.
        identity = _identity(folder)
        if identity in above:
            continue
        above |= {identity} if identity else set()
        for entry in _entries(folder):
            path = folder + entry.name
            # A file that does not match costs no system call.
            if _is_folder(entry):
                if not wanted.deep:
                    yield FileRef(path + "/", None, 0, "")
                    continue
                stack.append((path + "/", above))
            elif wanted.matches(path):
                yield from _one(path)


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except (FileNotFoundError, NotADirectoryError):
        return
    except PermissionError:
        raise AccessError(
            f"cannot list the folder {folder}: permission denied",
            hint=f"give yourself permission, or leave it out with --exclude '{folder}*'",
        ) from None
    except OSError as error:
        raise TransientError(f"cannot list the folder {folder}: {error.strerror}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder: str) -> tuple[int, int] | None:
    """Return what makes a folder itself, behind links; None if it cannot be looked at."""
    try:
        status = os.stat(folder)  # noqa: PTH116 - as below
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _one(path: str) -> Iterator[FileRef]:
    """Yield the regular file at ``path``, if there is one: not a dangling link, not a pipe."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path for each of a million names is costly
    except OSError:
        return
    if stat.S_ISREG(status.st_mode):
        yield FileRef(path, None, status.st_size, version_of(status))
