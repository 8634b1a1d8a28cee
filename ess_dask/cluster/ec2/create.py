"""``ess cluster create``: a cluster, or more workers of the one that runs."""

from __future__ import annotations

from dataclasses import replace

from ess_dask.cluster.ec2 import launch, security_group
from ess_dask.cluster.ec2.aws import client
from ess_dask.cluster.ec2.find import Cluster, Machine, Place, find_cluster
from ess_dask.cluster.ec2.plan import Plan
from ess_dask.cluster.ec2.prepare import plan_cluster, plan_more, settings_of
from ess_dask.cluster.ec2.prices import price, total
from ess_dask.cluster.ec2.removal import SETTLE, end_where, remove_everything
from ess_dask.cluster.ec2.state import (
    changing,
    forget,
    remember_region,
    remembered_region,
    tls_folder,
)
from ess_dask.cluster.ec2.user_data import Boot, user_data
from ess_dask.cluster.tls import ensure_certificates
from ess_dask.cluster.verbs import CreateRequest, Say, counted
from ess_dask.documents.fields import show_seconds
from ess_dask.errors import TransientError, UsageError


def create_cluster(place: Place, request: CreateRequest, say: Say) -> None:
    """Make a cluster; nothing is left behind when that fails or is interrupted.

    The same cluster again is no error. Raises ``UsageError`` when another one of this name exists.
    """
    with changing(place.name):
        found = find_cluster(place)
        if found.machines:
            _check_same(found, request, say)
            return
        _check_nowhere_else(place)
        network = security_group.caller_network(settings_of(request))
        plan = plan_cluster(place, request)
        # Not yet under the clean-up: a group of this name that another one made stays his.
        group = _prepare(plan, network)
        with launch.interruptible(lambda: _undo(place, say), say):
            _make(replace(plan, group=group), say)
        _tell(find_cluster(place), plan, say)


def _prepare(plan: Plan, network: str) -> str:
    """Make certificates and security group; return the group. After an error none is left."""
    place = plan.place
    try:
        # What an earlier cluster of this name left: a new one has certificates of its own.
        forget(place.name)
        # First: it makes the folder for this user only, whatever the umask.
        remember_region(place.name, place.region)
        ensure_certificates(tls_folder(place.name))
        _check_user_data(plan)
        ec2 = client("ec2", place.region)
        return security_group.make_group(ec2, place, plan.network.vpc, network)
    except BaseException:
        forget(place.name)
        raise


def _make(plan: Plan, say: Say) -> None:
    machines = _machines(1 + len(plan.workers), plan.kind.name)
    say(f"launching {machines} in {plan.place.region}")
    launch.launch(plan)
    _wait(plan, say)


def add_workers(place: Place, request: CreateRequest, say: Say) -> None:
    """Launch further workers for a cluster that runs; what fails is ended again, the rest stays."""
    with changing(place.name):
        found = find_cluster(place)
        running_scheduler(found)
        network = security_group.caller_network(settings_of(request))
        security_group.let_in(client("ec2", place.region), place, network)
        launch_workers(found, request, say)


def launch_workers(found: Cluster, request: CreateRequest, say: Say) -> None:
    """Launch workers for a cluster whose scheduler runs and can be reached; see ``add_workers``."""
    place, scheduler = found.place, running_scheduler(found)
    plan = plan_more(found, scheduler, request)
    _check_user_data(plan)
    ec2 = client("ec2", place.region)

    def undo() -> None:
        ours = plan.batch
        end_where(ec2, place, lambda each: each.tags.get("ess:batch") == ours, say, SETTLE)

    with launch.interruptible(undo, say):
        say(f"launching {_machines(len(plan.workers), plan.kind.name)} in {place.region}")
        launch.launch(plan, scheduler)
        _wait(plan, say)
    _tell(find_cluster(place), plan, say)


def running_scheduler(found: Cluster) -> Machine:
    """Return the machine of a scheduler that runs; ``UsageError`` says why there is none."""
    scheduler = found.scheduler
    if scheduler is None:
        raise UsageError(f"{found.place} does not exist", hint="ess cluster create")
    if scheduler.state != "running":
        raise UsageError(f"{found.place} is {scheduler.state}", hint="ess cluster start")
    return scheduler


def _check_nowhere_else(place: Place) -> None:
    """Raise ``UsageError`` when the cluster of this name lives in another region."""
    known = remembered_region(place.name)
    if known in ("", place.region):
        return
    if find_cluster(replace(place, region=known)).machines:
        raise UsageError(
            f"cluster {place.name} exists already, in {known}",
            hint=f"ess cluster terminate --region {known}, or another name: ESS_CLUSTER_NAME",
        )


def _check_same(found: Cluster, request: CreateRequest, say: Say) -> None:
    number = 1 if request.number is None else request.number
    running = all(each.state in ("pending", "running") for each in found.machines)
    if found.scheduler and running and len(found.workers) == number:
        # Raises when nobody can connect from here: then it is no use to say that it runs.
        found.endpoint()
        say(f"{found.place} runs already, with {counted(number, 'worker')}")
        return
    states = ", ".join(f"{each.role} {each.state}" for each in found.machines)
    hint = "more workers: ess cluster create --add; to begin anew: ess cluster terminate"
    if any(each.state in ("stopped", "stopping") for each in found.machines):
        hint = "ess cluster start; or to begin anew: ess cluster terminate"
    raise UsageError(f"{found.place} exists already: {states}", hint=hint)


def _check_user_data(plan: Plan) -> None:
    """Raise ``ConfigError`` before anything is made, when EC2 would not take the user data."""
    software, tls = plan.software, tls_folder(plan.place.name)
    for role in ("scheduler", "worker"):
        user_data(Boot(role, software.image, software.requirements, tls, "w0000", "tls://" * 5))


def _wait(plan: Plan, say: Say) -> None:
    endpoint = find_cluster(plan.place).endpoint()
    if endpoint is None:
        raise TransientError(f"{plan.place}: the scheduler's machine has ended", hint="try again")
    say(f"the scheduler answers; waiting for {counted(len(plan.workers), 'worker')}")
    launch.wait_for_workers(endpoint, plan)


def _undo(place: Place, say: Say) -> None:
    remove_everything(place, say)
    forget(place.name)
    say("nothing is left")


def _tell(found: Cluster, plan: Plan, say: Say) -> None:
    """Say where it is, what it costs and how it ends."""
    place, scheduler = found.place, found.scheduler
    assert scheduler is not None
    where = scheduler.public_ip or scheduler.private_ip
    say(f"{place} runs: scheduler {where} and {counted(len(found.workers), 'worker')}")
    kinds = {(each.type, each.spot) for each in found.machines}
    prices = {(kind, spot): price(place.region, kind, spot) for kind, spot in kinds}
    costs = total(prices[each.type, each.spot] for each in found.machines)
    say(f"it costs {costs or 'per machine and hour (its price is not known here)'}, plus disks")
    idle = float(scheduler.tags.get("ess:idle-timeout", plan.idle_timeout))
    ends = f"by itself after {show_seconds(idle)} without work" if idle else "never by itself"
    say(f"it ends {ends}; end it with: ess cluster terminate")


def _machines(number: int, kind: str) -> str:
    return counted(number, f"{kind} machine")
