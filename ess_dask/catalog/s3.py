"""S3: the connection of a datastore, with retries; listing and opening stand on it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from ess_dask import retry
from ess_dask.catalog.model import Datastore
from ess_dask.catalog.s3_errors import explain, is_unreachable
from ess_dask.credentials import Keys, resolve
from ess_dask.errors import EssError, TransientError

if TYPE_CHECKING:
    import s3fs

T = TypeVar("T")

ATTEMPTS = 5
DEADLINE = 120.0
"""Tries of one request, and the seconds after which no further one begins."""

_ABSENT_SECONDS = 60.0

_IDENTITY = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION")

_CONNECT_SECONDS, _READ_SECONDS = 5, 30


def filesystem(store: Datastore) -> s3fs.S3FileSystem:
    """Return the s3fs file system of a datastore (made once per process and credentials).

    Credentials are resolved at each call; listings are not cached. Raises ``ConfigError`` for a
    bad reference.
    """
    keys = resolve(store.credentials)
    # A connection survives neither a fork nor another user in the environment.
    process = (str(os.getpid()), *(os.environ.get(name, "") for name in _IDENTITY))
    return _connect(process, store.region, endpoint_of(store), keys)


def endpoint_of(store: Datastore) -> str:
    """Return the address requests go to; '' is AWS's own for the region."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    return store.endpoint or next(filter(None, map(os.environ.get, names)), "")


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of ``s3://bucket/key``, byte for byte."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


class _Absent:
    """The endpoints at which nobody has answered through all tries of a request, and since when.

    Every file of a job would wait as long as the first one; they are tried once. Any thread may
    call.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def attempts(self, endpoint: str) -> int:
        since = self._since.get(endpoint)
        return ATTEMPTS if since is None or time.monotonic() - since > _ABSENT_SECONDS else 1

    def note(self, endpoint: str, *, absent: bool) -> None:
        if absent:
            self._since[endpoint] = time.monotonic()
        else:
            self._since.pop(endpoint, None)


_absent = _Absent()


def retrying(store: Datastore, action: str, uri: str, request: Callable[[], T]) -> T:
    """Run one request; try again while it is transient, then raise the product's error.

    ``action`` is the permission the request needs, such as ``s3:GetObject``. Where nobody has
    answered for all tries of a request, those of the minute after it are tried once.
    """
    started = time.monotonic()
    endpoint, absent = endpoint_of(store), False

    def explained() -> T:
        nonlocal absent
        try:
            return request()
        except Exception as error:  # botocore and aiohttp share no base class
            elapsed = time.monotonic() - started
            absent = is_unreachable(error)
            raise explain(error, action, uri, endpoint, elapsed) from None

    limits = {"attempts": _absent.attempts(endpoint), "timeout": DEADLINE}
    try:
        answer = retry.retrying(TransientError, explained, logging.WARNING, **limits)
    except EssError:
        _absent.note(endpoint, absent=absent)
        raise
    _absent.note(endpoint, absent=False)
    return answer


def call(store: Datastore, action: str, uri: str, method: str, **arguments: Any) -> dict[str, Any]:
    """Call one method of the S3 client and return its answer, with retries."""
    connection = filesystem(store)
    answer: dict[str, Any] = retrying(
        store, action, uri, lambda: connection.call_s3(method, **arguments)
    )
    return answer


@lru_cache(maxsize=32)
def _connect(process: tuple[str, ...], region: str, endpoint: str, keys: Keys) -> s3fs.S3FileSystem:
    import s3fs

    del process  # a part of the cache's key only
    options: dict[str, Any] = {"profile": keys.profile} if keys.profile else {}
    # One place retries (``retrying``): with three layers of them a dead endpoint takes minutes.
    settings: dict[str, Any] = {
        "retries": {"total_max_attempts": 1},
        "connect_timeout": _CONNECT_SECONDS,
        "read_timeout": _READ_SECONDS,
        "max_pool_connections": 64,
        # Some servers send the whole object's checksum along with a part of it.
        "response_checksum_validation": "when_required",
    }
    if endpoint:
        settings["s3"] = {"addressing_style": "path"}
    connection = s3fs.S3FileSystem(
        key=keys.access_key or None,
        secret=keys.secret_key or None,
        token=keys.token or None,
        endpoint_url=endpoint or None,
        client_kwargs={"region_name": region} if region else {},
        config_kwargs=settings,
        use_listings_cache=False,
        skip_instance_cache=True,
        **options,
    )
    connection.retries = 1
    return connection
