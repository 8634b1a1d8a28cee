"""Machines on EC2: found by their tags, made and changed by the verbs, reached by mutual TLS."""

from __future__ import annotations

from collections.abc import Callable

from ess_dask.cluster.endpoint import Endpoint
from ess_dask.errors import ConfigError


def endpoint() -> Endpoint | None:
    """Return where the scheduler of the running cluster is reached; None when none runs.

    AWS is asked, no Dask is imported. Raises ``ConfigError`` when the cluster's certificates are
    not on this machine, and what ``find`` raises.
    """
    from ess_dask.cluster.ec2.find import find_cluster, here

    return find_cluster(here()).endpoint()


def ensure_endpoint(say: Callable[[str], None]) -> Endpoint:
    """Return where the cluster is reached; ``ConfigError`` when none runs: machines cost money."""
    from ess_dask.cluster.ec2.find import find_cluster, here

    found = find_cluster(here())
    endpoint = found.endpoint()
    if endpoint is None:
        state = "is stopped" if found.machines else "does not exist"
        raise ConfigError(
            f"cluster {found.place.name} {state} in {found.place.region}",
            hint="ess cluster start" if found.machines else "ess cluster create",
        )
    return endpoint
