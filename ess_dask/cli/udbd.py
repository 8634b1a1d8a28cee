"""``ess udbd``: the servers that hold databases in memory.

All databases live in one cluster; a database's port is its name in these messages, which are the
original's, and nothing listens on it. On machines of their own the servers are the data: they are
stopped and started with ``ess cluster``, and to stop the servers is to drop what memory holds.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress

import click

from ess_dask.cli._options import keep_tables_option
from ess_dask.cli._render import say
from ess_dask.errors import UsageError

NOT_RUNNING = "udbd-{} is not running."
STOPPED = "udbd-{} stopped."


@click.group()
def udbd() -> None:
    """Start, stop and look at the servers that hold databases in memory."""


@udbd.command()
def start() -> None:
    """Start the servers; the ones that run stay as they are."""
    from ess_dask.tables.stopping import bring_back

    start_servers()
    bring_back(say)


@udbd.command()
@keep_tables_option
def stop(keep_tables: bool) -> None:
    """Stop the servers; the data in their memory is lost."""
    from ess_dask.cluster.choice import chosen
    from ess_dask.cluster.machines import is_remote
    from ess_dask.tables.stopping import kept_over_stop, save_running

    if keep_tables and is_remote():
        # Their machines are ended by others: a verb of ``ess cluster``, or their owner.
        save_running(say)
        return
    with kept_over_stop(say) if keep_tables else nullcontext():
        stop_servers()
    if chosen() == "ec2":
        say("its machines go on and cost money; they are ended with: ess cluster terminate")


@udbd.command()
def restart() -> None:
    """Stop the servers, then start them empty."""
    restart_servers()


@udbd.command()
def status() -> None:
    """Say which servers run."""
    found = running_servers()
    _tell(server_ports(), f"udbd-{{}} ({found}) is running." if found else NOT_RUNNING)


@udbd.command()
def ckmem() -> None:
    """Show the memory of each worker process: used, spilled to disk and limit, in kB."""
    from ess_dask.cluster import far_servers, local
    from ess_dask.cluster.machines import is_remote

    lines = far_servers.memory_lines() if is_remote() else local.memory_lines()
    if lines is None:
        _tell(server_ports(), NOT_RUNNING)
        return
    for line in lines:
        _say(line)


@udbd.command()
@click.option(
    "--lines", default=40, show_default=True, type=click.IntRange(1), metavar="N", help="How many."
)
def cklog(lines: int) -> None:
    """Show the end of the servers' log: of other machines, each one's."""
    from ess_dask.cluster import far_servers, local
    from ess_dask.cluster.machines import is_remote

    click.echo(far_servers.log_tail(lines) if is_remote() else local.log_tail(lines), nl=False)


def start_servers() -> None:
    """Start the cluster where that costs nothing; tell of each port, in the original's words."""
    from ess_dask.cluster import local
    from ess_dask.cluster.machines import ensure_started, is_remote

    ports = server_ports()
    if is_remote():
        ensure_started(say)
    else:
        local.attach()  # of this release?
    found = running_servers()
    if found:
        _tell(ports, f"udbd-{{}} ({found}) is already running.")
        return
    _tell(ports, "Starting udbd-{}.")
    _tell(ports, f"udbd-{{}} ({local.start().pid}) started.")


def stop_servers() -> None:
    """Stop the local cluster, or drop what other machines hold; tell of each port, in the
    original's words."""
    from ess_dask.cluster import local
    from ess_dask.cluster.machines import is_remote

    ports = server_ports()
    found = running_servers()
    if not found:
        _tell(ports, NOT_RUNNING)
        return
    _tell(ports, f"Stopping udbd-{{}} ({found}).")
    if is_remote():
        from ess_dask.tables.session import forget_everything

        forget_everything()
    else:
        local.stop()
    _tell(ports, STOPPED)


def restart_servers() -> None:
    """Stop the servers if they run, then start them: the data is gone, the specs stay."""
    from ess_dask.tables.kept import give_up

    if running_servers():
        stop_servers()
    else:
        _tell(server_ports(), STOPPED)
    give_up()
    start_servers()


def running_servers() -> str:
    """Return what a person knows the running cluster by: process or address; '' without one."""
    from ess_dask.cluster import local
    from ess_dask.cluster.machines import attach, is_remote

    if is_remote():
        from ess_dask.cluster.probing import answers

        found = attach()
        with suppress(OSError):
            return found.address if found and answers(found.address) else ""
        return ""
    state = local.find()
    return str(state.pid) if state else ""


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
