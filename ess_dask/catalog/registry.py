"""What is registered, as the commands and the API use it: by label and name, index kept fresh."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ess_dask.catalog.bounds import OPEN, Bounds, parse_bounds
from ess_dask.catalog.datastores import LOCAL, local_datastore
from ess_dask.catalog.dates import compile_dates
from ess_dask.catalog.index import Catalog, Indexed, open_catalog
from ess_dask.catalog.listing import list_files
from ess_dask.catalog.model import Category, Datastore
from ess_dask.catalog.patterns import compile_patterns
from ess_dask.catalog.selection import Selection, select_from
from ess_dask.errors import UsageError

_CURRENT = "current"


def find_store(catalog: Catalog, label: str = "") -> Datastore:
    """Return the datastore with this label, or the current one.

    Raises ``UsageError`` when there is none, naming those there are.
    """
    wanted = label or catalog.setting(_CURRENT)
    if not wanted:
        raise UsageError("no datastore is selected", hint="ess select local, or s3://bucket")
    store = catalog.datastore(wanted)
    if store is None:
        known = ", ".join(s.label for s in catalog.datastores())
        raise UsageError(
            f"unknown datastore {wanted!r}",
            hint=f"known are: {known}" if known else "choose one: ess select FOLDER|s3://bucket",
        )
    return local_datastore() if store.label == LOCAL else store


def current_store(label: str = "") -> Datastore:
    """Return the datastore with this label, or the current one, from the catalogue on disk."""
    with open_catalog() as catalog:
        return find_store(catalog, label)


def select_store(catalog: Catalog, store: Datastore) -> None:
    """Register a datastore and make it the current one."""
    # The root of `local` is the current folder at each use, so none is stored.
    catalog.put_datastore(replace(store, root="") if store.label == LOCAL else store)
    catalog.remember(_CURRENT, store.label)


def forget_store(catalog: Catalog, label: str) -> bool:
    """Forget a datastore with its categories, never data; say whether it was known."""
    if catalog.setting(_CURRENT) == label:
        catalog.remember(_CURRENT, "")
    return catalog.delete_datastore(label)


def current_label(catalog: Catalog) -> str:
    """Return the label of the current datastore, or ''."""
    return catalog.setting(_CURRENT)


def find_category(catalog: Catalog, store: Datastore, name: str) -> Indexed:
    """Return a category of a datastore; raise ``UsageError`` naming those there are."""
    found = catalog.category(store.label, name)
    if found is None:
        known = ", ".join(i.category.name for i in catalog.categories(store.label))
        raise UsageError(
            f"unknown category {name!r} in datastore {store.label}",
            hint=f"known are: {known}" if known else "register it: ess category add NAME PATTERN",
        )
    return found


def registered(name: str, label: str = "") -> tuple[Datastore, Category]:
    """Return a registered category and its datastore, from the catalogue on disk."""
    with open_catalog() as catalog:
        store = find_store(catalog, label)
        return store, find_category(catalog, store, name).category


def select_registered(
    name: str,
    lower: str = OPEN,
    upper: str = OPEN,
    *,
    label: str = "",
    exclude: Iterable[str] = (),
    limit: int | None = None,
) -> tuple[Datastore, Category, Selection]:
    """Return the files of a registered category with ``lower <= date <= upper``, in order.

    The index is refreshed by a new listing first, unless the category says ``usecache``. Raises
    ``UsageError`` (unknown names, bad bounds) and what a listing raises.
    """
    with open_catalog() as catalog:
        store = find_store(catalog, label)
        found = find_category(catalog, store, name)
        bounds = parse_bounds(lower, upper, compile_dates(found.category.dateregex))
        if not found.category.usecache:
            refresh(catalog, store, found)
        selection = select_indexed(catalog, store, found, bounds, exclude, limit)
    return store, found.category, selection


def refresh(catalog: Catalog, store: Datastore, found: Indexed) -> None:
    """Make the index of a category equal to what is there now."""
    category = found.category
    catalog.refresh(found.number, list_files(store, category), category.dateregex)


def select_indexed(
    catalog: Catalog,
    store: Datastore,
    found: Indexed,
    bounds: Bounds | None = None,
    exclude: Iterable[str] = (),
    limit: int | None = None,
) -> Selection:
    """Return files of a category from its index as it is."""
    unwanted = compile_patterns(store, (), exclude).unwanted
    files = (f for f in catalog.files(found.number) if not unwanted.fullmatch(f.uri))
    dates = compile_dates(found.category.dateregex)
    return select_from(files, dates, bounds or Bounds(), limit)
