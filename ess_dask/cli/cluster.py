"""``ess cluster``: where the work runs."""

from __future__ import annotations

from dataclasses import asdict

import click

from ess_dask.cli._options import format_options
from ess_dask.cli._render import Format, Table, render
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
@format_options
def status(form: Format) -> None:
    """Show state, address, workers, threads, pid, memory (bytes) and uptime (seconds)."""
    from ess_dask.cluster.choice import chosen
    from ess_dask.cluster.local import status

    found = {"cluster": chosen(), **asdict(status())}
    found["uptime"] = round(found["uptime"])
    running = found["state"] == "running"
    row = [
        value if running or name in ("cluster", "state") else None for name, value in found.items()
    ]
    render(Table(tuple(found), [row], sizes=("memory",)), form)
