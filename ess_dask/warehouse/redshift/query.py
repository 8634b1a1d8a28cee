"""One statement on a connection of its own."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.warehouse.redshift.connection import connect, translating
from ess_dask.warehouse.redshift.credentials import Ask
from ess_dask.warehouse.redshift.url import Address


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a statement as the driver gives them; without columns it had none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def run_statement(address: Address, statement: str, ask: Ask | None = None) -> Answer:
    """Run one statement in a transaction of its own and return its rows, all in memory.

    Statements that refuse transactions (VACUUM, CREATE DATABASE) work. Raises what ``connect``
    raises, and what ``translate`` makes of the server's answer.
    """
    with closing(connect(address, ask)) as connection, translating():
        connection.autocommit = True
        with closing(connection.cursor()) as cursor:
            cursor.execute(statement)
            if not cursor.description:
                return Answer((), ())
            names = (_text(column[0]) for column in cursor.description)
            return Answer(tuple(names), tuple(map(tuple, cursor.fetchall())))


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
