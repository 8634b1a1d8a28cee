"""``ess cluster create``: a cluster, or more workers of the one that runs."""

from __future__ import annotations

from dataclasses import replace

from ess_dask.cluster.ec2 import launch, resume, security_group
from ess_dask.cluster.ec2.aws import client
from ess_dask.cluster.ec2.find import Place, find_cluster
from ess_dask.cluster.ec2.making import (
    check_user_data,
    machines,
    running_scheduler,
    tell,
    undo,
    wait,
)
from ess_dask.cluster.ec2.plan import Plan
from ess_dask.cluster.ec2.prepare import plan_cluster, settings_of
from ess_dask.cluster.ec2.state import (
    changing,
    forget,
    keep_credentials,
    remember,
    remembered_region,
    tls_folder,
)
from ess_dask.cluster.ec2.typed import check_typed
from ess_dask.cluster.tls import ensure_certificates
from ess_dask.cluster.verbs import CreateRequest, Say
from ess_dask.errors import UsageError


def create_cluster(place: Place, request: CreateRequest, say: Say) -> None:
    """Make a cluster; nothing is left behind when that fails or is interrupted.

    The same cluster again is no error, and goes on where a killed command ended. Raises
    ``UsageError`` when another one of this name exists.
    """
    with changing(place.name):
        found = find_cluster(place)
        if found.machines:
            resume.take_over(found, request, say)
            return
        _check_nowhere_else(place)
        network = security_group.caller_network(settings_of(request))
        plan = plan_cluster(place, request)
        # Not yet under the clean-up: a group of this name that another one made stays his.
        group = _prepare(plan, request, network)
        with launch.interruptible(lambda: undo(place, say), say):
            _make(replace(plan, group=group), say)
            remember(place.name, place.region, place.owner)
        tell(find_cluster(place), say)


def _prepare(plan: Plan, request: CreateRequest, network: str) -> str:
    """Make certificates and security group; return the group. After an error none is left."""
    place = plan.place
    try:
        # What an earlier cluster of this name left: a new one has certificates of its own.
        forget(place.name)
        # First: it makes the folder for this user only, whatever the umask.
        making = replace(request, number=len(plan.workers))
        remember(place.name, place.region, place.owner, making=making)
        keep_credentials(place.name, place.credentials)
        ensure_certificates(tls_folder(place.name))
        check_user_data(plan)
        ec2 = client("ec2", place.region, place.credentials)
        return security_group.make_group(ec2, place, plan.network.vpc, network)
    except BaseException:
        forget(place.name)
        raise


def _make(plan: Plan, say: Say) -> None:
    say(f"launching {machines(1 + len(plan.workers), plan.kind.name)} in {plan.place.region}")
    launch.launch(plan)
    wait(plan, say)


def add_workers(place: Place, request: CreateRequest, say: Say) -> None:
    """Launch further workers for a cluster that runs; what fails is ended again, the rest stays.

    The same again after one that was killed goes on with what that one has launched. Raises
    ``UsageError`` for an idle time other than the cluster's, which is its scheduler's.
    """
    with changing(place.name):
        found = find_cluster(place)
        running_scheduler(found)
        check_typed(found, CreateRequest(idle_timeout=request.idle_timeout))
        # Raises when nobody can connect from here.
        found.endpoint()
        network = security_group.caller_network(settings_of(request))
        security_group.let_in(client("ec2", place.region, place.credentials), place, network)
        resume.add(found, request, say)


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
