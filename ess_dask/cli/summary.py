"""``ess summary``: what the categories hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from ess_dask.cli._options import format_options, label_option
from ess_dask.errors import UsageError

if TYPE_CHECKING:
    from ess_dask.catalog.index import Catalog, Indexed
    from ess_dask.catalog.model import Category, Datastore
    from ess_dask.catalog.statistics import Statistics
    from ess_dask.cli._render import Format, Value

_SHOWN_LINES = 5


@click.command()
@click.argument("name", metavar="CATEGORY", required=False)
@click.argument("field", metavar="FIELD", required=False)
@click.option("--scan", is_flag=True, help="List the files anew first.")
@click.option("--short", is_flag=True, help="With --scan: total count and size only.")
@click.option("--plot", is_flag=True, help="Draw files by day and stored bytes, as last listed.")
@click.option("--html", metavar="FILE", default="", help="Draw them into a page instead.")
@label_option
@format_options
def summary(
    name: str | None, field: str | None, scan: bool, short: bool, plot: bool, html: str,
    label: str, form: Format,
) -> None:  # fmt: skip
    """Show all categories, one category, or one FIELD of it.

    FIELD is pkey, columnspec, schema, delimiter, compression or preprocess.
    """
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.registry import find_category, find_store, refresh

    if (plot or html) and (field or short or form != "table"):
        raise UsageError(
            "--plot and --html draw; they go with no FIELD, --short or other format",
            hint="leave one of them out",
        )
    with open_catalog() as catalog:
        store = find_store(catalog, label)
        found = [find_category(catalog, store, name)] if name else catalog.categories(store.label)
        if field:
            click.echo(_field(found[0].category, field))
            return
        for indexed in found if scan else ():
            refresh(catalog, store, indexed)
        if plot or html:
            _draw(catalog, store, found, html)
        elif short or not name:
            _show_all(catalog, store, found, form, short)
        else:
            _show_one(catalog, store, found[0], form)


def _draw(catalog: Catalog, store: Datastore, found: list[Indexed], html: str) -> None:
    from ess_dask.cli._plots import plot_page, plot_text, write_html

    drawn = {each.category.name: catalog.coverage(each) for each in found}
    place = f"{store.label} ({store.root})"
    if html:
        write_html(html, plot_page(drawn, place))
    else:
        click.echo("\n".join(plot_text(drawn, place)))


def _field(category: Category, field: str) -> str:
    fields: dict[str, Callable[[Category], str]] = {
        "pkey": lambda c: c.pkey,
        "columnspec": lambda c: c.columnspec,
        "schema": _schema,
        "delimiter": lambda c: c.delimiter,
        "compression": lambda c: c.compression or "auto",
        "preprocess": lambda c: c.preprocess,
    }
    if field not in fields:
        raise UsageError(f"no field {field!r}", hint=f"fields are: {', '.join(fields)}")
    return fields[field](category)


def _schema(category: Category) -> str:
    from ess_dask.records.columnspec import parse_columnspec

    columns = parse_columnspec(category.columnspec) if category.columnspec else ()
    return "\n".join(f"{column.name} {column.type.name}" for column in columns)


def _show_all(
    catalog: Catalog, store: Datastore, found: list[Indexed], form: Format, short: bool
) -> None:
    from ess_dask.catalog.statistics import statistics
    from ess_dask.cli._render import Table, aligned, human_size, render

    all_ = [statistics(catalog, store, indexed) for indexed in found]
    if short:
        count, size = sum(s.count for s in all_), sum(s.size for s in all_)
        if form == "table":
            click.echo(f"{count} files, {human_size(size)}")
        else:
            render(Table(("Count", "Size"), [(count, size)]), form)
        return
    columns = ("Name", "Count", "Size", "first", "last")
    if form != "table":
        names = tuple(column.lower() for column in columns)
        render(Table(names, [(s.name, s.count, s.size, *_range(s)) for s in all_]), form)
        return
    rows = [(s.name, s.count, human_size(s.size), *_range(s)) for s in all_]
    lines = aligned(Table(columns, rows), right=("Count", "Size"))
    click.echo(_banner(store, max(map(len, lines))))
    # The original ends its table with a blank; scripts that compare output know it so.
    click.echo("\n".join(lines) + " ")


def _banner(store: Datastore, width: int) -> str:
    line = "-" * max(width, 50)
    return f"{line}\nDatastore: {store.label} ({store.root})\n{line}\n\nFile summary\n"


def _range(statistics: Statistics) -> tuple[str, str]:
    from ess_dask.cli._render import show_date

    return show_date(statistics.first), show_date(statistics.last)


def _show_one(catalog: Catalog, store: Datastore, found: Indexed, form: Format) -> None:
    from ess_dask.catalog.statistics import statistics
    from ess_dask.cli._render import Table, human_size, render
    from ess_dask.markup import printable

    figures = statistics(catalog, store, found)
    values = _block(found.category, figures)
    if form != "table":
        render(Table(tuple(values), [tuple(values.values())]), form)
        return
    values["Total size"] = human_size(figures.size)
    width = max(map(len, values)) + 1
    for key, value in values.items():
        click.echo(f"{key + ':':<{width}} {printable(str(value))}".rstrip())
    lines = _first_lines(catalog, store, found)
    if lines:
        click.echo("\nFirst few lines:")
        for line in lines:
            click.echo(printable(line))


def _block(category: Category, figures: Statistics) -> dict[str, Value]:
    regex = category.dateregex
    spec = category.columnspec
    return {
        "Name": category.name,
        "Pattern": " ".join(category.patterns),
        "Exclude": " ".join(category.exclude),
        "Date Format": regex if regex in {"auto", "none"} else "custom",
        "Date Regex": regex,
        "Archive": category.archive,
        "Delimiter": category.delimiter,
        "# of files": figures.count,
        "# undated": figures.undated,
        "Total size": figures.size,
        "File range": " - ".join(_range(figures)),
        "# columns": len(_schema(category).splitlines()),
        "Column Spec": spec,
        "Preprocess": category.preprocess,
        "usecache": category.usecache,
        "Primary key": category.pkey,
        "Comment": category.comment,
    }


def _first_lines(catalog: Catalog, store: Datastore, found: Indexed) -> list[str]:
    from ess_dask.catalog.categories import sample_category

    try:
        sample = sample_category(catalog, store, found.category.name, None, 64 << 10)
    except UsageError:
        return []
    return sample.decode("utf-8", "replace").splitlines()[:_SHOWN_LINES]
