"""Stopping and starting machines; their disks, private addresses and certificates stay."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ess_dask.cluster.ec2 import security_group
from ess_dask.cluster.ec2.aws import client
from ess_dask.cluster.ec2.errors import asking
from ess_dask.cluster.ec2.find import PORT, Cluster, Machine, Place, find_cluster
from ess_dask.cluster.ec2.plan import as_tags
from ess_dask.cluster.ec2.removal import chunks, end_machines, wait_while
from ess_dask.cluster.verbs import CreateRequest, Say, counted
from ess_dask.errors import EssError, TransientError, UsageError
from ess_dask.settings import load_settings

ANSWER_SECONDS = 300.0
"""How long a scheduler that boots may take until it answers."""

_SPOT = "ess:spot-workers"
"""Tag of the scheduler: how many spot workers the next start brings back."""


def stop_cluster(found: Cluster, say: Say) -> bool:
    """Stop all machines that run; returns when they have stopped, and whether any ran."""
    place = found.place
    awake = [each for each in found.machines if each.state in ("pending", "running")]
    if not awake:
        say(f"{place} {'is stopped already' if found.machines else 'does not exist'}")
        _wait_stopped(place, found.machines)
        return False
    ec2 = client("ec2", place.region)
    wait_while(place, {each.id for each in awake}, ["pending"], "running")
    spot = [each for each in awake if each.spot]
    if spot:
        if found.scheduler:
            _tag(ec2, place, found.scheduler, len(spot))
        end_machines(ec2, place, spot)
        say(f"{counted(len(spot), 'spot worker')} ended; they come back with: ess cluster start")
    staying = [each for each in awake if not each.spot]
    # Without it, a worker that loses its scheduler would switch itself off, which ends it.
    _on_shutdown(ec2, place, staying, "stop")
    try:
        for part in chunks([each.id for each in staying]):
            with asking("ec2:StopInstances", str(place)):
                ec2.stop_instances(InstanceIds=part)
    except EssError:
        _on_shutdown(ec2, place, staying, "terminate")
        raise
    _wait_stopped(place, staying)
    say(f"{place} is stopped: its {len(staying)} disks still cost; go on with: ess cluster start")
    return True


def start_cluster(found: Cluster, say: Say) -> None:
    """Start all machines that are stopped; returns when the scheduler answers."""
    place, scheduler = found.place, found.scheduler
    if scheduler is None:
        raise UsageError(f"{place} has no scheduler", hint="ess cluster terminate, then create")
    network = security_group.caller_network(load_settings())
    ec2 = client("ec2", place.region)
    if security_group.let_in(ec2, place, network):
        say(f"{network} may connect now")
    asleep = [each for each in found.machines if each.state in ("stopping", "stopped")]
    start_machines(place, asleep, say)
    running = find_cluster(place).scheduler
    assert running is not None
    address = _wait_answering(place, running)
    began = "runs at" if asleep else "runs already at"
    say(f"{place} {began} {address}; end it with: ess cluster terminate")
    _bring_back(ec2, place, running, say)


def start_machines(place: Place, machines: Sequence[Machine], say: Say) -> None:
    """Start machines that are stopped or just stopping; returns when they run."""
    if not machines:
        return
    ec2 = client("ec2", place.region)
    ids = {each.id for each in machines}
    wait_while(place, ids, ["stopping"], "stopped")
    # Before they run: whatever comes between, idle machines end and do not only stop.
    _on_shutdown(ec2, place, machines, "terminate")
    for part in chunks(sorted(ids)):
        with asking("ec2:StartInstances", str(place)):
            ec2.start_instances(InstanceIds=part)
    wait_while(place, ids, ["stopped", "pending"], "running")
    say(f"{counted(len(ids), 'machine')} started; workers join within a minute")


def _bring_back(ec2: Any, place: Place, scheduler: Machine, say: Say) -> None:
    """Launch the spot workers that the last stop ended."""
    number = int(scheduler.tags.get(_SPOT) or 0)
    if not number:
        return
    from ess_dask.cluster.ec2.create import launch_workers

    launch_workers(find_cluster(place), CreateRequest(number=number, add=True, spot=True), say)
    _tag(ec2, place, scheduler, 0)


def _tag(ec2: Any, place: Place, scheduler: Machine, number: int) -> None:
    with asking("ec2:CreateTags", str(place)):
        ec2.create_tags(Resources=[scheduler.id], Tags=as_tags({_SPOT: str(number)}))


def _on_shutdown(ec2: Any, place: Place, machines: Iterable[Machine], what: str) -> None:
    """Say what EC2 does with machines that switch themselves off: ``stop`` or ``terminate``."""
    for machine in machines:
        with asking("ec2:ModifyInstanceAttribute", str(place)):
            ec2.modify_instance_attribute(
                InstanceId=machine.id, InstanceInitiatedShutdownBehavior={"Value": what}
            )


def _wait_stopped(place: Place, machines: Iterable[Machine]) -> None:
    ids = {each.id for each in machines}
    wait_while(place, ids, ["running", "stopping"], "stopped")


def _wait_answering(place: Place, scheduler: Machine) -> str:
    host = scheduler.public_ip or scheduler.private_ip
    ends = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            socket.create_connection((host, PORT), timeout=3).close()
        except OSError:
            if time.monotonic() > ends:
                raise TransientError(
                    f"{place}: the scheduler does not answer at {host}:{PORT}",
                    hint="is this the address you connect from (ESS_MY_ADDRESS)? "
                    "then: ess cluster terminate, and create",
                ) from None
            time.sleep(0.5)
        else:
            return host
