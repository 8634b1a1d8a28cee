"""The steps of making machines that a new cluster, more workers and a second try have in common."""

from __future__ import annotations

from dataclasses import replace

from ess_dask.cluster.ec2 import launch
from ess_dask.cluster.ec2.aws import client
from ess_dask.cluster.ec2.find import Cluster, Machine, Place, elsewhere, find_cluster
from ess_dask.cluster.ec2.plan import Plan
from ess_dask.cluster.ec2.prepare import plan_more
from ess_dask.cluster.ec2.prices import price, total
from ess_dask.cluster.ec2.reach import await_scheduler
from ess_dask.cluster.ec2.removal import SETTLE, end_where, remove_everything
from ess_dask.cluster.ec2.state import forget, tls_folder
from ess_dask.cluster.ec2.user_data import Boot, user_data
from ess_dask.cluster.verbs import CreateRequest, Say, counted
from ess_dask.documents.fields import show_seconds
from ess_dask.errors import TransientError, UsageError


def launch_workers(found: Cluster, request: CreateRequest, say: Say, stop: str = "") -> None:
    """Launch workers for a cluster whose scheduler runs and can be reached; see ``add_workers``.

    ``stop`` marks those that replace workers which a stop ended.
    """
    scheduler = running_scheduler(found)
    launch_plan(replace(plan_more(found, scheduler, request), stop=stop), scheduler, say)


def launch_plan(plan: Plan, scheduler: Machine, say: Say, there: tuple[str, ...] = ()) -> None:
    """Launch the workers of a plan, wait for them and tell; what fails is ended, by its batch.

    ``there`` are workers of the same batch that are launched already.
    """
    place = plan.place
    ec2 = client("ec2", place.region, place.credentials)

    def end_new() -> None:
        ours = plan.batch
        end_where(ec2, place, lambda each: each.tags.get("ess:batch") == ours, say, SETTLE)

    with launch.interruptible(end_new, say):
        if plan.workers:
            launch_more(plan, scheduler, say)
        else:
            await_scheduler(place, scheduler)
        wait(replace(plan, workers=there + plan.workers), say)
    tell(find_cluster(place), say)


def launch_more(plan: Plan, scheduler: Machine, say: Say) -> None:
    """Launch the workers of a plan beside a scheduler that runs, once it answers."""
    place = plan.place
    check_user_data(plan)
    await_scheduler(place, scheduler)
    say(f"launching {machines(len(plan.workers), plan.kind.name)} in {place.region}")
    launch.launch(plan, scheduler)


def running_scheduler(found: Cluster) -> Machine:
    """Return the machine of a scheduler that runs; ``UsageError`` says why there is none."""
    scheduler = found.scheduler
    if scheduler is None:
        hint = elsewhere(found.place) or "ess cluster create"
        raise UsageError(f"{found.place} does not exist", hint=hint)
    if scheduler.state != "running":
        raise UsageError(f"{found.place} is {scheduler.state}", hint="ess cluster start")
    return scheduler


def check_user_data(plan: Plan) -> None:
    """Raise ``ConfigError`` before anything is made, when EC2 would not take the user data."""
    software, tls = plan.software, tls_folder(plan.place.name)
    for role in ("scheduler", "worker"):
        user_data(Boot(role, software.image, software.requirements, tls, "w0000", "tls://" * 5))


def wait(plan: Plan, say: Say) -> None:
    """Wait until the workers of a plan have joined; see ``launch.wait_for_workers``."""
    endpoint = find_cluster(plan.place).endpoint()
    if endpoint is None:
        raise TransientError(f"{plan.place}: the scheduler's machine has ended", hint="try again")
    say(f"the scheduler answers; waiting for {counted(len(plan.workers), 'worker')}")
    launch.wait_for_workers(endpoint, plan)


def undo(place: Place, say: Say) -> None:
    """End all of a cluster that could not be made, and forget it."""
    remove_everything(place, say)
    forget(place.name)
    say("nothing is left")


def tell(found: Cluster, say: Say) -> None:
    """Say where it is, what it costs and how it ends."""
    place, scheduler = found.place, found.scheduler
    assert scheduler is not None
    where = scheduler.public_ip or scheduler.private_ip
    say(f"{place} runs: scheduler {where} and {counted(len(found.workers), 'worker')}")
    kinds = {(each.type, each.spot) for each in found.machines}
    prices = {each: price(place.region, *each, place.credentials) for each in kinds}
    costs = total(prices[each.type, each.spot] for each in found.machines)
    say(f"it costs {costs or 'per machine and hour (its price is not known here)'}, plus disks")
    idle = float(scheduler.tags.get("ess:idle-timeout", 0))
    ends = f"by itself after {show_seconds(idle)} without work" if idle else "never by itself"
    say(f"it ends {ends}; end it with: ess cluster terminate")


def machines(number: int, kind: str) -> str:
    """Return ``2 m7i.xlarge machines``."""
    return counted(number, f"{kind} machine")
