"""Making a datastore from what a user names: a folder or ``s3://bucket[/prefix]``."""

from __future__ import annotations

import re
from pathlib import Path

from ess_dask.catalog.model import Datastore
from ess_dask.credentials import file_reference
from ess_dask.errors import UsageError

LOCAL = "local"
"""Label of the datastore whose root is the current folder, wherever that is."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


def make_datastore(
    source: str,
    *,
    label: str = "",
    profile: str = "",
    credentials: str = "",
    region: str = "",
    endpoint: str = "",
) -> Datastore:
    """Return the datastore for ``local``, a folder or ``s3://bucket[/prefix]``.

    ``profile`` is one of AWS's shared profiles, ``credentials`` the path of a CSV file; only the
    reference is kept. ``label`` is by default the bucket or the folder's name. Raises
    ``UsageError`` for another kind of source, a folder that does not exist or both references.
    """
    if profile and credentials:
        raise UsageError("a profile and a credentials file exclude each other", hint="give one")
    reference = f"profile:{profile}" if profile else ""
    if credentials:
        reference = file_reference(credentials)
    if source.startswith("s3://"):
        return _bucket(source, label, region, reference, endpoint)
    if "://" in source:
        scheme = source.partition("://")[0]
        raise UsageError(f"{scheme}:// is not supported", hint="use a folder or s3://bucket")
    if reference or region or endpoint:
        raise UsageError(f"{source!r} is a folder: it takes no credentials and no region")
    return _folder(source, label)


def is_source(text: str) -> bool:
    """Whether a text names a place (and not the label of a known datastore)."""
    return text == LOCAL or "://" in text or "/" in text or Path(text).is_dir()


def local_datastore() -> Datastore:
    """Return the datastore ``local`` as seen from the current folder."""
    return Datastore(LOCAL, str(Path.cwd()))


def _folder(source: str, label: str) -> Datastore:
    if source == LOCAL:
        return Datastore(label or LOCAL, str(Path.cwd()))
    root = Path(source).expanduser().absolute()
    if not root.is_dir():
        raise UsageError(
            f"{source!r} is neither a folder nor s3://bucket",
            hint="check the path; write s3:// in front of a bucket's name",
        )
    return Datastore(label or root.name or "root", str(root.resolve()))


def _bucket(source: str, label: str, region: str, credentials: str, endpoint: str) -> Datastore:
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(
            f"{source!r} names no bucket", hint="write s3://bucket or s3://bucket/prefix"
        )
    root = f"s3://{bucket}/{prefix}".rstrip("/")
    return Datastore(label or root.removeprefix("s3://"), root, region, credentials, endpoint)
