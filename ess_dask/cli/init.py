"""``ess init``: a pipeline file to begin with."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from ess_dask.cli._options import label_option

if TYPE_CHECKING:
    from ess_dask.catalog.model import Category, Datastore


@click.command("init")
@click.argument("file", default="")
@click.argument("category", default="")
@click.option("--store", metavar="S", default=".", help="Folder, s3://bucket[/prefix] or label.")
@click.option("--pattern", metavar="P", multiple=True, help="Glob pattern; may be repeated.")
@click.option("--category", "name", metavar="C", default="", help="Name of this kind of files.")
@click.option(
    "--columns", "types", metavar="NAME=TYPE", multiple=True, help="In place of the probed type."
)
@click.option("--to", metavar="URL", default="", help="Warehouse (default: the setting).")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@label_option
def init(
    file: str,
    category: str,
    store: str,
    pattern: tuple[str, ...],
    name: str,
    types: tuple[str, ...],
    to: str,
    force: bool,
    label: str,
) -> None:
    """Write a pipeline file from a look at one file.

    Either of the files that match --pattern in --store, or of a registered CATEGORY. FILE is by
    default the category's name with .yaml; without --pattern, a name that ends otherwise is
    CATEGORY. The result can be run as it is.
    """
    from pathlib import Path

    from ess_dask.pipelines.init import probe_pipeline, write_pipeline

    if not (category or pattern) and not file.endswith((".yaml", ".yml")):
        file, category = "", file
    datastore, kind, named = _files(store, pattern, name, category, label)
    made = probe_pipeline(datastore, kind, named, _types(types), to)
    path = Path(file or f"{made.name}.yaml")
    write_pipeline(path, made, force=force)
    shown = shlex.quote(str(path))
    click.echo(f"wrote {path}: {len(made.source.columns)} columns of {kind.name}", err=True)
    click.echo(f"next: ess preview {shown}, then: ess run {shown}", err=True)


def _files(
    store: str, patterns: tuple[str, ...], name: str, registered_name: str, label: str
) -> tuple[Datastore, Category, str]:
    """Return the datastore, the category, and how the pipeline file names the datastore."""
    from ess_dask.catalog.model import Category
    from ess_dask.catalog.registry import registered
    from ess_dask.errors import UsageError
    from ess_dask.pipelines.init import category_name
    from ess_dask.pipelines.prepare import named_store

    if bool(patterns) == bool(registered_name):
        raise UsageError(
            "name either --pattern or a registered CATEGORY",
            hint="ess init shop.yaml --store ./lake --pattern 'purchase_*.gz'",
        )
    if patterns:
        made = Category(name=name or category_name(patterns[0]), patterns=patterns)
        return named_store(store), made, store
    datastore, found = registered(registered_name, label)
    # A bucket by its label: with it goes where its credentials are.
    return datastore, found, datastore.root if datastore.is_local else datastore.label


def _types(pairs: tuple[str, ...]) -> dict[str, str]:
    from ess_dask.errors import UsageError

    types = {}
    for pair in pairs:
        name, equals, text = pair.rpartition("=") if "[" not in pair else pair.partition("=")
        if not equals or not name or not text:
            raise UsageError(
                f"--columns {pair}: not of the form NAME=TYPE", hint="--columns refID=int32"
            )
        types[name] = text
    return types
