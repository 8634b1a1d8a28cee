"""The cluster in force, whatever its kind: find it, start it where that is possible, connect.

Each kind is a module with two functions: ``endpoint() -> Endpoint | None`` of a running cluster (no
Dask is imported) and ``ensure_endpoint(say) -> Endpoint``. A new kind is a line in ``_KINDS``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ess_dask.cluster.choice import chosen
from ess_dask.cluster.endpoint import Endpoint
from ess_dask.cluster.environment import ON_WORKER
from ess_dask.errors import ConfigError, TransientError

if TYPE_CHECKING:
    from distributed import Client

LOCAL_RECONNECT = 3.0
"""Seconds in which a lost connection to this machine may come back."""

_KINDS = {
    "local": "ess_dask.cluster.local",
    "ec2": "ess_dask.cluster.ec2",
    "custom": "ess_dask.cluster.custom",
}


def attach(kind: str = "") -> Endpoint | None:
    """Return the running cluster, None when there is none; it is not started.

    ``kind`` '' is the one in force (``choice.chosen``). Raises ``ConfigError`` when the cluster is
    of another release than this process.
    """
    found: Endpoint | None = _of(kind).endpoint()
    return found


def ensure_started(say: Callable[[str], None], kind: str = "") -> Endpoint:
    """Return the running cluster; start it, and ``say`` so, where that costs nothing.

    Machines that cost money are started by ``ess cluster create`` only: without them
    ``ConfigError`` says so.
    """
    found: Endpoint = _of(kind).ensure_endpoint(say)
    return found


def is_remote(kind: str = "") -> bool:
    """Say whether the workers of the cluster in force are on other machines than this one."""
    return chosen(kind) != "local"


def connect(endpoint: Endpoint, timeout: float = 15.0) -> Client:
    """Return a Dask client; mutual TLS, at most ``timeout`` seconds.

    It is not made the process' default client. Machines of others get this package when they lack
    it. Raises ``TransientError`` when the scheduler does not answer, ``ConfigError`` when the
    cluster's software is not that of this process.
    """
    client = connect_only(endpoint, timeout)
    if endpoint.remote:
        try:
            _equal_software(client, endpoint)
        except BaseException:
            client.close()
            raise
    return client


def _equal_software(client: Client, endpoint: Endpoint) -> None:
    from ess_dask.cluster.package import send_package
    from ess_dask.cluster.versions import check_versions

    try:
        check_versions(client, endpoint)
        send_package(client)
    except OSError as error:
        raise TransientError(
            f"the {endpoint.kind} cluster at {endpoint.address} was lost while connecting "
            f"({type(error).__name__})",
            hint=endpoint.advice,
        ) from None


def connect_only(endpoint: Endpoint, timeout: float = 15.0) -> Client:
    """Do what ``connect`` does, whatever software runs there."""
    from distributed import Client

    from ess_dask.cluster.tls import security

    _silence()
    try:
        client = Client(
            endpoint.address,
            security=security(endpoint.tls),
            timeout=timeout,
            set_as_default=False,
            # Workers of other machines may be reached through the scheduler only.
            direct_to_workers=not endpoint.remote,
        )
        if not endpoint.remote:
            # A connection of this machine to itself is lost for good: its scheduler has ended.
            client._timeout = min(timeout, LOCAL_RECONNECT)
        return client
    except (OSError, TimeoutError, ValueError) as error:
        raise TransientError(
            f"the {endpoint.kind} cluster at {endpoint.address} does not answer "
            f"({type(error).__name__})",
            hint=endpoint.advice,
        ) from None


def _of(kind: str) -> Any:
    if ON_WORKER in os.environ:
        raise ConfigError(
            "this is a worker of a cluster: tables in memory are reached from the master only",
            hint="run the command there: ess stream ... --master",
        )
    return import_module(_KINDS[chosen(kind)])


def _silence() -> None:
    """Keep Dask's own messages off the user's terminal: our errors say what happened."""
    import logging
    import warnings

    from distributed.versions import VersionMismatchWarning

    warnings.simplefilter("ignore", VersionMismatchWarning)
    for name in ("distributed", "distributed.client", "distributed.core", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
