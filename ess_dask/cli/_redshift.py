"""What the commands of ``ess redshift`` share: which cluster is meant, and its password."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from ess_dask.cli._render import say
from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError

if TYPE_CHECKING:
    from ess_dask.warehouse.redshift.credentials import Ask
    from ess_dask.warehouse.redshift.url import Address, RedshiftURL

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Chosen:
    """The cluster that the options of a command name, and how its password is asked for."""

    url: RedshiftURL
    ask: Ask | None

    def with_password(self) -> RedshiftURL:
        """Return the URL for work that cannot ask: a person is asked now, where nobody else knows
        the password."""
        from ess_dask.warehouse.redshift.credentials import VARIABLE, resolve

        address = self.url.address
        known = address.password or address.secret or address.iam or os.environ.get(VARIABLE)
        if known or self.ask is None:
            return self.url
        login = resolve(address, self.ask)
        found = replace(login.address, password=login.credentials.password)
        return replace(self.url, address=found)


def cluster_options(command: F) -> F:
    """``--url``, ``--label`` and ``--password-stdin``; pass them to ``choose``."""
    command = click.option(
        "--password-stdin", is_flag=True, help="Read the password from the standard input."
    )(command)
    command = click.option("--label", metavar="L", default="", help="A registered cluster.")(
        command
    )
    return click.option("--url", metavar="URL", default="", help="A Redshift URL.")(command)


def table_cluster_options(command: F) -> F:
    """``--url``, ``--cluster`` and ``--password-stdin``, where ``--label`` is a datastore's; pass
    them to ``choose``."""
    command = click.option(
        "--password-stdin", is_flag=True, help="Read the password from the standard input."
    )(command)
    command = click.option(
        "--cluster", metavar="L", default="", help="A registered cluster (default: current)."
    )(command)
    return click.option("--url", metavar="URL", default="", help="A Redshift URL.")(command)


def choose(url: str, label: str, password_stdin: bool) -> Chosen:
    """Return the cluster of ``--url``, of ``--label``, of the setting ``warehouse``, or the current
    one.
    """
    from ess_dask.warehouse.redshift.url import parse_url

    if url and label:
        raise UsageError("--url and --label name two clusters", hint="give one of them")
    parsed = parse_url(url or (_url_of(label) if label else _configured() or _url_of("")))
    if url and parsed.address.password:
        warn_of_password()
    if password_stdin:
        parsed = replace(parsed, address=with_password(parsed.address))
    return Chosen(parsed, asker())


def warn_of_password() -> None:
    """Say that a password on the command line is not a secret."""
    say(
        "warning: a password on the command line is in the shell's history and the list of "
        "processes; use ESS_REDSHIFT_PASSWORD or --password-stdin"
    )


def with_password(address: Address, text: str | None = None) -> Address:
    """Return an address with a password: ``text``, by default a line of the standard input."""
    from ess_dask.secret import Secret

    if text is None:
        text = sys.stdin.readline().rstrip("\r\n")
        if not text:
            raise UsageError("--password-stdin: nothing came in", hint="echo it, or use < FILE")
    return replace(address, password=Secret(text))


def asker() -> Ask | None:
    """Return what asks a person for a password, None when there is no terminal to ask on."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    return lambda text: str(click.prompt(text, default="", hide_input=True, show_default=False,
                                         err=True))  # fmt: skip


def asks_password(command: F) -> F:
    """Let a command ask for the password of a warehouse, once, where a terminal is there for it."""

    @functools.wraps(command)
    def asked(*args: Any, **kwargs: Any) -> Any:
        ask = asker()
        if ask is None:
            return command(*args, **kwargs)
        from ess_dask.warehouse.redshift.credentials import asking

        with asking(ask):
            return command(*args, **kwargs)

    return cast("F", asked)


def _url_of(label: str) -> str:
    from ess_dask.warehouse.redshift.registry import find
    from ess_dask.warehouse.redshift.url import url_of

    return url_of(find(label))


def _configured() -> str:
    """Return the setting ``warehouse`` when it is a Redshift URL."""
    from ess_dask.settings import load_settings
    from ess_dask.warehouse.redshift.url import SCHEMES

    warehouse = load_settings().warehouse
    return warehouse if warehouse.partition("://")[0].lower() in SCHEMES else ""
