"""``ess redshift sql``: one statement, its rows on stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ess_dask.cli._options import format_options
from ess_dask.cli._redshift import choose, cluster_options
from ess_dask.cli._render import Format, Table, Value, render
from ess_dask.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


@click.command()
@click.argument("statement")
@cluster_options
@format_options
def sql(statement: str, url: str, label: str, password_stdin: bool, form: Format) -> None:
    """Run one SQL statement, outside of a transaction, and print its rows.

    STATEMENT - reads it from the standard input. The cluster is that of --url, of --label, of the
    setting `warehouse`, or the one registered last. A statement without rows prints nothing.
    """
    from ess_dask.warehouse.redshift.query import run_statement

    if statement == "-":
        if password_stdin:
            raise UsageError("the statement and the password cannot both come from stdin")
        statement = sys.stdin.read()
    if not statement.strip():
        raise UsageError("there is no statement", hint='ess redshift sql "select 1"')
    chosen = choose(url, label, password_stdin)
    answer = run_statement(chosen.url.address, statement, chosen.ask)
    if answer.columns:
        rows = [tuple(map(_shown, row)) for row in answer.rows]
        render(Table(_distinct(answer.columns), rows), form)


def _shown(value: Any) -> Value:
    """Return a value as the listings know it: exact decimals, dates and bytes as text."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return value.hex() if isinstance(value, bytes | bytearray) else str(value)


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Number the names that come again: an object of JSON has each once."""
    found: list[str] = []
    for name in names:
        number = 2
        shown = name
        while shown in found:
            shown, number = f"{name}_{number}", number + 1
        found.append(shown)
    return tuple(found)
