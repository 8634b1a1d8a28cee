"""``ess server``: the databases of this folder and the servers that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ess_dask.cli.udbd import restart_servers, running_servers, stop_servers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ess_dask.tables.registry import TableName
    from ess_dask.tables.session import Session
    from ess_dask.tables.spec import ColumnSpec, DatabaseSpec


@click.group()
def server() -> None:
    """Reset, restart, commit or summarise this folder's databases."""


@server.command()
def reset() -> None:
    """Stop the servers and forget all databases of this folder."""
    from ess_dask.tables.databases import drop_all
    from ess_dask.tables.kept import give_up

    if running_servers():
        stop_servers()
    give_up()
    drop_all()


@server.command()
def restart() -> None:
    """Drop all data, keep the databases' definitions."""
    restart_servers()


@server.command()
def commit() -> None:
    """Check the definitions and have the servers running."""
    from ess_dask.cluster.machines import ensure_started
    from ess_dask.tables.databases import database_names, load_database

    for name in database_names():
        load_database(name)
    ensure_started(lambda text: click.echo(f"ess: {text}", err=True))


@server.command()
@click.option("--name", metavar="DB", help="Only this database.")
def summary(name: str | None) -> None:
    """Show databases, tables, vectors, variables and their columns.

    Then the tables that pipelines and Python hold in the cluster's memory, if it runs.
    """
    from ess_dask.tables.databases import database_names, load_database

    specs = [load_database(database) for database in ([name] if name else database_names())]
    for spec in specs:
        click.echo("\n".join(_describe(spec)))
    held = [] if name else _held_beside(specs)
    if held:
        click.echo("\n".join([" In memory, of no database here ".center(64, "-"), *held]))


def _describe(spec: DatabaseSpec) -> list[str]:
    lines = [f" Database: {spec.name} ".center(64, "-")]
    lines += [f"Servers:   {' '.join(spec.servers) or 'none'}", f"Key:       {_columns(spec.key)}"]
    for table in spec.tables:
        lines += [f"{table.kind.capitalize() + ':':<10} {table.name}"]
        lines += [f"           {column}" for column in table.columns]
    if spec.variables:
        lines += ["Variables:", *(f"           {column}" for column in spec.variables)]
    return lines


def _held_beside(specs: Iterable[DatabaseSpec]) -> list[str]:
    """Describe the tables in memory that no spec names; the cluster is not started."""
    from ess_dask.tables.session import running_session
    from ess_dask.tables.spec import VARIABLES

    session = running_session()
    if session is None:
        return []
    named = {
        f"{spec.name}.{name}".lower()
        for spec in specs
        for name in (*(table.name for table in spec.tables), VARIABLES)
    }
    with session:
        return [_held(session, name) for name in session.names() if str(name).lower() not in named]


def _held(session: Session, name: TableName) -> str:
    with session.store.open(name) as table:
        return f"{name}: {table.count():,} rows of {len(table.sources):,} files"


def _columns(columns: Iterable[ColumnSpec]) -> str:
    return " ".join(str(column) for column in columns) or "none"
