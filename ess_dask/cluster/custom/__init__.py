"""Your own machines: a cluster that runs already, or hosts that are reached by ssh."""

from __future__ import annotations

from collections.abc import Callable

from ess_dask.cluster.custom.reservation import read_reservation, reservation_path
from ess_dask.cluster.endpoint import Endpoint
from ess_dask.errors import ConfigError


def endpoint() -> Endpoint | None:
    """Return where the cluster of ``reservation.json`` is reached; None without that file."""
    found = read_reservation()
    if found is None:
        return None
    advice = f"see that the scheduler runs, and its address in {reservation_path()}"
    return Endpoint("custom", found.id, found.address, found.tls, True, advice)


def ensure_endpoint(say: Callable[[str], None]) -> Endpoint:
    """Return where the cluster is reached; ``ConfigError`` when none is described."""
    found = endpoint()
    if found is None:
        raise ConfigError(
            f"there is no {reservation_path()}, so no custom cluster is known",
            hint='write {"id": "NAME", "address": "tls://HOST:PORT", "tls": "FOLDER"} into it',
        )
    return found
