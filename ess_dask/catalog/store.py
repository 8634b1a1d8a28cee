"""Opening the files of a datastore, each exactly in the version that was listed."""

from __future__ import annotations

from typing import BinaryIO

from ess_dask.catalog.model import Datastore, FileRef
from ess_dask.catalog.writing import write_file
from ess_dask.errors import ReadError

__all__ = ["check_version", "find_file", "open_file", "write_file"]


def open_file(store: Datastore, file: FileRef) -> BinaryIO:
    """Open a file's bytes as stored, from the start, in exactly the recorded version.

    Raises ``ReadError`` when the file changed, vanished or is archived, ``AccessError`` when it is
    denied (the message names bucket and action), ``TransientError`` when the network fails longer
    than it is retried. Reads of the returned stream raise the same. The stream is unbuffered for a
    local file; close it.
    """
    if store.is_local:
        from ess_dask.catalog.local import open_local

        return open_local(file)
    from ess_dask.catalog.s3_reader import open_s3

    return open_s3(store, file)


def check_version(store: Datastore, file: FileRef) -> None:
    """Raise ``ReadError`` when the file is no longer the recorded version.

    Called after the last byte: a local file that was overwritten while it was read has neither
    version. Nothing to do for S3, where every part is fetched with ``If-Match``.
    """
    if store.is_local:
        from ess_dask.catalog.local import check_local

        check_local(file)


def find_file(store: Datastore, path: str) -> FileRef:
    """Return the current version of one file, named from the datastore's root or absolutely.

    Raises ``ReadError`` when there is no such file, and what a listing raises.
    """
    from ess_dask.catalog.listing import list_matching
    from ess_dask.catalog.patterns import compile_patterns, literal

    for file in list_matching(store, compile_patterns(store, (literal(path),))):
        return file
    raise ReadError(f"no file {path!r} in datastore {store.label}", hint="ess ls shows the files")
