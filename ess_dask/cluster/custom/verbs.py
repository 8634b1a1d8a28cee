"""The verbs of ``ess cluster`` for your own machines: look at them, forget them, and let the
worker of a host join or leave.

Nothing is bought and nothing is powered on or off, so the other verbs do not apply.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ess_dask.cluster.custom import endpoint
from ess_dask.cluster.custom.record import (
    HostsState,
    alone,
    forget,
    hosts_folder,
    read_record,
    recorded,
)
from ess_dask.cluster.custom.reservation import HostsReservation, read_reservation, reservation_path
from ess_dask.cluster.probing import address_of, answers, parts
from ess_dask.cluster.verbs import MachineState, Say
from ess_dask.errors import TransientError, UsageError

UNREACHABLE = "unreachable"
STOPPED = "stopped"


def status() -> tuple[MachineState, ...]:
    """Return scheduler and workers as the scheduler knows them, and the hosts that have none."""
    found = read_reservation()
    if found is None:
        return ()
    machines = _known_to_scheduler()
    if not isinstance(found, HostsReservation):
        if machines:
            return machines
        host = parts(found.address)[0]
        return (MachineState("scheduler", "scheduler", UNREACHABLE, private_ip=host),)
    names = [machine.id for machine in machines]
    return machines + tuple(
        MachineState(host, "worker", _reached(host, found.port), private_ip=host)
        for host in found.hosts
        if not _is_on(host, names, found.hosts)
    )


def iplist(private: bool) -> tuple[str, ...]:
    """Return the addresses of the machines, the scheduler's first; there is one kind of them."""
    found = read_reservation()
    if found is None:
        return ()
    if isinstance(found, HostsReservation):
        state = read_record(hosts_folder(found.id))
        first = parts(state.address)[0] if state else found.hosts[0]
        return tuple(dict.fromkeys((first, *found.hosts)))
    machines = status()
    return tuple(dict.fromkeys(machine.private_ip for machine in machines))


def add(ids: Sequence[str], say: Say) -> None:
    """Start workers on hosts of the reservation that have none: after a reboot, or ``remove``.

    Raises ``UsageError`` for a host that is not in it, and what ``hosts.start_workers`` raises.
    """
    from ess_dask.cluster.custom.hosts import start_workers
    from ess_dask.cluster.options import options_from_settings

    state = _running(ids)
    hosts = state.reservation.hosts
    with alone(hosts_folder(state.reservation.id)):
        names = [machine.id for machine in _known_to_scheduler()]
        missing = [host for host in dict.fromkeys(ids) if not _is_on(host, names, hosts)]
        for host in set(ids) - set(missing):
            say(f"the worker on {host} is running already")
        if missing:
            start_workers(state, missing, options_from_settings(), say)
            say(f"started {', '.join(missing)}")


def remove(ids: Sequence[str], say: Say) -> None:
    """End the workers on some hosts; what they hold moves to the others first.

    Raises ``UsageError`` for a host that is not in the reservation and for the last worker,
    ``TransientError`` when the others have no room: nothing is ended then.
    """
    from ess_dask.cluster.custom.hosts import stop_workers
    from ess_dask.cluster.graceful import before_removal, working_on_if_it_fails
    from ess_dask.cluster.machines import connect

    state = _running(ids)
    hosts = state.reservation.hosts
    place = endpoint()
    assert place is not None
    with alone(hosts_folder(state.reservation.id)), connect(place) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"].items()
        names = {address: str(each["name"]) for address, each in workers}
        leaving = [
            at for at, name in names.items() if any(_is_on(host, [name], hosts) for host in ids)
        ]
        if len(leaving) == len(names):
            raise UsageError(
                "no worker of the custom cluster would be left",
                hint="to end it, and its tables with it: ess cluster reset",
            )
        before_removal(client, leaving, say)
        with working_on_if_it_fails(client, leaving):
            stop_workers(state.reservation, tuple(dict.fromkeys(ids)))
    say(f"removed {', '.join(dict.fromkeys(ids))}")


def reset(say: Say) -> None:
    """End what was started on the hosts, and forget it; a cluster of others is left alone."""
    from ess_dask.cluster.custom.hosts import stop_hosts

    found = read_reservation()
    known = recorded()
    if found is None and known:
        # Whoever is in another folder does not mean all that was ever started from this home.
        names = ", ".join(sorted(repr(each.reservation.id) for each in known))
        raise UsageError(
            f"there is no {reservation_path()}, so it is not known which cluster is to end",
            hint=f"started were {names}: go to the folder with that one's reservation.json",
        )
    states = [each for each in known if found is not None and each.reservation.id == found.id]
    if not states:
        say("nothing of a custom cluster was started from here")
    for state in states:
        folder = hosts_folder(state.reservation.id)
        with alone(folder):
            ended = stop_hosts(state.reservation)
            forget(folder)
        say(f"ended {ended} processes of the custom cluster {state.reservation.id!r}")


def _running(ids: Sequence[str]) -> HostsState:
    """Return the cluster of the reservation, which has all these hosts and runs."""
    found = read_reservation()
    if not isinstance(found, HostsReservation):
        raise UsageError(
            "workers are started and ended on hosts that are reached by ssh only",
            hint='they stand as "ip_list" in reservation.json',
        )
    unknown = sorted(set(ids) - set(found.hosts))
    if unknown:
        raise UsageError(
            f"{unknown[0]!r} is no host of {reservation_path()}", hint=", ".join(found.hosts)
        )
    state = read_record(hosts_folder(found.id))
    if state is None or endpoint() is None:
        raise UsageError(
            f"the custom cluster {found.id!r} does not run",
            hint="the next command that needs it starts it",
        )
    return state


def _is_on(host: str, names: Sequence[str], hosts: Sequence[str]) -> bool:
    """Say whether one of the workers so named is on the host; there may be several on one."""
    numbered = re.compile(rf"{re.escape(host)}-\d+")
    # A host may be named as a worker of another one would be.
    return any(name == host or (numbered.fullmatch(name) and name not in hosts) for name in names)


def _known_to_scheduler() -> tuple[MachineState, ...]:
    from ess_dask.cluster.workers import machine_states

    try:
        place = endpoint()
        return () if place is None else machine_states(place)
    except TransientError:
        return ()


def _reached(host: str, port: int) -> str:
    """Say ``stopped`` of a host that is up and runs no worker: its ssh port answers."""
    try:
        return STOPPED if answers(address_of(host, port)) else UNREACHABLE
    except OSError:
        return UNREACHABLE
