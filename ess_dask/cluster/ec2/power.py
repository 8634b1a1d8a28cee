"""Stopping and starting machines; their disks, private addresses and certificates stay."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ess_dask.cluster.ec2 import security_group
from ess_dask.cluster.ec2.aws import client
from ess_dask.cluster.ec2.errors import asking, settled
from ess_dask.cluster.ec2.find import Cluster, Machine, Place, find_cluster
from ess_dask.cluster.ec2.plan import as_tags
from ess_dask.cluster.ec2.reach import await_scheduler
from ess_dask.cluster.ec2.removal import chunks, end_machines, wait_while
from ess_dask.cluster.verbs import CreateRequest, Say, counted
from ess_dask.errors import EssError, UsageError
from ess_dask.settings import load_settings

_SPOT = "ess:spot-workers"
"""Tag of the scheduler: the spot workers that the next start brings back.

A mark of the stop that ended them, and how many of each type:
``0a1b2c3d m7i.xlarge*3 c7i.large*1``. What is launched for them carries the mark, so that a start
which was killed does not launch them twice.
"""


def stop_cluster(found: Cluster, say: Say) -> bool:
    """Stop all machines that run; returns when they have stopped, and whether any ran."""
    place = found.place
    awake = [each for each in found.machines if each.state in ("pending", "running")]
    if not awake:
        say(f"{place} {'is stopped already' if found.machines else 'does not exist'}")
        _wait_stopped(place, found.machines)
        return False
    ec2 = client("ec2", place.region, place.credentials)
    wait_while(place, {each.id for each in awake}, ["pending"], "running")
    spot = [each for each in awake if each.spot]
    staying = [each for each in awake if not each.spot]
    _ask_to_stop(ec2, found, staying, spot)
    # Only now: where the others may not be stopped, the cluster works on with all that it had.
    if spot:
        end_machines(ec2, place, spot)
        say(f"{counted(len(spot), 'spot worker')} ended; they come back with: ess cluster start")
    _wait_stopped(place, staying)
    say(f"{place} is stopped: its {len(staying)} disks still cost; go on with: ess cluster start")
    return True


def _ask_to_stop(
    ec2: Any, found: Cluster, staying: Sequence[Machine], spot: Sequence[Machine]
) -> None:
    """Have ``staying`` stop, and record which spot workers end; after an error all is as before."""
    place, scheduler = found.place, found.scheduler
    if spot and scheduler:
        _tag(ec2, place, scheduler, _to_return(found, spot))
    # Without it, a worker that loses its scheduler would switch itself off, which ends it.
    _on_shutdown(ec2, place, staying, "stop")
    try:
        for part in chunks([each.id for each in staying]):
            settled("ec2:StopInstances", str(place), ec2.stop_instances, InstanceIds=part)
    except EssError:
        _on_shutdown(ec2, place, staying, "terminate")
        if spot and scheduler:
            _tag(ec2, place, scheduler, scheduler.tags.get(_SPOT, ""))
        raise


def start_cluster(found: Cluster, say: Say) -> None:
    """Start all machines that are stopped; returns when the scheduler answers."""
    place, scheduler = found.place, found.scheduler
    if scheduler is None:
        raise UsageError(f"{place} has no scheduler", hint="ess cluster terminate, then create")
    network = security_group.caller_network(load_settings())
    ec2 = client("ec2", place.region, place.credentials)
    if security_group.let_in(ec2, place, network):
        say(f"{network} may connect now")
    asleep = [each for each in found.machines if each.state in ("stopping", "stopped")]
    start_machines(place, asleep, say)
    running = find_cluster(place).scheduler
    assert running is not None
    address = await_scheduler(place, running)
    began = "runs at" if asleep else "runs already at"
    say(f"{place} {began} {address}; end it with: ess cluster terminate")
    _bring_back(ec2, place, running, say)


def start_machines(place: Place, machines: Sequence[Machine], say: Say) -> None:
    """Start machines that are stopped or just stopping; returns when they run."""
    if not machines:
        return
    ec2 = client("ec2", place.region, place.credentials)
    ids = {each.id for each in machines}
    wait_while(place, ids, ["stopping"], "stopped")
    # Before they run: whatever comes between, idle machines end and do not only stop.
    _on_shutdown(ec2, place, machines, "terminate")
    for part in chunks(sorted(ids)):
        settled("ec2:StartInstances", str(place), ec2.start_instances, InstanceIds=part)
    wait_while(place, ids, ["stopped", "pending"], "running")
    say(f"{counted(len(ids), 'machine')} started; workers join within a minute")


def _bring_back(ec2: Any, place: Place, scheduler: Machine, say: Say) -> None:
    """Launch the spot workers that the last stop ended: of the types that they had, spot again."""
    mark, number = _recorded(scheduler)
    if not number:
        return
    from ess_dask.cluster.ec2.making import launch_workers

    for kind, count in sorted(_missing(find_cluster(place), mark, number).items()):
        request = CreateRequest(number=count, type=kind, add=True, spot=True)
        launch_workers(find_cluster(place), request, say, stop=mark)
    _tag(ec2, place, scheduler, "")


def _to_return(found: Cluster, spot: Sequence[Machine]) -> str:
    """Return what is recorded of spot workers that are to end now.

    Those that the stop before ended, and no start has brought back yet, are among them; the same
    stop again, because it was killed, counts once.
    """
    assert found.scheduler is not None
    mark = _mark(spot)
    before, number = _recorded(found.scheduler)
    wanted = Counter(each.type for each in spot)
    if before != mark:
        wanted += Counter(_missing(found, before, number))
    return " ".join([mark, *(f"{kind}*{count}" for kind, count in sorted(wanted.items()))])


def _mark(spot: Iterable[Machine]) -> str:
    ids = " ".join(sorted(each.id for each in spot))
    return hashlib.sha256(ids.encode()).hexdigest()[:8]


def _recorded(scheduler: Machine) -> tuple[str, dict[str, int]]:
    mark, *kinds = scheduler.tags.get(_SPOT, "").split() or [""]
    pairs = (each.partition("*") for each in kinds)
    return mark, {kind: int(count) for kind, _, count in pairs}


def _missing(found: Cluster, mark: str, number: Mapping[str, int]) -> dict[str, int]:
    """Return how many of each type have ended and not been launched again."""
    if mark == _mark([each for each in found.workers if each.spot]):
        return {}
    back = Counter(each.type for each in found.workers if each.tags.get("ess:stop") == mark)
    return {kind: count - back[kind] for kind, count in number.items() if count > back[kind]}


def _tag(ec2: Any, place: Place, scheduler: Machine, value: str) -> None:
    with asking("ec2:CreateTags", str(place)):
        ec2.create_tags(Resources=[scheduler.id], Tags=as_tags({_SPOT: value}))


def _on_shutdown(ec2: Any, place: Place, machines: Iterable[Machine], what: str) -> None:
    """Say what EC2 does with machines that switch themselves off: ``stop`` or ``terminate``."""
    for machine in machines:
        settled(
            "ec2:ModifyInstanceAttribute",
            str(place),
            ec2.modify_instance_attribute,
            InstanceId=machine.id,
            InstanceInitiatedShutdownBehavior={"Value": what},
        )


def _wait_stopped(place: Place, machines: Iterable[Machine]) -> None:
    ids = {each.id for each in machines}
    wait_while(place, ids, ["running", "stopping"], "stopped")
