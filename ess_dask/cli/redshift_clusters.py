"""``ess redshift register``, ``deregister``, ``list``, ``status``: which clusters there are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ess_dask.cli._options import format_options
from ess_dask.cli._redshift import asker, warn_of_password, with_password
from ess_dask.cli._render import Format, Table, render, say
from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError, TransientError, UsageError

if TYPE_CHECKING:
    from ess_dask.catalog.model import WarehouseCluster
    from ess_dask.warehouse.redshift.url import RedshiftURL

_LATER = """the password is not stored; later commands take it from one of:
    the environment variable ESS_REDSHIFT_PASSWORD
    --password-stdin of a command
    IAM: register with --option iam=true
    Secrets Manager: register with --option secret=NAME
    a prompt, on a terminal"""
_STATUS_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the command line of ``register`` says."""

    cluster: str
    database: str
    user: str
    label: str
    host: str
    port: int | None
    region: str
    serverless: bool
    option: tuple[str, ...]


@click.command()
@click.argument("cluster", metavar="CLUSTERID")
@click.argument("database", metavar="DBNAME")
@click.argument("user")
@click.argument("password", required=False)
@click.option("--label", metavar="L", default="", help="Its name here (default: CLUSTERID).")
@click.option("--region", metavar="R", default="", help="AWS region of the cluster.")
@click.option("--serverless", is_flag=True, help="CLUSTERID is the name of a serverless workgroup.")
@click.option("--host", metavar="H", default="", help="Its host; AWS is then not asked for it.")
@click.option("--port", type=click.IntRange(1, 65535), help="Its port (default: AWS's, or 5439).")
@click.option(
    "--option", metavar="NAME=VALUE", multiple=True, help="An option of its URL, such as iam=true."
)
@click.option("--password-stdin", is_flag=True, help="Read the password from the standard input.")
@click.option("--no-verify", is_flag=True, help="Do not connect; no password is needed.")
def register(password: str | None, password_stdin: bool, no_verify: bool, **given: Any) -> None:
    """Keep where a Redshift cluster is, and who asks it, under a label.

    Host and port are looked up by AWS's control plane, then the cluster is connected to once. The
    password is never stored. On the command line every user of the machine can read it: leave it
    out, and it is taken from ESS_REDSHIFT_PASSWORD, IAM, a secret or a prompt. The label is then a
    Redshift URL: redshift://LABEL.
    """
    from ess_dask.warehouse.redshift.registry import cluster_of, register
    from ess_dask.warehouse.redshift.url import parse_url

    if password is not None:
        warn_of_password()
        if password_stdin:
            raise UsageError("the password is given twice", hint="leave PASSWORD out")
    wanted = _Wanted(**given)
    label = wanted.label or wanted.cluster.lower()
    cluster = cluster_of(label, _located(parse_url(_url(wanted), lambda _: "")))
    if not no_verify:
        _verify(cluster, password, password_stdin)
    register(cluster)
    say(f"registered {cluster.label}: {cluster.user}@{cluster.host}:{cluster.port}"
        f"/{cluster.database}")  # fmt: skip
    if password is not None or password_stdin:
        say(_LATER)


def _url(wanted: _Wanted) -> str:
    """Return the URL of what the command line says, so that one reader checks it all."""
    from urllib.parse import quote

    if not (
        wanted.user or wanted.serverless or any(o.startswith("secret=") for o in wanted.option)
    ):
        raise UsageError(
            "the name of the user is empty", hint="only a workgroup or secret= gives one"
        )
    options = [item.partition("=")[::2] for item in wanted.option]
    options.append(("workgroup" if wanted.serverless else "cluster", wanted.cluster))
    if wanted.region:
        options.append(("region", wanted.region))
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in options)
    host = f"[{wanted.host}]" if ":" in wanted.host else quote(wanted.host, safe="")
    port = f":{wanted.port}" if wanted.port else ""
    user, database = (quote(text, safe="") for text in (wanted.user, wanted.database))
    return f"redshift://{user}@{host}{port}/{database}?{query}"


def _located(url: RedshiftURL) -> RedshiftURL:
    """Ask AWS for host and port, unless the host is given."""
    from ess_dask.warehouse.redshift.credentials import endpoint_of

    address = url.address
    if address.host:
        return url
    found = endpoint_of(address)
    if not found or not found.host:
        status = found.status if found else "unknown"
        raise TransientError(
            f"{address.named} has no address yet: it is {status}", hint="or give its --host"
        )
    place = replace(address, host=found.host, port=address.port or found.port)
    return replace(url, address=place)


def _verify(cluster: WarehouseCluster, password: str | None, password_stdin: bool) -> None:
    from ess_dask.warehouse.redshift.connection import connect
    from ess_dask.warehouse.redshift.url import parse_url, url_of

    address = parse_url(url_of(cluster), lambda _: "").address
    if password is not None or password_stdin:
        address = with_password(address, password)
    try:
        connect(address, asker()).close()
    except EssError as error:
        error.hint = f"{error.hint}; --no-verify registers without connecting".removeprefix("; ")
        raise


@click.command()
@click.argument("label", required=False, default="")
def deregister(label: str) -> None:
    """Forget a registered cluster (default: the one registered last), never its data."""
    from ess_dask.warehouse.redshift.registry import deregister

    say(f"forgot {deregister(label)}")


@click.command("list")
@format_options
def list_(form: Format) -> None:
    """List the registered clusters; the current one is marked.

    status is what AWS says now: available, paused, resizing ...; unknown where it cannot be asked.
    """
    _print(form)


@click.command()
@format_options
def status(form: Format) -> None:
    """The same as list."""
    _print(form)


def _print(form: Format) -> None:
    from ess_dask.warehouse.redshift.registry import registered

    clusters, current = registered()
    columns = ("current", "label", "cluster", "host", "port", "database", "user", "status")
    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(_status, clusters))
    rows = [
        ("*" if each.label == current else "", each.label, each.identifier, each.host, each.port,
         each.database, each.user, state)
        for each, state in zip(clusters, states, strict=True)
    ]  # fmt: skip
    render(Table(columns, rows), form)


def _status(cluster: WarehouseCluster) -> str:
    from ess_dask.warehouse.redshift.credentials import endpoint_of
    from ess_dask.warehouse.redshift.url import parse_url, url_of

    try:
        address = parse_url(url_of(cluster), lambda _: "").address
        endpoint = endpoint_of(address, _STATUS_SECONDS)
    except EssError:
        return "unknown"
    return endpoint.status if endpoint else "unknown"
