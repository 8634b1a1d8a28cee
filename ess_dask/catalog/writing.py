"""Writing a file into a datastore: whole, or not at all."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ess_dask.catalog.model import Datastore
from ess_dask.errors import AccessError, EssError, TransientError


@contextmanager
def write_file(store: Datastore, path: str) -> Iterator[BinaryIO]:
    """Give a stream to write ``path`` with; the file appears when the block ends without an error.

    ``path`` is taken as a pattern would be (``catalog.patterns``): from the datastore's root, or
    with a leading ``/`` from the file system's or bucket's root. Missing folders are made. Raises
    ``AccessError`` (denied) and ``TransientError`` (network, disk).
    """
    place = place_of(store, path)
    if store.is_local:
        with _write_local(place) as target:
            yield target
        return
    with _write_s3(store, place) as target:
        yield target


def place_of(store: Datastore, path: str) -> str:
    """Return the full path, or ``s3://bucket/key``, that ``write_file`` makes of ``path``."""
    if store.is_local:
        return os.path.normpath(os.path.join(store.root, path))  # noqa: PTH118 - str in, str out
    root = store.root
    if path.startswith("/"):
        root = "s3://" + root.removeprefix("s3://").partition("/")[0]
        return f"{root}{path}"
    return f"{root}/{path}"


@contextmanager
def _write_local(path: str) -> Iterator[BinaryIO]:
    folder = Path(path).parent
    temporary = folder / f".{secrets.token_hex(8)}.writing"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as target:
            yield target
        temporary.replace(path)
    except OSError as error:
        raise _disk_error(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def _disk_error(path: str, error: OSError) -> EssError:
    kind = AccessError if isinstance(error, PermissionError) else TransientError
    return kind(f"cannot write {path}: {error.strerror}", hint="check permission and free space")


@contextmanager
def _write_s3(store: Datastore, uri: str) -> Iterator[BinaryIO]:
    from ess_dask.catalog.s3 import endpoint_of, filesystem, split_uri
    from ess_dask.catalog.s3_errors import explain

    started = time.monotonic()
    target = None
    try:
        # Not committed on close: a block that fails half-way must leave no object.
        target = filesystem(store).open(uri.removeprefix("s3://"), "wb", autocommit=False)
        # Of a key that ends with ?versionId=... s3fs takes this away.
        target.key = split_uri(uri)[1]
        yield target
        target.close()
        target.commit()
    except BaseException as error:
        if target is not None:
            target.discard()
        if not isinstance(error, Exception):
            raise
        elapsed = time.monotonic() - started
        raise explain(error, "s3:PutObject", uri, endpoint_of(store), elapsed) from None
