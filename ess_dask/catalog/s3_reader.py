"""Reading one version of an S3 object: ranges with ``If-Match``, one block read ahead."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ess_dask.catalog.local import changed
from ess_dask.catalog.model import Datastore, FileRef
from ess_dask.catalog.s3 import filesystem, retrying, split_uri
from ess_dask.catalog.s3_position import SeekableObject

if TYPE_CHECKING:
    import s3fs

BLOCK = 8 << 20
"""Bytes of one request. A break in the middle costs this much again, never the whole file."""


def open_s3(store: Datastore, file: FileRef) -> BinaryIO:
    """Open the recorded version; the first block is fetched here, so errors come early."""
    stream = ObjectStream(store, file)
    try:
        stream.fill()
    except BaseException:
        stream.close()
        raise
    return cast("BinaryIO", stream)


class ObjectStream(SeekableObject):
    """A seekable stream of one object's bytes; holds at most two blocks of ``BLOCK`` bytes."""

    def __init__(self, store: Datastore, file: FileRef) -> None:
        super().__init__()
        self._store, self._file = store, file
        self._connection = filesystem(store)
        self._start, self._block = 0, b""
        self._ahead: tuple[int, Future[bytes]] | None = None

    def size(self) -> int:
        """Return the size of the recorded version in bytes."""
        return self._file.size

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from the position on; return the bytes read, 0 at the end."""
        self.fill()
        begin = self._position - self._start
        piece = memoryview(self._block)[begin : begin + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def fill(self) -> None:
        """Have the block that holds the position, and the next one on its way."""
        inside = self._start <= self._position < self._start + len(self._block)
        empty_object = self._file.size == 0 and self._position == 0
        if inside or (self._position >= self._file.size and not empty_object):
            if not inside:
                self._start, self._block = self._position, b""
            return
        self._block = retrying(self._store, "s3:GetObject", self._file.uri, self._take)
        self._start = self._position
        following = self._start + len(self._block)
        if following < self._file.size:
            self._ahead = (following, self._begin(following))

    def close(self) -> None:
        """Drop what is buffered and on its way."""
        if self._ahead is not None:
            self._ahead[1].cancel()
        self._ahead, self._block = None, b""
        super().close()

    def _take(self) -> bytes:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == self._position:
            return ahead[1].result()
        if ahead is not None:
            ahead[1].cancel()
        return self._begin(self._position).result()

    def _begin(self, start: int) -> Future[bytes]:
        end = min(start + BLOCK, self._file.size)
        coroutine = _fetch(self._connection, self._file, start, end)
        return asyncio.run_coroutine_threadsafe(coroutine, self._connection.loop)


async def _fetch(connection: s3fs.S3FileSystem, file: FileRef, start: int, end: int) -> bytes:
    bucket, key = split_uri(file.uri)
    # An empty object has no range that could be asked for.
    part = {"Range": f"bytes={start}-{end - 1}"} if end > start else {}
    answer = await connection._call_s3(
        "get_object", Bucket=bucket, Key=key, IfMatch=f'"{file.etag}"', **part
    )
    async with answer["Body"] as body:
        # Not every server knows If-Match: the answer's own etag decides.
        if answer["ETag"].strip('"') != file.etag:
            raise changed(file.uri)
        data: bytes = await body.read()
    if len(data) != end - start:
        raise ConnectionResetError(f"{len(data)} of {end - start} bytes arrived")
    return data
