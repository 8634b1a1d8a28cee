"""``ess cluster``: where the work runs."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ess_dask.cluster.choice import KINDS


@click.group()
def cluster() -> None:
    """Choose and look at the machines that do the work."""


@cluster.command("set")
@click.argument("kind", type=click.Choice(KINDS))
def choose(kind: str) -> None:
    """Choose the kind of cluster that later commands use."""
    from ess_dask.cluster.choice import choose

    choose(kind)


@cluster.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
def status(form: str, as_json: bool) -> None:
    """Show state, address, workers, memory (bytes) and uptime (seconds) of the cluster."""
    from ess_dask.cluster.choice import chosen
    from ess_dask.cluster.local import status

    found = {"cluster": chosen(), **asdict(status())}
    if as_json or form == "json":
        click.echo(json.dumps(found))
        return
    for name, value in found.items():
        # Of a stopped cluster there is nothing more to say than that.
        if value:
            click.echo(f"{name:<8} {_shown(name, value)}")


def _shown(name: str, value: object) -> str:
    if name == "memory":
        return f"{int(str(value)) / 2**20:.1f} MiB"
    return f"{value:.0f} s" if isinstance(value, float) else str(value)
