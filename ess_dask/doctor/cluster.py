"""The cluster in force: does it run, does it answer, has it the same software."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.cluster.choice import remembered
from ess_dask.doctor.model import Check, lacking, ok, warn
from ess_dask.folders import cache_path

if TYPE_CHECKING:
    from ess_dask.doctor.subject import Subject

_START = {
    "ec2": "ess cluster create, or ess cluster start",
    "custom": "the next command that needs it starts it by ssh; one of others: start its scheduler",
}


def check_cluster(subject: Subject) -> Check:
    """Say how the cluster is; it is not started. Raises what finding and asking it raises."""
    from ess_dask.cluster.machines import attach, connect_only
    from ess_dask.cluster.versions import check_versions

    kind = subject.settings.cluster or remembered()
    missing = lacking("cluster", "dask_cloudprovider", "ec2") if kind == "ec2" else None
    if missing:
        return missing
    # Looking for one would make the folder of the state.
    endpoint = attach(kind) if cache_path().exists() else None
    if endpoint is None and kind == "local":
        return ok("cluster", "local, does not run; started when a table is made")
    if endpoint is None:
        return warn("cluster", f"{kind}, does not run", _START[kind])
    with connect_only(endpoint, max(1.0, subject.seconds - 2)) as client:
        check_versions(client, endpoint)
        workers = client.scheduler_info(n_workers=-1)["workers"]
    threads = sum(int(worker["nthreads"]) for worker in workers.values())
    found = f"{kind} at {endpoint.address}, {len(workers)} workers, {threads} threads"
    return ok("cluster", found) if workers else warn("cluster", found, "ess cluster create --add")
