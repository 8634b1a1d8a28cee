"""``ess cluster create`` where there are machines already.

They belong to a cluster that was made, or to a command that was killed while it made one, or while
it added workers.
"""

from __future__ import annotations

import json
import time
from dataclasses import astuple, replace

from ess_dask.cluster.ec2 import launch, making, security_group
from ess_dask.cluster.ec2.aws import client
from ess_dask.cluster.ec2.find import Cluster, Machine, find_cluster
from ess_dask.cluster.ec2.prepare import plan_more, settings_of
from ess_dask.cluster.ec2.reach import await_scheduler
from ess_dask.cluster.ec2.removal import wait_while
from ess_dask.cluster.ec2.state import Adding, begun, remember, unfinished_add
from ess_dask.cluster.ec2.typed import check_typed
from ess_dask.cluster.verbs import CreateRequest, Say, counted
from ess_dask.errors import UsageError

_PATIENCE = 60.0
"""How long the scheduler of a cluster that was made may take to answer."""


def take_over(found: Cluster, request: CreateRequest, say: Say) -> None:
    """Return when the cluster that was asked for runs and answers, and say all that a create says.

    What a killed command has not launched is launched now, as that one was told; when that fails
    nothing is left, as with the first one. Raises ``UsageError`` when what is there, or what was
    begun, is something else, ``ConfigError`` when nobody can connect to it from here,
    ``TransientError`` when it does not answer.
    """
    number = 1 if request.number is None else request.number
    place, unfinished = found.place, begun(found.place.name)
    if unfinished and unfinished.number != number:
        unfinished = None
    scheduler = _same(found, number, unfinished is not None)
    check_typed(found, request, unfinished)
    wait_while(place, {scheduler.id}, ["pending"], "running")
    found = find_cluster(place)
    # Raises when nobody can connect from here: then it is no use to say that it runs.
    if found.scheduler is None or found.endpoint() is None:
        raise _something_else(found)
    network = security_group.caller_network(settings_of(request))
    security_group.let_in(client("ec2", place.region, place.credentials), place, network)
    if unfinished is None:
        await_scheduler(place, found.scheduler, _PATIENCE)
        say(f"{place} runs already, with {counted(number, 'worker')}")
        making.tell(found, say)
        return
    with launch.interruptible(lambda: making.undo(place, say), say):
        _complete(found, found.scheduler, unfinished, say)
        remember(place.name, place.region, place.owner)
    making.tell(find_cluster(place), say)


def add(found: Cluster, request: CreateRequest, say: Say) -> None:
    """Launch further workers; those of a command for the same that was killed are among them."""
    place, scheduler = found.place, making.running_scheduler(found)
    number = 1 if request.number is None else request.number
    wanted = json.dumps(astuple(replace(request, number=number)))
    batch = unfinished_add(place.name, wanted, launch.LIMIT)
    there = [each.worker for each in found.workers if batch and _is_coming(each, batch)]
    if there:
        say(
            f"{place}: going on with {len(there)} of {counted(number, 'worker')}, launched by a "
            "command that was ended"
        )
    plan = plan_more(found, scheduler, replace(request, number=max(0, number - len(there))))
    plan = replace(plan, batch=batch or plan.batch)
    remember(place.name, place.region, place.owner, adding=Adding(plan.batch, wanted, time.time()))
    # Not after a failure that left some: the next one finds them.
    making.launch_plan(plan, scheduler, say, tuple(there))
    remember(place.name, place.region, place.owner)


def _is_coming(machine: Machine, batch: str) -> bool:
    return machine.tags.get("ess:batch") == batch and machine.state in ("pending", "running")


def _same(found: Cluster, number: int, half_made: bool) -> Machine:
    """Return the scheduler of a cluster that is what was asked for, or may become it."""
    awake = all(each.state in ("pending", "running") for each in found.machines)
    there = len(found.workers)
    enough = there <= number if half_made else there == number
    if found.scheduler is None or not awake or not enough:
        raise _something_else(found)
    return found.scheduler


def _something_else(found: Cluster) -> UsageError:
    states = ", ".join(f"{each.role} {each.state}" for each in found.machines)
    hint = "more workers: ess cluster create --add; to begin anew: ess cluster terminate"
    if any(each.state in ("stopped", "stopping") for each in found.machines):
        hint = "ess cluster start; or to begin anew: ess cluster terminate"
    return UsageError(f"{found.place} exists already: {states}", hint=hint)


def _complete(found: Cluster, scheduler: Machine, request: CreateRequest, say: Say) -> None:
    there = tuple(each.worker for each in found.workers)
    assert request.number is not None
    missing = request.number - len(there)
    say(
        f"{found.place} was begun by a command that was ended: going on with its scheduler and "
        f"{len(there)} of {counted(request.number, 'worker')}"
    )
    plan = plan_more(found, scheduler, replace(request, number=missing))
    plan = replace(plan, batch=scheduler.tags.get("ess:batch", ""))
    if missing:
        making.launch_more(plan, scheduler, say)
    else:
        await_scheduler(found.place, scheduler)
    making.wait(replace(plan, workers=there + plan.workers), say)
