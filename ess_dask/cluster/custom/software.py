"""The software on hosts: compared with that of this machine, or installed there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from ess_dask.cluster.custom.reservation import HostsReservation
from ess_dask.cluster.custom.ssh import Host, ask, on_all, remote_host
from ess_dask.cluster.versions import PRESENT, RESULTS, WIRE, differing
from ess_dask.errors import ConfigError

INSTALL_TIMEOUT = 1800.0


def ready_hosts(
    reservation: HostsReservation, folder: Path, say: Callable[[str], None]
) -> list[Host]:
    """Return the hosts with a Python that has the releases of this one; raise naming others."""
    from distributed.versions import get_package_info

    names = [*WIRE, *RESULTS, *PRESENT]
    here = get_package_info(names)
    hosts = [remote_host(reservation, name, folder / "known_hosts") for name in reservation.hosts]
    if reservation.install:
        say(f"installing the software on {len(hosts)} hosts where it is missing")
        hosts = on_all(hosts, _installed)

    def check(host: Host) -> None:
        found = ask(host, {"action": "look", "packages": names})["packages"]
        differences = differing(here, found)
        if differences:
            raise ConfigError(
                f"{host.name} has other software than this machine: {', '.join(differences)}",
                hint="install the releases of requirements.lock there, name a Python that has "
                'them as "python", or set "install": true in reservation.json',
            )

    on_all(hosts, check)
    return hosts


def _installed(host: Host) -> Host:
    from ess_dask.cluster.ec2.software import pinned_requirements

    lines = pinned_requirements()
    digest = hashlib.sha256(lines.encode()).hexdigest()[:16]
    request = {"action": "install", "requirements": lines, "digest": digest}
    answer = ask(host, request, INSTALL_TIMEOUT)
    return Host(host.name, host.ssh, (answer["python"],))
