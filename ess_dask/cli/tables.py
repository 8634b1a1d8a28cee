"""``ess create``, ``ess drop`` and ``ess use``: the databases of the working folder.

Nothing is printed on success: scripts read the output of what follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ess_dask.tables.spec import Kind


@click.group()
def create() -> None:
    """Create a database, or a table, vector or variable in the current one."""


@create.command("database")
@click.argument("name")
@click.option("--ports", default=1, show_default=True, metavar="N", help="Ports of its own.")
def create_database(name: str, ports: int) -> None:
    """Create a database and make it the current one."""
    from ess_dask.tables import databases

    databases.create_database(name, ports)


@create.command("table")
@click.argument("name")
@click.argument("columns", nargs=-1, metavar="COLUMN...")
def create_table(name: str, columns: tuple[str, ...]) -> None:
    """Create a table: many rows for each key.

    A COLUMN is TYPE[,attr..]:name, such as s,pkey:user or i,tkey:time. Several may be given as
    one quoted text. Types: S F L LS I IS IP. Attributes: pkey tkey +key, and with +key
    +first +last +add +bor +min +max +nozero.
    """
    from ess_dask.tables import databases

    databases.create_table(name, "table", columns)


@create.command("vector")
@click.argument("name")
@click.argument("columns", nargs=-1, metavar="COLUMN...")
def create_vector(name: str, columns: tuple[str, ...]) -> None:
    """Create a vector: one row for each key, into which imported rows merge.

    A COLUMN is TYPE[,attr..]:name, such as s,pkey:user or i,+add:total; without one of +first
    +last +add +bor +min +max the last value stays.
    """
    from ess_dask.tables import databases

    databases.create_table(name, "vector", columns)


@create.command("variable")
@click.argument("columns", nargs=-1, required=True, metavar="COLUMN...")
def create_variable(columns: tuple[str, ...]) -> None:
    """Create variables: one row for the whole database."""
    from ess_dask.tables import databases

    databases.create_variables(columns)


@click.group()
def drop() -> None:
    """Drop a database, or a table, vector or variables of the current one."""


@drop.command("database")
@click.argument("name")
def drop_database(name: str) -> None:
    """Drop a database and what it holds in memory; one that is not there is no error."""
    from ess_dask.tables import databases
    from ess_dask.tables.session import forget_database

    if databases.database_exists(name):
        forget_database(name)
    databases.drop_database(name)


@drop.command("table")
@click.argument("name")
def drop_table(name: str) -> None:
    """Drop a table of the current database and its rows in memory."""
    _drop(name, "table")


@drop.command("vector")
@click.argument("name")
def drop_vector(name: str) -> None:
    """Drop a vector of the current database and its rows in memory."""
    _drop(name, "vector")


@drop.command("variable")
def drop_variable() -> None:
    """Drop the variables of the current database and their values in memory."""
    from ess_dask.tables import databases
    from ess_dask.tables.session import forget_table
    from ess_dask.tables.spec import VARIABLES

    forget_table(databases.require_current(), VARIABLES)
    databases.drop_variables()


def _drop(name: str, kind: Kind) -> None:
    from ess_dask.tables import databases
    from ess_dask.tables.session import forget_table

    databases.require_table(name, kind)
    # Memory first: a definition without rows is no harm, rows without a definition would come back.
    forget_table(databases.require_current(), name)
    databases.drop_table(name, kind)


@click.command()
@click.argument("name")
def use(name: str) -> None:
    """Make a database the current one."""
    from ess_dask.tables import databases

    databases.use_database(name)
