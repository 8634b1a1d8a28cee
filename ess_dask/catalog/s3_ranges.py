"""Random access to an S3 object that never changes: a small one in one request, else in ranges.

Formats such as Arrow's keep their index at the end: it comes with the opening. The ends of objects
lately read are kept in the process.
"""

from __future__ import annotations

import asyncio
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ess_dask.catalog.model import Datastore
from ess_dask.catalog.s3 import filesystem, retrying, split_uri
from ess_dask.catalog.s3_position import SeekableObject

if TYPE_CHECKING:
    import s3fs

TAIL = 64 << 10
"""Bytes at an object's ends that are read when it is opened, and least bytes of a later request."""

_TAILS = 512


class Traffic:
    """Counts what this process asked of S3 by ranges: ``requests`` and ``received`` bytes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests = 0
        self.received = 0

    def add(self, received: int) -> None:
        """Count one request."""
        with self._lock:
            self.requests += 1
            self.received += received


traffic = Traffic()
"""That of this process."""


class RangedObject(SeekableObject):
    """A seekable stream of one object; opening it reads its ends.

    Raises ``ReadError`` when the object is gone, ``AccessError`` and ``TransientError`` as
    ``catalog.s3`` does.
    """

    def __init__(self, store: Datastore, uri: str) -> None:
        super().__init__()
        self._store, self._uri = store, uri
        self._size, self._tail = _end_of(store, uri)
        self._start, self._block = self._size - len(self._tail), self._tail

    def size(self) -> int:
        """Return the object's size in bytes."""
        return self._size

    def read(self, size: int | None = -1) -> bytes:
        """Return up to ``size`` bytes from the position on, fewer only at the end."""
        left = max(0, self._size - self._position)
        count = left if size is None or size < 0 else min(size, left)
        data = self._take(self._position, count)
        self._position += count
        return data

    def _take(self, start: int, count: int) -> bytes:
        """Return bytes: what is there already, and the rest in one request."""
        held = self._held(start, count)
        if len(held) == count:
            return held
        missing = start + len(held)
        end = min(self._size, max(start + count, missing + TAIL))
        fetched, _ = _fetch(self._store, self._uri, f"bytes={missing}-{end - 1}")
        self._start, self._block = missing, fetched
        if len(fetched) < start + count - missing:
            raise OSError(f"{self._uri} is shorter than it was")
        return held + fetched[: count - len(held)]

    def _held(self, start: int, count: int) -> bytes:
        for begin, block in (
            (self._start, self._block),
            (self._size - len(self._tail), self._tail),
        ):
            if begin <= start < begin + len(block):
                return block[start - begin : start - begin + count]
        return b""


@lru_cache(maxsize=_TAILS)
def _end_of(store: Datastore, uri: str) -> tuple[int, bytes]:
    # The front first: it says the size. Not every server knows ranges that count from the end.
    data, size = _fetch(store, uri, f"bytes=0-{TAIL - 1}")
    if size > TAIL:
        data, _ = _fetch(store, uri, f"bytes={size - TAIL}-{size - 1}")
    return size, data


def _fetch(store: Datastore, uri: str, part: str) -> tuple[bytes, int]:
    """Return the bytes of a range and the size of the whole object."""
    connection = filesystem(store)

    def request() -> tuple[bytes, int]:
        asked = _get(connection, uri, part)
        return asyncio.run_coroutine_threadsafe(asked, connection.loop).result()

    data, size = retrying(store, "s3:GetObject", uri, request)
    traffic.add(len(data))
    return data, size


async def _get(connection: s3fs.S3FileSystem, uri: str, part: str) -> tuple[bytes, int]:
    bucket, key = split_uri(uri)
    answer: dict[str, Any] = await connection._call_s3(
        "get_object", Bucket=bucket, Key=key, Range=part
    )
    async with answer["Body"] as body:
        data: bytes = await body.read()
    if len(data) != answer["ContentLength"]:
        raise ConnectionResetError(f"{len(data)} of {answer['ContentLength']} bytes arrived")
    _, _, total = str(answer.get("ContentRange", "")).rpartition("/")
    return data, int(total) if total.isdigit() else len(data)
