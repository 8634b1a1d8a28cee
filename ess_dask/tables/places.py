"""Where segments lie: a folder of this machine or one that all machines mount, or S3.

A place is known by the name of what lies there: ``s3://bucket/key`` or a path. Names are never used
a second time, so what was read once does not change.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ess_dask.errors import AccessError, ReadError

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.catalog.model import Datastore


_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


class Place(Protocol):
    """What tables ask of the place of their segments. Names are absolute.

    All raise ``OSError`` for a disk, and what ``catalog.s3`` raises for S3.
    """

    def begin(self, name: str) -> Path:
        """Make an empty file of this machine, mode 0600, in which ``name`` is written first."""

    def put(self, finished: Path, name: str) -> None:
        """Make a file of ``begin`` visible as ``name``, whole; the file is gone then."""

    def open(self, name: str) -> pa.NativeFile:
        """Open for reading in any order; of a large file only what is asked for is read."""

    def read(self, name: str) -> bytes | None:
        """Return a small file's bytes, None when there is none."""

    def list(self, folder: str) -> list[str]:
        """Return the names of all files below a folder; none when there is no such folder."""

    def remove(self, names: Sequence[str]) -> None:
        """Remove files and the folders they leave empty; what is gone already is no error."""

    def remove_folder(self, folder: str) -> None:
        """Remove a folder with all that is below it."""


def place_of(name: str) -> Place:
    """Return the place of a file or folder."""
    return S3Place() if name.startswith("s3://") else FolderPlace()


def not_writable(folder: Path, who: str, why: str | None) -> AccessError:
    """Return the error of a folder in which files cannot be made; ``who`` '' is this process."""
    return AccessError(
        f"{folder}: {who + ' cannot' if who else 'cannot'} create files there: {why or 'refused'}",
        hint="memory tables lie there (ESS_SHARED_TABLES on a cluster of other machines): "
        "let the user of the workers write, or choose another folder or s3://BUCKET/PREFIX",
    )


def remove_files(names: Iterable[str]) -> None:
    """Remove files, whatever their places; see ``Place.remove``."""
    far: list[str] = []
    near: list[str] = []
    for name in names:
        (far if name.startswith("s3://") else near).append(name)
    for some, place in ((near, FolderPlace()), (far, S3Place())):
        if some:
            place.remove(some)


class FolderPlace:
    """A folder: files get their names by renaming. Not synced: tables do not outlive a machine."""

    def begin(self, name: str) -> Path:
        """See ``Place.begin``."""
        temporary = Path(name).with_suffix(".tmp")
        try:
            temporary.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            if error.errno in _REFUSED:
                raise not_writable(temporary.parent, "", error.strerror) from None
            raise
        return temporary

    def put(self, finished: Path, name: str) -> None:
        """See ``Place.put``."""
        finished.replace(name)

    def open(self, name: str) -> pa.NativeFile:
        """See ``Place.open``."""
        import pyarrow as pa

        # Not memory-mapped: the rows must stay when the file goes, and page faults are no reads.
        return pa.OSFile(name)

    def read(self, name: str) -> bytes | None:
        """See ``Place.read``."""
        try:
            return Path(name).read_bytes()
        except FileNotFoundError:
            return None

    def list(self, folder: str) -> list[str]:
        """See ``Place.list``."""
        return [str(path) for path in Path(folder).rglob("*") if path.is_file()]

    def remove(self, names: Sequence[str]) -> None:
        """See ``Place.remove``."""
        for name in names:
            Path(name).unlink(missing_ok=True)
            with suppress(OSError):  # not empty, or gone
                Path(name).parent.rmdir()

    def remove_folder(self, folder: str) -> None:
        """See ``Place.remove_folder``."""
        shutil.rmtree(folder, ignore_errors=True)


class S3Place:
    """S3, with the credentials of the process: those of its environment or its machine's role."""

    def begin(self, name: str) -> Path:
        """See ``Place.begin``."""
        temporary = Path(_scratch()) / f"ess-{uuid.uuid4().hex}.tmp"
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        return temporary

    def put(self, finished: Path, name: str) -> None:
        """See ``Place.put``; a large file goes in blocks, several at a time."""
        from ess_dask.catalog.s3_objects import put_file

        try:
            put_file(_store(name), finished, name)
        finally:
            finished.unlink(missing_ok=True)

    def open(self, name: str) -> pa.NativeFile:
        """See ``Place.open``."""
        import pyarrow as pa

        from ess_dask.catalog.s3_ranges import RangedObject

        return pa.PythonFile(RangedObject(_store(name), name), mode="r")

    def read(self, name: str) -> bytes | None:
        """See ``Place.read``."""
        from ess_dask.catalog.s3_objects import fetch_file

        with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
            path = Path(folder) / "file"
            try:
                fetch_file(_store(name), name, path)
            except ReadError:
                return None
            return path.read_bytes()

    def list(self, folder: str) -> list[str]:
        """See ``Place.list``."""
        from ess_dask.catalog.listing import list_folder

        return [file.uri for file in list_folder(_store(folder), "", deep=True)]

    def remove(self, names: Sequence[str]) -> None:
        """See ``Place.remove``."""
        from ess_dask.catalog.s3_objects import remove

        if names:
            remove(_store(names[0]), names)

    def remove_folder(self, folder: str) -> None:
        """See ``Place.remove_folder``."""
        from ess_dask.catalog.s3_objects import remove_all

        remove_all(_store(folder))


def _store(name: str) -> Datastore:
    from ess_dask.catalog.datastores import make_datastore

    return make_datastore(name)


def _scratch() -> str:
    """Return a folder for files of a moment: a worker's own one, which goes with it."""
    if "distributed" in sys.modules:
        from distributed import get_worker

        with suppress(ValueError):  # no worker
            return str(get_worker().local_directory)
    return tempfile.gettempdir()
