"""S3 as COPY and UNLOAD see it: who may go there, which objects are meant, what they hold."""

from __future__ import annotations

import functools
import json
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift.commands import Copy
from ess_dask.testing.redshift.errors import ServerError
from ess_dask.testing.redshift.options import Authorization
from ess_dask.testing.s3 import S3Server


@dataclass(frozen=True, slots=True)
class Source:
    """One object to load, and its bytes."""

    url: str
    data: bytes

    @property
    def address(self) -> str:
        """The object's address over HTTP, as Redshift tells it."""
        return f"https://s3.us-east-1.amazonaws.com/{self.url.removeprefix('s3://')}"


def s3_client(server: S3Server, role: str, shown: Authorization) -> Any:
    """Return an S3 client for what a statement shows; a role that is not ours is refused."""
    access, secret = shown.access_key, shown.secret_key
    if shown.role:
        if shown.role not in (role, "default"):
            raise ServerError(
                f"User arn:aws:redshift:us-east-1:123456789012:dbuser:ess-standin/awsuser is not "
                f"authorized to assume IAM Role {shown.role}",
                detail="error:  User is not authorized to assume IAM Role code: 8001 context: "
                f"IAM Role={shown.role}",
            )
        access, secret = server.access_key, server.secret_key
    return _client(server, access, secret, shown.token)


@functools.lru_cache(maxsize=8)
def _client(server: S3Server, access: str, secret: str, token: str) -> Any:
    """Return a client, made once: that takes longer than a small COPY. Clients may be shared."""
    import botocore.session
    from botocore.config import Config

    return botocore.session.Session().create_client(
        "s3",
        region_name=server.region,
        endpoint_url=server.endpoint,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        aws_session_token=token or None,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 2}),
    )


def split_url(url: str) -> tuple[str, str]:
    """Return bucket and key of an ``s3://`` address."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


@dataclass(frozen=True, slots=True)
class Listed:
    """An object that a COPY is to load; ``bytes`` where its manifest has to tell them."""

    url: str
    mandatory: bool = True
    bytes: int | None = None


def listed(client: Any, copy: Copy) -> list[Listed]:
    """Return the objects of a COPY in order: of its manifest, or of its prefix."""
    found = _of_manifest(client, copy) if "MANIFEST" in copy.options else _of_prefix(client, copy)
    if not found:
        raise none_there(copy)
    return found


def none_there(copy: Copy) -> ServerError:
    """Return Redshift's error of a COPY without any object."""
    return ServerError(
        f"The specified S3 prefix '{split_url(copy.source)[1]}' does not exist",
        detail="error: The specified S3 prefix does not exist code: 8001",
    )


def fetched(client: Any, wanted: Listed) -> Source | None:
    """Return an object with its bytes; None when it is not there and does not have to be."""
    try:
        data = read(client, wanted.url)
    except ServerError:
        if wanted.mandatory:
            raise
        return None
    if wanted.bytes not in (None, len(data)):
        raise ServerError(
            "Spectrum Scan Error",
            detail="error: Spectrum Scan Error code: 15007 context: File size in the manifest "
            f"({wanted.bytes}) is not the size of the file ({len(data)}): {wanted.url}",
        )
    return Source(wanted.url, data)


def _of_prefix(client: Any, copy: Copy) -> list[Listed]:
    bucket, prefix = split_url(copy.source)
    with_errors = _S3Errors(copy.source)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    with with_errors:
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return [Listed(f"s3://{bucket}/{key}") for key in sorted(keys) if not key.endswith("/")]


def _of_manifest(client: Any, copy: Copy) -> list[Listed]:
    found = []
    for entry in _entries(read(client, copy.source), copy.source):
        url, meta = entry["url"], entry.get("meta") or {}
        if copy.is_parquet and "content_length" not in meta:
            raise ServerError(
                f"Manifest file is not in correct json format: no content_length for {url}",
                detail=f"error: columnar files need 'meta.content_length' context: {url}",
            )
        size = meta["content_length"] if copy.is_parquet else None
        found.append(Listed(url, bool(entry.get("mandatory", False)), size))
    return found


def _entries(data: bytes, url: str) -> list[dict[str, Any]]:
    wrong = ServerError(
        f"Manifest file is not in correct json format: {url}",
        detail="error: Manifest file is not in correct json format code: 8001",
    )
    try:
        entries = json.loads(data)["entries"]
    except (ValueError, KeyError, TypeError) as error:
        raise wrong from error
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and str(entry.get("url", "")).startswith("s3://")
        for entry in entries
    ):
        raise wrong
    return entries


def read(client: Any, url: str) -> bytes:
    """Return an object's bytes; what S3 refuses is an ``S3ServiceException``."""
    bucket, key = split_url(url)
    with _S3Errors(url):
        return bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())


def write(client: Any, url: str, data: bytes) -> None:
    """Write an object."""
    bucket, key = split_url(url)
    with _S3Errors(url):
        client.put_object(Bucket=bucket, Key=key, Body=data)


def exists(client: Any, prefix: str) -> bool:
    """Whether an object's address starts so."""
    bucket, key = split_url(prefix)
    with _S3Errors(prefix):
        return bool(client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents"))


class _S3Errors:
    """Turn what botocore raises into what Redshift says."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError):
            said, status = error.response["Error"], error.response["ResponseMetadata"]
            text = (
                f"S3ServiceException:{said.get('Message', '')},Status {status['HTTPStatusCode']},"
                f"Error {said['Code']},Rid {status.get('RequestId', '')},CanRetry 1"
            )
            raise ServerError(
                text, detail=f"error: {text} code: 8001 context: Failed to read {self._url}"
            ) from error
        if isinstance(error, BotoCoreError):
            raise ServerError(f"S3CurlException: {error}") from error
