"""``ess server``: the databases of this folder and the servers that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ess_dask.cli.udbd import restart_servers, stop_servers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ess_dask.tables.spec import ColumnSpec, DatabaseSpec


@click.group()
def server() -> None:
    """Reset, restart, commit or summarise this folder's databases."""


@server.command()
def reset() -> None:
    """Stop the servers and forget all databases of this folder."""
    from ess_dask.tables.databases import drop_all

    stop_servers()
    drop_all()


@server.command()
def restart() -> None:
    """Drop all data, keep the databases' definitions."""
    restart_servers()


@server.command()
def commit() -> None:
    """Check the definitions and have the servers running."""
    from ess_dask.cluster.local import ensure_started
    from ess_dask.tables.databases import database_names, load_database

    for name in database_names():
        load_database(name)
    ensure_started(lambda text: click.echo(f"ess: {text}", err=True))


@server.command()
@click.option("--name", metavar="DB", help="Only this database.")
def summary(name: str | None) -> None:
    """Show databases, tables, vectors, variables and their columns."""
    from ess_dask.tables.databases import database_names, load_database

    for database in [name] if name else database_names():
        click.echo("\n".join(_describe(load_database(database))))


def _describe(spec: DatabaseSpec) -> list[str]:
    lines = [f" Database: {spec.name} ".center(64, "-")]
    lines += [f"Servers:   {' '.join(spec.servers) or 'none'}", f"Key:       {_columns(spec.key)}"]
    for table in spec.tables:
        lines += [f"{table.kind.capitalize() + ':':<10} {table.name}"]
        lines += [f"           {column}" for column in table.columns]
    if spec.variables:
        lines += ["Variables:", *(f"           {column}" for column in spec.variables)]
    return lines


def _columns(columns: Iterable[ColumnSpec]) -> str:
    return " ".join(str(column) for column in columns) or "none"
