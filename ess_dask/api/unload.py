"""Rows of a Redshift query: as a frame, as files, or as a category of a datastore."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, overload

from ess_dask.api.forms import as_frame, as_polars
from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from ess_dask.catalog.model import Category, Datastore
    from ess_dask.warehouse.redshift.unload import Destination, Shape, Unloaded, UnloadedFile
    from ess_dask.warehouse.redshift.url import RedshiftURL
    from ess_dask.warehouse.redshift.warehouse import RedshiftWarehouse


FORMS = ("pandas", "arrow", "polars")


@overload
def unload(query: str, url: str = ..., *, form: Literal["pandas"] = ...) -> pd.DataFrame: ...
@overload
def unload(query: str, url: str = ..., *, form: Literal["arrow"]) -> pa.Table: ...
@overload
def unload(query: str, url: str = ..., *, form: Literal["polars"]) -> pl.DataFrame: ...
@overload
def unload(
    query: str,
    url: str = ...,
    *,
    to: str,
    format: Literal["parquet", "csv"] = ...,
    header: bool = ...,
    overwrite: bool = ...,
) -> list[UnloadedFile]: ...


def unload(
    query: str,
    url: str = "",
    *,
    to: str = "",
    form: Literal["pandas", "arrow", "polars"] = "pandas",
    format: Literal["parquet", "csv"] = "parquet",  # noqa: A002 - the word of Redshift
    header: bool = False,
    overwrite: bool = False,
) -> Any:
    """Return the rows of a query on Redshift, or write them to S3 and return the files.

    ``query`` is a SELECT, or the name of a table. ``url`` is a Redshift URL (default: the setting
    ``warehouse``). Without ``to`` the rows come back in this process as ``form``: pandas (columns
    in Arrow), a ``pyarrow.Table`` or Polars; on their way they lie below the URL's ``stage``, in no
    particular order, and are removed afterwards. With ``to``, which is ``s3://bucket/prefix`` or
    ``LABEL:PATH`` of a datastore, the names of the files begin with it; a list of ``UnloadedFile``
    (url, rows, bytes) comes back.

    Raises ``ConfigError`` (no stage, no such label), ``DataError`` (the query's errors, files that
    are there already), ``AccessError`` and ``TransientError``.
    """
    from ess_dask.warehouse.redshift.unload import Shape

    if form not in FORMS:
        raise UsageError(f"{form!r} is no form of rows", hint=f"it is one of {', '.join(FORMS)}")
    warehouse = _warehouse(url)
    if not to:
        return _in_form(_fetch(warehouse, query), form)
    shape = Shape(format, header, overwrite)
    return list(unload_files(warehouse.url, Request(query, to, shape)).files)


@dataclass(frozen=True, slots=True)
class Request:
    """What to unload and where to. ``category`` is the name of a category that the files (CSV)
    become, '' for none."""

    query: str
    to: str
    shape: Shape
    category: str = ""


def unload_files(url: RedshiftURL, request: Request) -> Unloaded:
    """Unload to files, and register them as a category where one is named; return what was written.

    Raises ``UsageError`` for a target that is no place in S3 and for a category of Parquet files or
    one that is there already (without ``overwrite``), and what ``run_unload`` raises.
    """
    from ess_dask.warehouse.redshift.unload import run_unload
    from ess_dask.warehouse.redshift.warehouse import RedshiftWarehouse

    where = destination(request.to)
    if request.category:
        _check_category(where, request)
    unloaded = run_unload(RedshiftWarehouse(url), request.query, where, request.shape)
    if request.category:
        _register(where, request, unloaded)
    return unloaded


def destination(text: str) -> Destination:
    """Return the place that ``s3://bucket/prefix`` or ``LABEL:PATH`` names.

    Of a url the registered datastore that holds it says with which right we look there, if there is
    one. Raises ``UsageError`` for a place that is not in S3, or names no prefix.
    """
    from ess_dask.catalog.datastores import make_datastore
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.registry import find_store
    from ess_dask.warehouse.redshift.unload import Destination

    hint = "write s3://bucket/prefix, or LABEL:PATH of a datastore in S3"
    with open_catalog() as catalog:
        if text.startswith("s3://"):
            bucket, _, prefix = text.removeprefix("s3://").partition("/")
            if not bucket or not prefix:
                raise UsageError(f"{text!r} names no place in a bucket", hint=hint)
            around = [each for each in catalog.datastores() if _holds(each, text)]
            nearest = max(around, key=lambda each: len(each.root), default=None)
            return Destination(nearest or make_datastore(f"s3://{bucket}"), text)
        label, colon, path = text.partition(":")
        if not colon or not label or not path.strip("/"):
            raise UsageError(f"{text!r} is no place for files", hint=hint)
        store = find_store(catalog, label)
    if store.is_local:
        raise UsageError(f"Redshift cannot write into the folder {store.root}", hint=hint)
    return Destination(store, f"{store.root.rstrip('/')}/{path.lstrip('/')}")


def _holds(store: Datastore, url: str) -> bool:
    return not store.is_local and url.startswith(f"{store.root.rstrip('/')}/")


def _warehouse(url: str) -> RedshiftWarehouse:
    from ess_dask.settings import load_settings
    from ess_dask.warehouse.redshift.url import parse_url
    from ess_dask.warehouse.redshift.warehouse import RedshiftWarehouse

    return RedshiftWarehouse(parse_url(url or load_settings().warehouse))


def _fetch(warehouse: RedshiftWarehouse, query: str) -> pa.Table:
    """Unload below the stage, read, and remove what was staged, however it ended."""
    from ess_dask.catalog.datastores import make_datastore
    from ess_dask.runs.model import new_run_id
    from ess_dask.warehouse.redshift.unload import (
        Destination,
        Shape,
        read_back,
        remove_unloaded,
        run_unload,
    )

    folder = warehouse.staged_at(f"unload-{new_run_id()}")
    where = Destination(make_datastore(folder), f"{folder}/")
    try:
        return read_back(where, run_unload(warehouse, query, where, Shape()))
    finally:
        # What is wrong with the unload itself counts; what stays is named by its time.
        with suppress(EssError):
            remove_unloaded(where)


def _in_form(table: pa.Table, form: str) -> Any:
    if form == "arrow":
        return table
    return as_polars(table) if form == "polars" else as_frame(table)


def _check_category(where: Destination, request: Request) -> None:
    """Raise before anything is unloaded when the files could not become a category."""
    from ess_dask.catalog.categories import check_category
    from ess_dask.catalog.index import open_catalog

    if request.shape.format != "csv":
        raise UsageError("a category is made of text files", hint="unload with --format csv")
    check_category(where.store, _category(where, request, "", None))
    with open_catalog() as catalog:
        if catalog.datastore(where.store.label) is None:
            raise UsageError(
                f"no datastore holds {where.prefix}, so it cannot have a category",
                hint="ess select s3://BUCKET first",
            )
        known = catalog.category(where.store.label, request.category)
        if known is not None and not request.shape.overwrite:
            raise UsageError(
                f"datastore {where.store.label} has a category {request.category} already",
                hint="take another name, or overwrite it",
            )


def _register(where: Destination, request: Request, unloaded: Unloaded) -> None:
    from ess_dask.catalog.categories import add_category
    from ess_dask.catalog.index import open_catalog
    from ess_dask.records.columnspec import spec_names
    from ess_dask.warehouse.redshift.unload import spec_letters

    columns = unloaded.columns
    names = spec_names([column.name for column in columns])
    pairs = zip(spec_letters(columns), names, strict=True)
    spec = " ".join(f"{letter}:{name}" for letter, name in pairs)
    made = _category(where, request, spec, request.shape.header)
    with open_catalog() as catalog:
        add_category(catalog, where.store, made, overwrite=True, probe=False)


def _category(
    where: Destination, request: Request, columnspec: str, header: bool | None
) -> Category:
    from ess_dask.catalog.model import Category
    from ess_dask.warehouse.redshift.unload import files_pattern

    return Category(
        name=request.category,
        patterns=(files_pattern(where, request.shape),),
        dateregex="none",
        delimiter=",",
        columnspec=columnspec,
        header=header,
        comment="unloaded from Redshift",
    )
