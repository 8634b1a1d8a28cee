"""The verbs of ``ess cluster`` for your own machines: look at them, forget them.

Nothing is bought and nothing is powered on or off, so the other verbs do not apply.
"""

from __future__ import annotations

from ess_dask.cluster.custom import endpoint
from ess_dask.cluster.custom.probing import address_of, answers, parts
from ess_dask.cluster.custom.record import alone, forget, hosts_folder, read_record, recorded
from ess_dask.cluster.custom.reservation import HostsReservation, read_reservation
from ess_dask.cluster.verbs import MachineState, Say
from ess_dask.errors import TransientError

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
    joined = {machine.id for machine in machines}
    return machines + tuple(
        MachineState(host, "worker", _reached(host, found.port), private_ip=host)
        for host in found.hosts
        if host not in joined
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


def reset(say: Say) -> None:
    """End what was started on the hosts, and forget it; a cluster of others is left alone."""
    from ess_dask.cluster.custom.hosts import stop_hosts

    found = read_reservation()
    states = [each for each in recorded() if found is None or each.reservation.id == found.id]
    if not states:
        say("nothing of a custom cluster was started from here")
    for state in states:
        folder = hosts_folder(state.reservation.id)
        with alone(folder):
            ended = stop_hosts(state.reservation)
            forget(folder)
        say(f"ended {ended} processes of the custom cluster {state.reservation.id!r}")


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
