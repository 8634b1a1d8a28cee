"""Adding, changing, copying and deleting categories (SPEC 2.2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from ess_dask.catalog.datastores import LOCAL
from ess_dask.catalog.dates import compile_dates, dateregex_of_format
from ess_dask.catalog.index import Catalog, Indexed
from ess_dask.catalog.model import Category, Datastore
from ess_dask.catalog.patterns import anchor, filter_of
from ess_dask.catalog.probing import Structure, probe_structure, read_sample
from ess_dask.catalog.registry import find_category, refresh, select_indexed
from ess_dask.catalog.selection import select_files
from ess_dask.catalog.store import find_file
from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError

FIELDS = ("columnspec", "dateformat", "dateregex", "usecache", "comment")
"""What ``change_category`` can change."""

_LETTER = re.compile(r"(?<!\S)[A-Za-z]+(?=[,:])")


@dataclass(frozen=True, slots=True)
class Added:
    """What adding a category did: ``kept`` when it was there and stayed as it was."""

    category: Category
    files: int
    undated: int = 0
    kept: bool = False


def add_category(
    catalog: Catalog,
    store: Datastore,
    category: Category,
    *,
    overwrite: bool = False,
    probe: bool = True,
    letter: str = "",
) -> Added:
    """Register a category, index its files and find out the structure of the first one.

    What ``category`` states (columnspec, delimiter) wins over what is probed; ``letter`` S or X
    replaces every column's type. An existing category stays as it is without ``overwrite``. When
    listing or probing fails, nothing is registered. Raises ``UsageError`` (name, patterns, dates,
    columnspec) and what listing and reading raise.
    """
    check_category(store, category)
    before = catalog.category(store.label, category.name)
    if before is not None and not overwrite:
        files = select_indexed(catalog, store, before)
        return Added(before.category, len(files.files), files.undated, kept=True)
    if store.label == LOCAL:
        # Its root is wherever a later command is started.
        patterns = tuple(anchor(store, pattern) for pattern in category.patterns)
        category = replace(category, patterns=patterns)
    found = catalog.put_category(store.label, category)
    try:
        return _index_and_probe(catalog, store, found, probe, letter)
    except BaseException:
        if before is None:
            catalog.delete_category(store.label, category.name)
        else:
            catalog.put_category(store.label, before.category)
        raise


def check_category(store: Datastore, category: Category) -> None:
    """Raise ``UsageError`` when a category cannot be used as it is stated."""
    if not category.name or re.search(r"\s", category.name):
        raise UsageError(
            f"category name {category.name!r} is blank or holds a blank",
            hint="use letters, digits, - and _",
        )
    filter_of(store, category)
    compile_dates(category.dateregex)
    if category.columnspec:
        _check_columnspec(category.columnspec)


def change_category(catalog: Catalog, store: Datastore, field: str, name: str, value: str) -> None:
    """Change one of ``FIELDS``; raise ``UsageError`` for another one or a value it cannot have.

    ``usecache`` takes ``on`` or ``off``.
    """
    if field not in FIELDS:
        raise UsageError(f"cannot change {field!r}", hint=f"fields are: {', '.join(FIELDS)}")
    category = find_category(catalog, store, name).category
    category = _CHANGES[field](category, value)
    check_category(store, category)
    catalog.put_category(store.label, category)


def copy_category(catalog: Catalog, store: Datastore, source: str, target: str) -> None:
    """Register a category once more under another name; raise ``UsageError`` if that is taken."""
    category = find_category(catalog, store, source).category
    if catalog.category(store.label, target) is not None:
        raise UsageError(f"category {target!r} exists already", hint="delete it first")
    add_category(catalog, store, replace(category, name=target), probe=False)


def delete_category(catalog: Catalog, store: Datastore, name: str) -> None:
    """Forget a category, never its files; raise ``UsageError`` for an unknown one."""
    find_category(catalog, store, name)
    catalog.delete_category(store.label, name)


def sample_category(
    catalog: Catalog, store: Datastore, name: str, path: str | None, size: int
) -> bytes:
    """Return the first ``size`` plain bytes of the file ``path``, or of a category's first file.

    Raises ``UsageError`` when no file matches.
    """
    found = find_category(catalog, store, name)
    if path is not None:
        return read_sample(store, found.category, find_file(store, path), size)
    for file in select_files(store, found.category).files:
        if file.size:
            return read_sample(store, found.category, file, size)
    raise UsageError(f"no file of category {name} holds anything", hint="ess ls --cat shows them")


def probe_category(catalog: Catalog, store: Datastore, name: str, sample: bytes) -> Structure:
    """Replace a category's structure by that of a sample and return it."""
    category = find_category(catalog, store, name).category
    structure = probe_structure(sample)
    bare = replace(category, columnspec="", delimiter="", header=None)
    catalog.put_category(store.label, apply_structure(bare, structure))
    return structure


def apply_structure(category: Category, structure: Structure, letter: str = "") -> Category:
    """Return the category with what was probed, where it states nothing itself."""
    columnspec = category.columnspec or structure.columnspec
    if letter:
        columnspec = _LETTER.sub(letter, columnspec)
    return replace(
        category,
        columnspec=columnspec,
        delimiter=category.delimiter or structure.delimiter,
        header=structure.header if category.header is None else category.header,
    )


def _index_and_probe(
    catalog: Catalog, store: Datastore, found: Indexed, probe: bool, letter: str
) -> Added:
    refresh(catalog, store, found)
    selection = select_indexed(catalog, store, found)
    category = found.category
    sample = next((file for file in selection.files if file.size), None)
    if probe and sample is not None:
        structure = probe_structure(read_sample(store, category, sample))
        category = apply_structure(category, structure, letter)
        catalog.put_category(store.label, category)
    return Added(category, len(selection.files), selection.undated)


def _check_columnspec(text: str) -> None:
    from ess_dask.records.columnspec import parse_items

    parse_items(text)


def _change_usecache(category: Category, value: str) -> Category:
    if value not in {"on", "off"}:
        raise UsageError(f"usecache cannot be {value!r}", hint="use on or off")
    return replace(category, usecache=value == "on")


_CHANGES: dict[str, Callable[[Category, str], Category]] = {
    "columnspec": lambda c, value: replace(c, columnspec=value),
    "dateformat": lambda c, value: replace(c, dateregex=dateregex_of_format(value)),
    "dateregex": lambda c, value: replace(c, dateregex=value),
    "usecache": _change_usecache,
    "comment": lambda c, value: replace(c, comment=value),
}
