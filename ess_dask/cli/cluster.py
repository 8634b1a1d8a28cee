"""``ess cluster``: where the work runs, and the machines for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, fields
from typing import Any

import click

from ess_dask.cli._options import format_options, keep_tables_option
from ess_dask.cli._render import Format, Table, render, say
from ess_dask.cli.cluster_ec2 import access_options
from ess_dask.cli.cluster_top import top
from ess_dask.cluster.choice import KINDS

_SYNONYMS = {"cloud": "ec2"}
"""The original's words."""


@click.group()
def cluster() -> None:
    """Choose, make and look at the machines that do the work."""


@cluster.command("set")
@click.argument("kind", type=click.Choice((*KINDS, *_SYNONYMS)))
def choose(kind: str) -> None:
    """Choose the kind of cluster that later commands use (cloud is another word for ec2)."""
    from ess_dask.cluster.choice import choose
    from ess_dask.cluster.ec2.state import remembered

    kind = _SYNONYMS.get(kind, kind)
    choose(kind)
    if kind != "ec2":
        for name, region in remembered().items():
            say(
                f"cluster {name} in {region} was not terminated; what is left of it costs money: "
                f"ESS_CLUSTER=ec2 ESS_CLUSTER_NAME={name} ess cluster status"
            )


@cluster.command()
@click.option(
    "--number",
    metavar="N",
    type=click.IntRange(0, 1000),
    help="Workers beside the scheduler (default: 1; 0 on EC2 only); with --add: further ones.",
)
@click.option("--type", metavar="T", default="", help="Instance type, such as m7g.xlarge.")
@click.option("--add", is_flag=True, help="Add workers to the cluster that runs.")
@click.option("--spot", is_flag=True, help="Spot instances: cheaper, and AWS may take them back.")
@click.option("--image", metavar="I", default="", help="Docker image with the whole software.")
@click.option("--ami", metavar="AMI", default="", help="Machine image to boot.")
@click.option(
    "--idle-timeout", metavar="TIME", default="", help="End after so long without work; 0 never."
)
@click.option(
    "--error_return_code",
    is_flag=True,
    expose_value=False,
    help="For scripts of Essentia; changes nothing: a failure ends with its exit code in any case.",
)
@access_options
def create(**options: Any) -> None:
    """Launch the machines of a cluster, or more of them."""
    from ess_dask.cluster.verbs import CreateRequest
    from ess_dask.tables.moving import spread_held

    _verb("create")(CreateRequest(**options), say)
    if options["add"]:
        spread_held(say)


@cluster.command()
@click.argument("ids", metavar="RESERVATION...", nargs=-1, required=True)
@access_options
def add(ids: tuple[str, ...]) -> None:
    """Let stopped machines join again, by reservation or instance id; tables spread over them."""
    from ess_dask.tables.moving import spread_held

    _verb("add")(ids, say)
    spread_held(say)


@cluster.command()
@click.argument("ids", metavar="RESERVATION...", nargs=-1, required=True)
@access_options
def remove(ids: tuple[str, ...]) -> None:
    """Take workers out, by reservation or instance id; what they hold moves to the others."""
    _verb("remove")(ids, say)


@cluster.command()
@keep_tables_option
@access_options
def stop(keep_tables: bool) -> None:
    """Stop the machines; they keep their disks, and what they hold in memory is lost."""
    # Before anything is kept: it may not apply.
    stop_cluster = _verb("stop")
    with _tables_kept() if keep_tables else nullcontext():
        stop_cluster(keep_tables, say)


@cluster.command()
@access_options
def start() -> None:
    """Start the machines that were stopped; tables that were kept are there again."""
    from ess_dask.tables.stopping import bring_back

    _verb("start")(say)
    bring_back(say)


@cluster.command()
@click.option("--all", "everything", is_flag=True, help="All your clusters in the region.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@access_options
def terminate(everything: bool, yes: bool) -> None:
    """End the machines and remove all that was made for them."""

    def confirm(question: str) -> bool:
        return yes or click.confirm(question, err=True)

    from ess_dask.cluster.choice import chosen
    from ess_dask.tables.homes import forgetting_ended

    with forgetting_ended(chosen(), say):
        _verb("terminate")(everything, confirm, say)


@cluster.command()
@access_options
def reset() -> None:
    """Forget what is kept here of a cluster that has ended."""
    from ess_dask.cluster.choice import chosen
    from ess_dask.tables.homes import forgetting_ended

    with forgetting_ended(chosen(), say):
        _verb("reset")(say)


@cluster.command()
@format_options
@access_options
def status(form: Format) -> None:
    """Show the machines: state, addresses, cores, memory and disk (bytes), times (seconds), price.

    For a local cluster: its daemon, by process id, and its workers, by name.
    """
    from ess_dask.cluster.verbs import MachineState

    found = _verb("status")()
    if not found:
        say("no machine runs")
    names = tuple(field.name for field in fields(MachineState))
    rows = [tuple(asdict(machine).values()) for machine in found]
    render(Table(names, rows, sizes=("memory", "disk")), form)


@cluster.command()
@click.option("--private", "private", flag_value=True, default=False, help="In their own network.")
@click.option("--public", "private", flag_value=False, help="On the internet (the default).")
@access_options
def iplist(private: bool) -> None:
    """Print the addresses of the machines that run, the scheduler's first."""
    for address in _verb("iplist")(private):
        click.echo(address)


cluster.add_command(top)


def _tables_kept() -> AbstractContextManager[None]:
    from ess_dask.tables.stopping import kept_over_stop

    return kept_over_stop(say)


def _verb(name: str) -> Callable[..., Any]:
    # The light half of a name's way: what the verb needs is imported by the kind's own module.
    from ess_dask.cluster.verbs import verb

    return verb(name)
