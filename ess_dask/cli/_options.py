"""Options that several commands share, as decorators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ess_dask.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("table", "csv", "json", "ndjson")


def label_option(command: F) -> F:
    """``--label L``: the datastore to use in place of the current one."""
    option = click.option("--label", metavar="L", default="", help="Datastore (default: current).")
    return option(command)


def format_options(command: F) -> F:
    """``--format`` and ``--json``, both as the argument ``form``."""
    command = click.option(
        "--format", "form", type=click.Choice(FORMATS), default="table", help="How to print rows."
    )(command)
    return click.option(
        "--json", "form", flag_value="json", default=None, help="The same as --format json."
    )(command)


def exclude_option(command: F) -> F:
    """``--exclude GLOB``, repeatable, blanks separate patterns; as a tuple of texts."""
    option = click.option(
        "--exclude", metavar="GLOB", multiple=True, help="Leave out files that match."
    )
    return option(command)


def keep_tables_option(command: F) -> F:
    """``--keep-tables``, as the argument ``keep_tables``."""
    option = click.option(
        "--keep-tables", is_flag=True, help="Save the tables; the next start brings them back."
    )
    return option(command)


def limit_option(command: F) -> F:
    """``--limit N``: at most so many files."""
    option = click.option(
        "--limit", metavar="N", type=click.IntRange(min=0), help="At most so many files."
    )
    return option(command)


def set_option(command: F) -> F:
    """``--set PATH=VALUE``, repeatable, as the argument ``overrides``."""
    option = click.option(
        "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Change a field."
    )
    return option(command)


def pipeline_options(command: Any) -> Any:
    """Options that every command on a pipeline has."""
    options = [
        click.argument("pipeline"),
        click.option(
            "--from", "lower", default="*", metavar="DATE", help="First date (inclusive)."
        ),
        click.option("--to", "upper", default="*", metavar="DATE", help="Last date (inclusive)."),
        set_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def check_key_pair(access_key: str, secret_key: str) -> None:
    """Raise ``UsageError`` for one of ``--aws_access_key`` and ``--aws_secret_access_key``."""
    if bool(access_key) != bool(secret_key):
        raise UsageError(
            "--aws_access_key and --aws_secret_access_key belong together",
            hint="give both, or neither: the environment, a profile or a role then has them",
        )
