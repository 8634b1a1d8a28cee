"""Hosts become a cluster: looked at, given their files, started, waited for; and ended again.

All or nothing: when one host fails, what was started on the others ends, and every host that failed
is named with its reason.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ess_dask.cluster.custom.agent import SUPERVISOR
from ess_dask.cluster.custom.record import HostsState, hosts_folder, write_record
from ess_dask.cluster.custom.reservation import HostsReservation, check_key
from ess_dask.cluster.custom.software import ready_hosts
from ess_dask.cluster.custom.ssh import Host, ask, on_all, remote_host, this_machine
from ess_dask.cluster.options import LocalOptions
from ess_dask.cluster.probing import address_of, address_towards, answers, names_on, parts
from ess_dask.errors import EssError, TransientError

START_TIMEOUT = 60.0

_ERROR = re.compile(r"[\w.]*(Error|Exception): ")

Say = Callable[[str], None]


def start_hosts(reservation: HostsReservation, options: LocalOptions, say: Say) -> HostsState:
    """Bring up scheduler and workers; return when all workers have joined.

    ``options`` are those of each host. Raises ``EssError`` (see ``ssh.ask``) that names every
    host that failed; then nothing runs.
    """
    from ess_dask.cluster.tls import ensure_certificates

    check_key(reservation.key)
    folder = hosts_folder(reservation.id)
    ensure_certificates(folder / "tls", ("127.0.0.1", "localhost", *reservation.hosts))
    workers = ready_hosts(reservation, folder, say)
    scheduler = this_machine() if reservation.here else workers[0]
    state = HostsState(_address(reservation), time.time(), False, reservation)
    # Before anything runs there: whoever is killed now leaves word of where to look.
    write_record(folder, state)
    say(f"starting a scheduler on {scheduler.name} and {len(workers)} workers")
    try:
        _start(scheduler, "scheduler", reservation, state.address, options)
        _wait_for_scheduler(scheduler, reservation, state.address)
        on_all(workers, lambda host: _start(host, "worker", reservation, state.address, options))
        _wait_for_workers(workers, state, options.workers)
    except BaseException:
        with suppress(EssError):
            stop_hosts(reservation)
        raise
    state = replace(state, ready=True)
    write_record(folder, state)
    return state


def start_workers(state: HostsState, names: Sequence[str], options: LocalOptions, say: Say) -> None:
    """Start workers on some hosts of a cluster that runs; return when they have joined.

    Raises as ``start_hosts`` does; then none of these runs.
    """
    reservation = state.reservation
    chosen = replace(reservation, hosts=tuple(names))
    workers = ready_hosts(chosen, hosts_folder(reservation.id), say)
    try:
        on_all(workers, lambda host: _start(host, "worker", reservation, state.address, options))
        _wait_for_workers(workers, state, options.workers)
    except BaseException:
        with suppress(EssError):
            stop_workers(reservation, names)
        raise


def stop_workers(reservation: HostsReservation, names: Sequence[str]) -> None:
    """End the workers on some hosts; what they hold must have been moved before."""
    known = hosts_folder(reservation.id) / "known_hosts"
    hosts = [remote_host(reservation, name, known) for name in names]
    request = {"action": "stop", "cluster": reservation.id, "role": "worker"}
    on_all(hosts, lambda host: ask(host, request))


def stop_hosts(reservation: HostsReservation) -> int:
    """End what runs for the cluster on its hosts; return how many processes that were.

    Raises when a host cannot be asked, after all others were.
    """
    folder = hosts_folder(reservation.id)
    hosts = [remote_host(reservation, name, folder / "known_hosts") for name in reservation.hosts]
    scheduler = this_machine() if reservation.here else hosts[0]

    def stop(host: Host) -> int:
        roles = ["worker"] if host.ssh else []
        roles += ["scheduler"] if host == scheduler else []
        asked = [{"action": "stop", "cluster": reservation.id, "role": role} for role in roles]
        return sum(int(ask(host, request)["stopped"]) for request in asked)

    return sum(on_all([*hosts, *([scheduler] if reservation.here else [])], stop))


def _start(
    host: Host, role: str, reservation: HostsReservation, address: str, options: LocalOptions
) -> None:
    here = Path(__file__)
    tls = hosts_folder(reservation.id) / "tls"
    texts = {path.name: path.read_text() for path in (tls / "ca.pem", tls / f"{role}.pem")}
    own = {name: here.with_name(name).read_text() for name in ("agent.py", "preload.py")}
    ask(
        host,
        {
            "action": "start",
            "cluster": reservation.id,
            "role": role,
            "host": host.name if role == "worker" or host.ssh else parts(address)[0],
            "files": texts | own | {"dask.json": json.dumps(_configuration(role, options))},
            "command": _command(role, host, address, options),
            "always": role == "worker",
        },
    )


def _command(role: str, host: Host, address: str, options: LocalOptions) -> list[str]:
    words = ["-m", f"distributed.cli.dask_{role}", "--preload", "preload.py", "--no-dashboard"]
    words += ["--dashboard-address", "127.0.0.1:0"]
    if role == "scheduler":
        return [*words, "--port", str(parts(address)[1])]
    words += [address, "--name", host.name, "--nworkers", str(options.workers)]
    words += ["--local-directory", "scratch", "--death-timeout", "30"]
    if options.threads:
        words += ["--nthreads", str(options.threads)]
    if options.memory_limit:
        words += ["--memory-limit", str(options.memory_limit)]
    return words


def _configuration(role: str, options: LocalOptions) -> dict[str, Any]:
    certificates = {"ca-file": "ca.pem", "min-version": 1.3, role: {"cert": f"{role}.pem"}}
    return {
        # Our own code is put there and imported: never a folder that others can write, as /tmp is.
        "temporary-directory": "scratch",
        "ess": {"idle-timeout": options.idle_timeout},
        "distributed": {
            "comm": {"require-encryption": True, "default-scheme": "tls", "tls": certificates},
            "scheduler": {"http": {"routes": []}},
            "worker": {"http": {"routes": []}},
        },
    }


def _address(reservation: HostsReservation) -> str:
    first = reservation.hosts[0]
    return address_of(
        address_towards(first) if reservation.here else first, reservation.scheduler_port
    )


def _wait_for_scheduler(host: Host, reservation: HostsReservation, address: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    reason = "nothing listens there"
    while time.monotonic() < deadline:
        try:
            if answers(address):
                return
        except OSError as error:
            reason = f"it cannot be reached from here ({error})"
        told = ask(host, {"action": "log", "cluster": reservation.id, "role": "scheduler"})
        if not told["alive"] or SUPERVISOR in told["log"]:
            # It ended once: to try it again would not free the port.
            break
        time.sleep(0.2)
    raise TransientError(
        f"the scheduler on {host.name} does not answer at {address}: {reason}{_last(told)}",
        hint='is the port free and open? "scheduler_port" in reservation.json is another one',
    )


def _wait_for_workers(hosts: Sequence[Host], state: HostsState, each: int) -> None:
    from ess_dask.cluster.endpoint import Endpoint
    from ess_dask.cluster.machines import connect_only

    reservation, deadline = state.reservation, time.monotonic() + START_TIMEOUT
    tls = hosts_folder(reservation.id) / "tls"
    missing = list(hosts)
    with connect_only(Endpoint("custom", reservation.id, state.address, tls, True)) as client:
        while missing and time.monotonic() < deadline:
            time.sleep(0.1)
            workers = client.scheduler_info(n_workers=-1)["workers"].values()
            joined = {str(worker["name"]) for worker in workers}
            missing = [host for host in hosts if not joined.issuperset(names_on(host.name, each))]
    if missing:
        on_all(missing, lambda host: _not_joined(host, reservation, state.address))


def _not_joined(host: Host, reservation: HostsReservation, address: str) -> None:
    told = ask(host, {"action": "log", "cluster": reservation.id, "role": "worker"})
    raise TransientError(
        f"the worker on {host.name} did not join {address} for {START_TIMEOUT:.0f} s{_last(told)}",
        hint=f"can {host.name} reach that port, and the hosts each other?",
    )


def _last(told: dict[str, Any]) -> str:
    """Return what to show of a log: the first error, which is the cause, else its last line."""
    lines = [line.strip() for line in told["log"].splitlines()]
    lines = [line for line in lines if line and not line.startswith(SUPERVISOR)]
    causes = [line for line in lines if _ERROR.match(line)]
    return f": {(causes or lines[-1:])[0]}" if lines else ""
