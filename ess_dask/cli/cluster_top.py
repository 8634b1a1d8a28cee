"""``ess cluster top``: the cluster at work, in the terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ess_dask.cli._render import Table, aligned, human_size

if TYPE_CHECKING:
    from ess_dask.cluster.workers import WorkerLoad
    from ess_dask.tables.inventory import Snapshot, TableLoad

WORKERS = ("worker", "host", "threads", "cpu%", "memory", "limit", "spilled", "running", "ready")
TABLES = ("table", "rows", "memory", "partitions")


@click.command()
@click.option("--once", is_flag=True, help="Print one snapshot and end.")
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    help="Time between two looks (default: 2).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one snapshot as JSON and end.")
def top(once: bool, interval: float, as_json: bool) -> None:
    """Watch workers, memory, tasks and tables of the cluster; Ctrl-C ends it.

    Where the output is no terminal one snapshot is printed.
    """
    from ess_dask.errors import UsageError
    from ess_dask.tables.inventory import take_snapshot
    from ess_dask.tables.session import watching_session

    try:
        session = watching_session()
        if session is None:
            raise UsageError("no cluster runs", hint="ess cluster status")
        with session:
            if as_json:
                click.echo(json.dumps(_as_json(take_snapshot(session)), indent=2))
            elif once or not sys.stdout.isatty():
                click.echo("\n".join(lines(take_snapshot(session))))
            else:
                _watch(session, interval)
    except KeyboardInterrupt:
        # How one leaves it: no error.
        return


def lines(found: Snapshot) -> list[str]:
    """Return a snapshot as lines of text."""
    from ess_dask.cluster.verbs import counted

    total = _totals(found.workers)
    head = (
        f"{found.kind} cluster {found.name} at {found.address}, "
        f"{time.strftime('%H:%M:%S', time.localtime(found.time))}: "
        f"{counted(len(found.workers), 'worker')}, {total['threads']} threads, "
        f"{human_size(total['used'])} of {human_size(total['limit'])}, "
        f"{human_size(total['spilled'])} spilled, {total['running']} tasks run, "
        f"{total['ready']} are ready"
    )
    workers = Table(WORKERS, [_worker(each) for each in found.workers])
    tables = Table(TABLES, [_table(each) for each in found.tables])
    shown = aligned(tables, right=TABLES[1:]) if found.tables else ["no tables in memory"]
    return [head, "", *aligned(workers, right=WORKERS[2:]), "", *shown]


def _watch(session: Any, interval: float) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from ess_dask.tables.inventory import take_snapshot

    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            shown = lines(take_snapshot(session))[: console.height]
            live.update(Text("\n".join(shown), no_wrap=True, overflow="ellipsis"), refresh=True)
            time.sleep(interval)


def _worker(each: WorkerLoad) -> Sequence[str]:
    sizes = (human_size(each.used), human_size(each.limit) if each.limit else "")
    return (
        each.name,
        each.host,
        str(each.threads),
        f"{each.cpu:.0f}",
        *sizes,
        human_size(each.spilled),
        str(each.running),
        str(each.ready),
    )


def _table(each: TableLoad) -> Sequence[str]:
    rows = "" if each.rows is None else str(each.rows)
    return (each.name, rows, human_size(each.bytes), str(each.partitions))


def _totals(workers: Sequence[WorkerLoad]) -> dict[str, int]:
    names = ("threads", "used", "limit", "spilled", "running", "ready")
    return {name: sum(getattr(each, name) for each in workers) for name in names}


def _as_json(found: Snapshot) -> dict[str, Any]:
    return {**asdict(found), "totals": _totals(found.workers)}
