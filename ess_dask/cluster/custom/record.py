"""What is kept here of a cluster that was started over ssh: its folder below ``ESS_CACHE_DIR``.

custom/ID/start.lock   held while a command starts or ends it
custom/ID/state.json   the scheduler's address; and what it was started from
custom/ID/tls/         certificates; those of the client and the authority never leave it
custom/ID/known_hosts  the hosts' own keys, as they were when first seen
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

from ess_dask.cluster.custom.reservation import HostsReservation
from ess_dask.cluster.state import holding, private_folder
from ess_dask.dataclass import dataclass
from ess_dask.folders import cache_dir


@dataclass(frozen=True, slots=True)
class HostsState:
    """A cluster as it was started, at ``started`` (seconds since 1970 UTC).

    ``address`` is the scheduler's; ``ready``: all workers had joined.
    """

    address: str
    started: float
    ready: bool
    reservation: HostsReservation


def hosts_folder(name: str) -> Path:
    """Return the folder of a cluster, made if missing, mode 0700."""
    return private_folder(cache_dir() / "custom" / name)


def read_record(folder: Path) -> HostsState | None:
    """Return what was written when the cluster came up; None when there is nothing usable."""
    try:
        found = json.loads((folder / "state.json").read_bytes())
        place = found.pop("reservation")
        place |= {name: tuple(place[name]) for name in ("hosts", "python")}
        return HostsState(
            **found, reservation=HostsReservation(**place | {"key": Path(place["key"])})
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_record(folder: Path, state: HostsState) -> None:
    """Write the state by rename, for this user only."""
    part = folder / "state.json.part"
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(asdict(state), out, default=str)
    part.replace(folder / "state.json")


def recorded() -> list[HostsState]:
    """Return all clusters that were started over ssh and not ended by ``reset``."""
    folders = sorted((cache_dir() / "custom").glob("*"))
    return [state for folder in folders if (state := read_record(folder))]


def forget(folder: Path) -> None:
    """Remove what is kept of a cluster, but for the lock that the caller holds."""
    for name in ("state.json", "known_hosts", "known_hosts.old"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "tls", ignore_errors=True)


def alone(folder: Path, timeout: float = 180.0) -> AbstractContextManager[None]:
    """Let one command at a time start or end the cluster."""
    busy = f"has been starting or ending the custom cluster for {timeout:.0f} s"
    return holding(folder, "start.lock", timeout, busy, "wait for it, or end it")
