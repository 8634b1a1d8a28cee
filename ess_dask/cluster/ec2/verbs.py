"""The verbs of ``ess cluster`` for machines on EC2; each may be given twice.

Only ``create``, ``remove`` and a ``start`` that brings spot workers back import Dask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ess_dask.cluster.ec2.aws import client
from ess_dask.cluster.ec2.find import (
    LIVE,
    Cluster,
    Machine,
    Place,
    elsewhere,
    find_all,
    find_cluster,
    here,
)
from ess_dask.cluster.verbs import Confirm, CreateRequest, MachineState, Say, counted
from ess_dask.errors import InterruptedRunError, UsageError


def create(request: CreateRequest, say: Say) -> None:
    """Launch the cluster, or with ``request.add`` more workers of it.

    Raises ``AccessError`` (3), ``UsageError`` (2), ``TransientError`` (1) or ``LockedError`` (75);
    nothing that was launched is left then.
    """
    from ess_dask.cluster.ec2.create import add_workers, create_cluster

    (add_workers if request.add else create_cluster)(here(), request, say)


def add(ids: Sequence[str], say: Say) -> None:
    """Start machines of the cluster that are stopped; their workers join again."""
    from ess_dask.cluster.ec2.power import start_machines
    from ess_dask.cluster.ec2.state import changing

    place = here()
    with changing(place.name):
        chosen = _chosen(_existing(place), ids)
        stopped = [each for each in chosen if each.state in ("stopped", "stopping")]
        for each in chosen:
            if each not in stopped:
                say(f"{each.id} is {each.state} already")
        start_machines(place, stopped, say)


def remove(ids: Sequence[str], say: Say) -> None:
    """Take workers out: their data moves to the others, then their machines end.

    Raises ``UsageError`` for the scheduler's machine and for the last worker, ``TransientError``
    when the data does not fit elsewhere: nothing is ended then.
    """
    from ess_dask.cluster.ec2.leave import remove_workers
    from ess_dask.cluster.ec2.state import changing

    place = here()
    with changing(place.name):
        found = _existing(place)
        gone = _gone_before(place, ids)
        for each in gone:
            say(f"{each} is removed already")
        left = [each for each in ids if each not in gone]
        if left or not gone:
            remove_workers(found, _chosen(found, left), say)


def stop(keep_tables: bool, say: Say) -> None:
    """Stop all machines; spot machines, which cannot be stopped, end and come back at ``start``.

    ``keep_tables``: they have been saved, and are said to be.
    """
    from ess_dask.cluster.ec2.power import stop_cluster
    from ess_dask.cluster.ec2.state import changing

    place = here()
    with changing(place.name):
        stopped = stop_cluster(find_cluster(place), say)
    if stopped and not keep_tables:
        say("what it held in memory is gone")


def start(say: Say) -> None:
    """Start the machines that are stopped, let this machine's address in, and say where it is."""
    from ess_dask.cluster.ec2.power import start_cluster
    from ess_dask.cluster.ec2.state import changing

    place = here()
    with changing(place.name):
        start_cluster(_existing(place), say)


def terminate(everything: bool, confirm: Confirm, say: Say) -> None:
    """End the cluster and remove its security group and its files here.

    ``everything``: all clusters of the owner in the region. Nothing to end is no error.
    """
    from ess_dask.cluster.ec2.removal import remove_everything
    from ess_dask.cluster.ec2.security_group import find_groups
    from ess_dask.cluster.ec2.state import changing, forget

    place = here()
    found = list(find_all(place)) if everything else [find_cluster(place)]
    found = found or [Cluster(place, ())]
    machines = [each for cluster in found for each in cluster.machines]
    if machines and not confirm(_question(found, machines)):
        raise InterruptedRunError("nothing was terminated")
    for cluster in found:
        name = cluster.place.name
        with changing(name):
            groups = find_groups(client("ec2", place.region, place.credentials), cluster.place)
            ended = remove_everything(cluster.place, say)
            if not ended and not groups:
                hint = elsewhere(cluster.place)
                say(f"{cluster.place} does not exist{'; ' + hint if hint else ''}")
            if not elsewhere(cluster.place):
                forget(name)


def reset(say: Say) -> None:
    """Forget what is kept here of the cluster; ``UsageError`` when it still has machines."""
    from ess_dask.cluster.ec2.state import changing, forget, remembered_region

    place = here()
    with changing(place.name):
        # Where it was made counts, too: its certificates are nowhere else.
        regions = dict.fromkeys((place.region, remembered_region(place.name) or place.region))
        for region in regions:
            found = find_cluster(replace(place, region=region))
            if found.machines:
                raise UsageError(
                    f"{found.place} still has {counted(len(found.machines), 'machine')}",
                    hint=f"ess cluster terminate --region {region}",
                )
        kept = forget(place.name)
    say(f"{place} is forgotten here" if kept else f"nothing is kept here of {place}")


def status() -> tuple[MachineState, ...]:
    """Return the machines as EC2 knows them now, the scheduler's first; none is no error."""
    found = find_cluster(here())
    if not found.machines:
        return ()
    from ess_dask.cluster.ec2.describe import describe

    return describe(found, datetime.now(UTC))


def iplist(private: bool) -> tuple[str, ...]:
    """Return the addresses of the machines that run, the scheduler's first."""
    running = [each for each in find_cluster(here()).machines if each.state == "running"]
    addresses = [each.private_ip if private else each.public_ip for each in running]
    return tuple(address for address in addresses if address)


def _existing(place: Place) -> Cluster:
    found = find_cluster(place)
    if not found.machines:
        raise UsageError(
            f"{place} does not exist", hint=elsewhere(place) or "make it: ess cluster create"
        )
    return found


def _gone_before(place: Place, ids: Iterable[str]) -> list[str]:
    """Return those ids that mean only machines which have ended; EC2 knows them for an hour."""
    living, ended = (
        {name for each in find_cluster(place, states).machines for name in _names(each)}
        for states in (LIVE, ("shutting-down", "terminated"))
    )
    return [each for each in dict.fromkeys(ids) if each in ended - living]


def _names(machine: Machine) -> tuple[str, ...]:
    return tuple(filter(None, (machine.id, machine.reservation, machine.worker)))


def _chosen(found: Cluster, ids: Iterable[str]) -> list[Machine]:
    """Return the machines that are meant by instance or reservation id, or by a worker's name."""
    chosen: dict[str, Machine] = {}
    for name in ids:
        meant = [each for each in found.machines if name in _names(each)]
        if not meant:
            raise UsageError(
                f"{name!r} is no machine of {found.place}", hint="see: ess cluster status"
            )
        chosen |= {each.id: each for each in meant}
    return list(chosen.values())


def _question(clusters: Iterable[Cluster], machines: Sequence[Any]) -> str:
    names = ", ".join(str(each.place) for each in clusters)
    number = "1 machine" if len(machines) == 1 else f"{len(machines)} machines"
    return f"End {number} of {names}? What is on their disks is lost."
