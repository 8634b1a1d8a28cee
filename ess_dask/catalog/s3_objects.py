"""S3 objects as wholes: put from a file or from bytes, fetched, and removed by prefix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ess_dask.catalog.listing import list_folder
from ess_dask.catalog.model import Datastore
from ess_dask.catalog.s3 import call, endpoint_of, filesystem, retrying, split_uri
from ess_dask.catalog.s3_errors import of_code

UPLOAD_BLOCK = 8 << 20
"""Bytes of one request of a large upload."""
UPLOADS_AT_ONCE = 4
"""Requests of one upload on their way; bounds its memory."""
_KEYS_AT_ONCE = 1000


def put_file(store: Datastore, path: Path, uri: str) -> int:
    """Upload a file, a large one in blocks; return its bytes. The object appears whole.

    Raises ``AccessError``, ``TransientError`` when the network fails longer than it is retried,
    and ``OSError`` when the file cannot be read.
    """
    size = path.stat().st_size
    connection = filesystem(store)
    place = uri.removeprefix("s3://")

    def upload() -> None:
        connection.put_file(
            str(path), place, chunksize=UPLOAD_BLOCK, max_concurrency=UPLOADS_AT_ONCE
        )

    retrying(store, "s3:PutObject", uri, upload)
    return size


def put_bytes(store: Datastore, uri: str, data: bytes) -> None:
    """Write a small object. Raises as ``put_file``."""
    bucket, key = split_uri(uri)
    call(store, "s3:PutObject", uri, "put_object", Bucket=bucket, Key=key, Body=data)


def fetch_file(store: Datastore, uri: str, path: Path) -> None:
    """Download an object to a file. Raises ``ReadError`` when it is gone, else as ``put_file``."""
    connection = filesystem(store)
    place = uri.removeprefix("s3://")
    retrying(store, "s3:GetObject", uri, lambda: connection.get_file(place, str(path)))


def remove(store: Datastore, uris: Sequence[str]) -> None:
    """Remove objects of one bucket; those that are gone already do not matter.

    Raises ``AccessError`` and ``TransientError``.
    """
    for start in range(0, len(uris), _KEYS_AT_ONCE):
        some = uris[start : start + _KEYS_AT_ONCE]
        retrying(store, "s3:DeleteObject", some[0], partial(_delete, store, some))


def remove_all(store: Datastore) -> int:
    """Remove every object below the datastore's root; return how many there were."""
    found = [file.uri for file in list_folder(store, "", deep=True)]
    remove(store, found)
    return len(found)


def _delete(store: Datastore, uris: Sequence[str]) -> None:
    bucket = split_uri(uris[0])[0]
    keys = [{"Key": split_uri(uri)[1]} for uri in uris]
    answer = filesystem(store).call_s3(
        "delete_objects", Bucket=bucket, Delete={"Objects": keys, "Quiet": True}
    )
    for failed in answer.get("Errors", ()):
        # The answer as a whole is a success: each key has an error of its own.
        uri = f"s3://{bucket}/{failed['Key']}"
        raise of_code(failed["Code"], "s3:DeleteObject", uri, endpoint_of(store), 0.0)
