"""``ess ls``, ``ess cat``, ``ess lsa``, ``ess probe``: looking at files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ess_dask.cli._options import exclude_option, format_options, label_option, limit_option
from ess_dask.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ess_dask.catalog.model import Datastore, FileRef
    from ess_dask.catalog.probing import Structure
    from ess_dask.cli._render import Format


@click.command()
@click.argument("pattern", required=False)
@click.option("-r", "deep", is_flag=True, help="Enter folders.")
@click.option(
    "--cat", "name", metavar="[C]", is_flag=False, flag_value="",
    help="The files of category C; without C, those of each category.",
)  # fmt: skip
@click.option("--from", "lower", metavar="DATE", help="First date (inclusive) of a category.")
@click.option("--to", "upper", metavar="DATE", help="Last date (inclusive) of a category.")
@click.option("--dateregex", metavar="R", default="auto", help="How to find dates in names.")
@click.option("--nameonly", is_flag=True, help="Names only.")
@click.option("--nosize", is_flag=True, help="Without sizes.")
@click.option("--nodate", is_flag=True, help="Without dates.")
@exclude_option
@limit_option
@label_option
@format_options
def ls(
    pattern: str | None, deep: bool, name: str | None, lower: str | None, upper: str | None,
    dateregex: str, nameonly: bool, nosize: bool, nodate: bool, exclude: tuple[str, ...],
    limit: int | None, label: str, form: Format,
) -> None:  # fmt: skip
    """List the files of a folder, a pattern or a category.

    Without PATTERN: what lies in the root of the datastore; a folder's name ends with /.
    """
    from ess_dask.catalog.patterns import split_patterns
    from ess_dask.cli._render import Table, render, show_date

    excluded = tuple(glob for text in exclude for glob in split_patterns(text))
    found: Iterable[tuple[str, FileRef]]
    if name is not None:
        bounds = (lower or "*", upper or "*")
        found = _category_files(name, bounds, label, excluded, limit)
    elif lower or upper:
        raise UsageError("--from and --to choose files of a category", hint="name it with --cat")
    else:
        files = _matching_files(pattern, deep, label, excluded, limit, dateregex)
        found = (("", file) for file in files)
    hidden = {"size"} if nosize or nameonly else set()
    hidden |= {"date"} if nodate or nameonly else set()
    hidden |= {"category"} if name != "" else set()
    columns = tuple(c for c in ("category", "name", "size", "date") if c not in hidden)
    rows = []
    for category, file in found:
        size = None if file.uri.endswith("/") else file.size
        values = {"name": file.uri, "size": size, "date": show_date(file.date)}
        values["category"] = category
        rows.append([values[column] for column in columns])
    if not rows:
        click.echo("ess: no file matches", err=True)
    render(Table(columns, rows, sizes=("size",)), form, title=form == "csv")


@click.command()
@click.argument("file")
@click.option("--decompress", is_flag=True, help="Plain bytes; of an archive, all members'.")
@label_option
def cat(file: str, decompress: bool, label: str) -> None:
    """Write a file's bytes to stdout."""
    from ess_dask.catalog.registry import current_store
    from ess_dask.catalog.store import check_version, find_file

    store = current_store(label)
    found = find_file(store, file)
    for block in _plain(store, found) if decompress else _stored(store, found):
        sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
    check_version(store, found)


@click.command()
@click.argument("archive")
@click.option("--pattern", metavar="G", default="", help="Only members that match.")
@label_option
@format_options
def lsa(archive: str, pattern: str, label: str, form: Format) -> None:
    """List the members of an archive."""
    from ess_dask.catalog.registry import current_store
    from ess_dask.catalog.store import find_file, open_file
    from ess_dask.cli._render import Table, render
    from ess_dask.records.archives import list_members
    from ess_dask.records.chunk import FileSource

    store = current_store(label)
    found = find_file(store, archive)
    members = list_members(FileSource(found.uri, lambda: open_file(store, found)), pattern)
    rows = [(member.name, member.size) for member in members]
    render(Table(("name", "size"), rows, sizes=("size",)), form, title=form == "csv")


@click.command()
@click.argument("name", metavar="CATEGORY")
@click.option("--file", "file", metavar="F", help="The file to look at (default: the first).")
@click.option("--pcmd", metavar="CMD", help="A command to run on the sample instead.")
@click.option("--size", metavar="BYTES", type=click.IntRange(min=1), help="Size of the sample.")
@label_option
@format_options
def probe(
    name: str, file: str | None, pcmd: str | None, size: int | None, label: str, form: Format
) -> None:
    """Find out a category's structure again and keep it."""
    from ess_dask.catalog.categories import probe_category, sample_category
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.probing import SAMPLE_BYTES, preprocess
    from ess_dask.catalog.registry import find_store

    with open_catalog() as catalog:
        store = find_store(catalog, label)
        sample = sample_category(catalog, store, name, file, size or SAMPLE_BYTES)
        if pcmd:
            sys.stdout.buffer.write(preprocess(sample, pcmd))
            sys.stdout.buffer.flush()
            return
        _show(probe_category(catalog, store, name, sample), form)


def _show(structure: Structure, form: Format) -> None:
    from dataclasses import asdict

    from ess_dask.cli._render import Table, render

    values = asdict(structure)
    if form == "table":
        rows = [(key, str(value)) for key, value in values.items()]
        render(Table(("", ""), rows), form, title=False)
    else:
        render(Table(tuple(values), [tuple(values.values())]), form)


def _category_files(
    name: str, bounds: tuple[str, str], label: str, exclude: tuple[str, ...], limit: int | None
) -> Iterator[tuple[str, FileRef]]:
    """Yield the files of a category, or of each when there is no name, with the category's name."""
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.registry import find_store, select_registered

    names = [name]
    if not name:
        with open_catalog() as catalog:
            store = find_store(catalog, label)
            names = [found.category.name for found in catalog.categories(store.label)]
    for each in names:
        selected = select_registered(each, *bounds, label=label, exclude=exclude, limit=limit)[2]
        yield from ((each, file) for file in selected.files)


def _matching_files(
    pattern: str | None, deep: bool, label: str, exclude: tuple[str, ...], limit: int | None,
    dateregex: str,
) -> Iterable[FileRef]:  # fmt: skip
    from ess_dask.catalog.listing import list_folder, list_matching
    from ess_dask.catalog.patterns import compile_patterns, split_patterns
    from ess_dask.catalog.registry import current_store
    from ess_dask.catalog.selection import dated

    store = current_store(label)
    if pattern is None or pattern.endswith("/"):
        files = list_folder(store, pattern or "", exclude, deep=deep)
    else:
        files = list_matching(store, compile_patterns(store, split_patterns(pattern), exclude))
    return dated(sorted(files, key=lambda file: file.uri)[:limit], dateregex)


def _stored(store: Datastore, file: FileRef) -> Iterator[bytes]:
    from ess_dask.catalog.store import open_file

    with open_file(store, file) as stream:
        while block := stream.read(1 << 20):
            yield block


def _plain(store: Datastore, file: FileRef) -> Iterator[bytes]:
    from ess_dask.catalog.store import open_file
    from ess_dask.records.chunk import FileSource
    from ess_dask.records.codecs import read_blocks
    from ess_dask.records.spec import ReadSpec

    return read_blocks(FileSource(file.uri, lambda: open_file(store, file)), ReadSpec(()))
