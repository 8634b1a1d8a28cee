"""``ess category``: files that belong together, by patterns and the date in their name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ess_dask.cli._options import exclude_option, label_option
from ess_dask.errors import UsageError

if TYPE_CHECKING:
    from ess_dask.catalog.categories import Added


@click.group()
def category() -> None:
    """Add, change, copy or delete categories of files."""


@category.command()
@click.argument("name")
@click.argument("pattern")
@exclude_option
@click.option("--dateregex", metavar="R", help="auto, none or a pattern with [:%Y:] classes.")
@click.option("--dateformat", metavar="F", help="Deprecated: letters Y y M D h m s Z P #.")
@click.option("--archive", metavar="GLOB", default="", help="Members to take from archives.")
@click.option("--compression", metavar="T", default="", help="Force one; none for plain files.")
@click.option("--preprocess", metavar="CMD", default="", help="Shell filter before probing.")
@click.option("--delimiter", metavar="D", default="", help="In place of the probed one.")
@click.option("--columnspec", metavar="SPEC", default="", help="In place of the probed one.")
@click.option("--pkey", metavar="COL", default="", help="Key column, remembered.")
@click.option("--comment", metavar="TXT", default="", help="A note, remembered.")
@click.option("--usecache", is_flag=True, help="Do not list the files anew at each use.")
@click.option("--noprobe", is_flag=True, help="Index the files only.")
@click.option("--alls", is_flag=True, help="All columns are strings.")
@click.option("--allx", is_flag=True, help="All columns are skipped.")
@click.option("--overwrite", is_flag=True, help="Replace an existing category.")
@label_option
def add(
    name: str, pattern: str, label: str, noprobe: bool, overwrite: bool, alls: bool, allx: bool,
    exclude: tuple[str, ...], dateregex: str | None, dateformat: str | None, **fields: Any,
) -> None:  # fmt: skip
    """Register the files that match PATTERN and find out their structure."""
    from ess_dask.catalog.categories import add_category
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.model import Category
    from ess_dask.catalog.patterns import split_patterns
    from ess_dask.catalog.registry import find_store

    if alls and allx:
        raise UsageError("--alls and --allx exclude each other")
    wanted = Category(
        name=name,
        patterns=split_patterns(pattern),
        exclude=tuple(glob for text in exclude for glob in split_patterns(text)),
        dateregex=_dateregex(dateregex, dateformat),
        **fields,
    )
    letter = "S" if alls else "X" if allx else ""
    with open_catalog() as catalog:
        store = find_store(catalog, label)
        added = add_category(
            catalog, store, wanted, overwrite=overwrite, probe=not noprobe, letter=letter
        )
    _tell(added)


@category.command()
@click.argument("field")
@click.argument("name")
@click.argument("value", required=False)
@click.option("--usecache/--nocache", "usecache", default=None, help="For the field usecache.")
@label_option
def change(field: str, name: str, value: str | None, usecache: bool | None, label: str) -> None:
    """Change columnspec, dateformat, dateregex, usecache or comment of a category."""
    from ess_dask.catalog.categories import FIELDS, change_category
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.registry import find_store

    if field not in FIELDS and name in FIELDS:
        # The manual shows both orders for usecache.
        field, name = name, field
    if field == "usecache" and value is None:
        value = "off" if usecache is False else "on"
    if value is None:
        raise UsageError(f"a value for {field} is needed")
    with open_catalog() as catalog:
        change_category(catalog, find_store(catalog, label), field, name, value)


@category.command()
@click.argument("source")
@click.argument("target")
@label_option
def copy(source: str, target: str, label: str) -> None:
    """Register a category once more under another name."""
    from ess_dask.catalog.categories import copy_category
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.registry import find_store

    with open_catalog() as catalog:
        copy_category(catalog, find_store(catalog, label), source, target)


@category.command()
@click.argument("name")
@label_option
def delete(name: str, label: str) -> None:
    """Forget a category, never its files."""
    from ess_dask.catalog.categories import delete_category
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.registry import find_store

    with open_catalog() as catalog:
        delete_category(catalog, find_store(catalog, label), name)


def _dateregex(dateregex: str | None, dateformat: str | None) -> str:
    from ess_dask.catalog.dates import dateregex_of_format

    if dateregex is not None and dateformat is not None:
        raise UsageError("--dateregex and --dateformat exclude each other")
    if dateformat is not None:
        return dateregex_of_format(dateformat)
    return "auto" if dateregex is None else dateregex


def _tell(added: Added) -> None:
    """Say on stderr what a person may not expect; set-up commands print nothing on stdout."""
    name = added.category.name
    if added.kept:
        click.echo(f"ess: category {name} is kept as it was; --overwrite replaces it", err=True)
    if not added.files:
        click.echo(f"ess: no file matches category {name}", err=True)
    if added.undated and added.undated < added.files:
        note = f"{added.undated} of {added.files} files have no date in their name"
        click.echo(f"ess: category {name}: {note}", err=True)
