"""Streamed listing of the files that match, from a folder or a bucket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ess_dask.catalog.model import Category, Datastore, FileRef
from ess_dask.catalog.patterns import PathFilter, compile_patterns, filter_of, literal


def list_files(
    store: Datastore, category: Category, exclude: Iterable[str] = ()
) -> Iterator[FileRef]:
    """Yield the files of a category as they are now, undated, in no particular order.

    Memory is bounded whatever the number of files. Raises ``AccessError`` (denied, no such bucket)
    and ``TransientError`` (network); never ends early without an error.
    """
    yield from list_matching(store, filter_of(store, category, exclude))


def list_matching(store: Datastore, wanted: PathFilter) -> Iterator[FileRef]:
    """Yield the files of a datastore that pass a filter, undated, in no particular order."""
    if store.is_local:
        from ess_dask.catalog.local import list_local

        yield from list_local(wanted)
        return
    from ess_dask.catalog.s3_listing import list_s3

    yield from list_s3(store, wanted)


def list_folder(
    store: Datastore, folder: str, exclude: Iterable[str] = (), *, deep: bool = False
) -> Iterator[FileRef]:
    """Yield what lies in a folder ('' is the root): files, and folders as uris that end with ``/``.

    With ``deep``, the files of all folders below and no folders.
    """
    pattern = f"{literal(folder.rstrip('/'))}/*" if folder else "*"
    wanted = compile_patterns(store, (pattern,), exclude)
    yield from list_matching(store, replace(wanted, deep=deep))
