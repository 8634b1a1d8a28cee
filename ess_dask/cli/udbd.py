"""``ess udbd``: the servers that hold databases in memory.

All databases live in one local cluster; a database's port is its name in these messages, which are
the original's, and nothing listens on it.
"""

from __future__ import annotations

import click

from ess_dask.errors import UsageError

NOT_RUNNING = "udbd-{} is not running."
STOPPED = "udbd-{} stopped."


@click.group()
def udbd() -> None:
    """Start, stop and look at the servers that hold databases in memory."""


@udbd.command()
def start() -> None:
    """Start the servers; the ones that run stay as they are."""
    start_servers()


@udbd.command()
def stop() -> None:
    """Stop the servers; the data in their memory is lost."""
    stop_servers()


@udbd.command()
def restart() -> None:
    """Stop the servers, then start them empty."""
    restart_servers()


@udbd.command()
def status() -> None:
    """Say which servers run."""
    from ess_dask.cluster import local

    found = local.find()
    _tell(server_ports(), f"udbd-{{}} ({found.pid}) is running." if found else NOT_RUNNING)


@udbd.command()
def ckmem() -> None:
    """Show the memory of each worker process: used, spilled to disk and limit, in kB."""
    from ess_dask.cluster import local

    state = local.attach()
    if state is None:
        _tell(server_ports(), NOT_RUNNING)
        return
    for worker in local.worker_memory(state):
        _say(
            f"worker {worker.name} ({worker.pid}): {worker.used // 1024} kB used, "
            f"{worker.spilled // 1024} kB spilled, limit {worker.limit // 1024} kB."
        )


@udbd.command()
@click.option(
    "--lines", default=40, show_default=True, type=click.IntRange(1), metavar="N", help="How many."
)
def cklog(lines: int) -> None:
    """Show the end of the servers' log."""
    from ess_dask.cluster import local

    click.echo(local.log_tail(lines), nl=False)


def start_servers() -> None:
    """Start the local cluster and tell of each port, in the original's words."""
    from ess_dask.cluster import local

    ports = server_ports()
    found = local.attach()
    if found:
        _tell(ports, f"udbd-{{}} ({found.pid}) is already running.")
        return
    _tell(ports, "Starting udbd-{}.")
    _tell(ports, f"udbd-{{}} ({local.start().pid}) started.")


def stop_servers() -> None:
    """Stop the local cluster and tell of each port, in the original's words."""
    from ess_dask.cluster import local

    ports = server_ports()
    found = local.find()
    if found is None:
        _tell(ports, NOT_RUNNING)
        return
    _tell(ports, f"Stopping udbd-{{}} ({found.pid}).")
    local.stop()
    _tell(ports, STOPPED)


def restart_servers() -> None:
    """Stop the local cluster if it runs, then start it: the data is gone, the specs stay."""
    from ess_dask.cluster import local

    if local.find():
        stop_servers()
    else:
        _tell(server_ports(), STOPPED)
    start_servers()


def server_ports() -> list[int]:
    """Return the ports of the working folder's databases, ascending; the first port when none."""
    from ess_dask.tables.databases import FIRST_PORT, database_names, load_database, ports

    found: set[int] = set()
    for name in database_names():
        try:
            spec = load_database(name)
        except UsageError as error:
            # A broken spec must not keep anybody from stopping the servers.
            click.echo(f"ess: {error}", err=True)
            continue
        found.update(ports(spec))
    return sorted(found) or [FIRST_PORT]


def _tell(ports: list[int], text: str) -> None:
    for port in ports:
        _say(text.format(port))


def _say(text: str) -> None:
    from ess_dask.cluster.state import this_host

    click.echo(f"{this_host()}: {text}")
