"""Streamed listing of a bucket, parallel by prefix.

Folders are discovered with the delimiter until there are enough of them to keep all connections
busy; everything below is then listed flat, 1,000 keys a page. Each prefix has one page in flight,
so memory is bounded by the number of connections.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from ess_dask.catalog.model import Datastore, FileRef
from ess_dask.catalog.patterns import PathFilter
from ess_dask.catalog.s3 import call, split_uri
from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError

PARALLEL = 16
_MANY_FOLDERS = 200
"""Folders in one page from which on a flat listing needs fewer requests than one for each."""


@dataclass(frozen=True, slots=True)
class _Request:
    bucket: str
    prefix: str
    split: bool
    token: str = ""


@dataclass(frozen=True, slots=True)
class _Page:
    files: tuple[FileRef, ...]
    folders: tuple[str, ...]
    token: str


def list_s3(store: Datastore, wanted: PathFilter) -> Iterator[FileRef]:
    """Yield every object that matches, undated, in no particular order.

    Keys that end with ``/`` stand for folders and are left out. Raises ``AccessError`` (denied, no
    such bucket) and ``TransientError``; what was yielded before an error is not the whole listing.
    """
    waiting = deque(_first(prefix) for prefix in wanted.prefixes)
    running: dict[Future[_Page], _Request] = {}
    pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="ess-list")
    started = 0
    try:
        while waiting or running:
            while waiting and len(running) < PARALLEL:
                request = waiting.popleft()
                running[pool.submit(_fetch, store, request)] = request
                started += 1
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                request, page = running.pop(future), future.result()
                if wanted.deep and _is_broad(request, page):
                    waiting.append(replace(request, split=False))
                    continue
                waiting.extend(_follow(request, page, started + len(waiting) < PARALLEL, wanted))
                yield from _wanted(request, page, wanted)
    finally:
        # Without waiting: Ctrl-C is not to hang on a server that does not answer.
        pool.shutdown(wait=False, cancel_futures=True)


def _first(prefix: str) -> _Request:
    bucket, key = split_uri(prefix)
    if not bucket:
        raise UsageError(
            f"pattern {prefix!r} names no bucket", hint="the bucket may not hold * or ?"
        )
    return _Request(bucket, key, split=True)


def _is_broad(request: _Request, page: _Page) -> bool:
    # Only at the first page: nothing of this prefix was handed on yet.
    return request.split and not request.token and len(page.folders) >= _MANY_FOLDERS


def _follow(request: _Request, page: _Page, split: bool, wanted: PathFilter) -> Iterator[_Request]:
    if page.token:
        yield replace(request, token=page.token)
    for folder in page.folders if wanted.deep else ():
        if not wanted.prunes(f"s3://{request.bucket}/{folder}"):
            yield _Request(request.bucket, folder, split)


def _wanted(request: _Request, page: _Page, wanted: PathFilter) -> Iterator[FileRef]:
    yield from (file for file in page.files if wanted.matches(file.uri))
    if not wanted.deep:
        uris = (f"s3://{request.bucket}/{folder}" for folder in page.folders)
        yield from (FileRef(uri, None, 0, "") for uri in uris)


def _fetch(store: Datastore, request: _Request) -> _Page:
    arguments = {"Bucket": request.bucket, "Prefix": request.prefix}
    if request.split:
        arguments["Delimiter"] = "/"
    if request.token:
        arguments["ContinuationToken"] = request.token
    uri = f"s3://{request.bucket}/{request.prefix}"
    answer = call(store, "s3:ListBucket", uri, "list_objects_v2", **arguments)
    files = tuple(
        FileRef(
            uri=f"s3://{request.bucket}/{entry['Key']}",
            date=None,
            size=int(entry["Size"]),
            etag=entry["ETag"].strip('"'),
        )
        for entry in answer.get("Contents", ())
        if not entry["Key"].endswith("/")
    )
    folders = tuple(entry["Prefix"] for entry in answer.get("CommonPrefixes", ()))
    token = answer["NextContinuationToken"] if answer.get("IsTruncated") else ""
    return _Page(files, folders, token)
