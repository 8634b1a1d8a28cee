"""Your own machines: a cluster that runs already, or hosts that are reached by ssh."""

from __future__ import annotations

from collections.abc import Callable

from ess_dask.cluster.custom.reservation import (
    HostsReservation,
    Reservation,
    read_reservation,
    reservation_path,
)
from ess_dask.cluster.endpoint import Endpoint
from ess_dask.errors import ConfigError, TransientError


def endpoint() -> Endpoint | None:
    """Return where the cluster of ``reservation.json`` is reached.

    None without that file, and when the hosts that it names do not run one now. Raises
    ``TransientError`` when the host of the scheduler does not answer at all.
    """
    found = read_reservation()
    if isinstance(found, HostsReservation):
        return _of_hosts(found)
    return None if found is None else _of_address(found)


def ensure_endpoint(say: Callable[[str], None]) -> Endpoint:
    """Return where the cluster is reached; hosts are made into one by ssh, and ``say`` says so.

    Raises ``ConfigError`` when none is described, and what ``hosts.start_hosts`` raises.
    """
    found = read_reservation()
    if found is None:
        raise ConfigError(
            f"there is no {reservation_path()}, so no custom cluster is known",
            hint='write {"id": "NAME", "pem": "KEY", "ip_list": ["HOST"]} or '
            '{"id": "NAME", "address": "tls://HOST:PORT", "tls": "FOLDER"} into it',
        )
    if isinstance(found, Reservation):
        return _of_address(found)
    return _of_hosts(found) or _started(found, say)


def _of_address(found: Reservation) -> Endpoint:
    advice = f"see that the scheduler runs, and its address in {reservation_path()}"
    return Endpoint("custom", found.id, found.address, found.tls, True, advice)


def _of_hosts(found: HostsReservation) -> Endpoint | None:
    from ess_dask.cluster.custom.record import hosts_folder, read_record
    from ess_dask.cluster.probing import answers

    folder = hosts_folder(found.id)
    state = read_record(folder)
    if state is None or not state.ready:
        return None
    if state.reservation != found:
        raise ConfigError(
            f"{reservation_path()} has changed since the cluster {found.id!r} was started",
            hint="end that one: ess cluster reset",
        )
    advice = "ess cluster status; to begin anew: ess cluster reset"
    try:
        if not answers(state.address):
            return None
    except OSError as error:
        raise TransientError(
            f"the scheduler of the custom cluster at {state.address} cannot be reached: {error}",
            hint=advice,
        ) from None
    return Endpoint("custom", found.id, state.address, folder / "tls", True, advice)


def _started(found: HostsReservation, say: Callable[[str], None]) -> Endpoint:
    from ess_dask.cluster.custom.hosts import start_hosts
    from ess_dask.cluster.custom.record import alone, hosts_folder
    from ess_dask.cluster.options import options_from_settings

    folder = hosts_folder(found.id)
    with alone(folder):
        # Another command may have been faster.
        running = _of_hosts(found)
        if running:
            return running
        state = start_hosts(found, options_from_settings(), say)
    say(f"started the custom cluster {found.id!r} at {state.address}; end it: ess cluster reset")
    return Endpoint("custom", found.id, state.address, folder / "tls", True)
