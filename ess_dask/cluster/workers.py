"""What a running cluster's scheduler knows of its machines, for every kind of cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ess_dask.cluster.endpoint import Endpoint
from ess_dask.cluster.nodes import natural
from ess_dask.cluster.verbs import MachineState
from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """One worker now: ``cpu`` in percent of one core; ``used``, ``limit``, ``spilled`` are bytes.

    ``running`` are tasks on its threads, ``ready`` those that wait for one.
    """

    name: str
    host: str
    threads: int
    cpu: float
    used: int
    limit: int
    spilled: int
    running: int
    ready: int


def machine_states(endpoint: Endpoint) -> tuple[MachineState, ...]:
    """Return the scheduler and its workers, in order of names."""
    from ess_dask.cluster.machines import connect_only

    with connect_only(endpoint) as client:
        info = _info(client)
    scheduler = MachineState(
        "scheduler",
        "scheduler",
        "running",
        private_ip=_host(info["address"]),
        reservation=endpoint.name,
        uptime=round(time.time() - info["started"]),
    )
    workers = [
        MachineState(
            str(worker["name"]),
            "worker",
            str(worker["status"]),
            private_ip=str(worker["host"]),
            cpu=int(worker["nthreads"]),
            memory=int(worker["memory_limit"] or 0) or None,
            reservation=endpoint.name,
        )
        for worker in _workers(info)
    ]
    return (scheduler, *workers)


def worker_loads(client: Client) -> tuple[WorkerLoad, ...]:
    """Return what each worker told the scheduler last (once a second), in order of names."""
    return tuple(_load(worker) for worker in _workers(_info(client)))


def _load(worker: dict[str, Any]) -> WorkerLoad:
    metrics = worker["metrics"]
    tasks = metrics.get("task_counts", {})
    return WorkerLoad(
        name=str(worker["name"]),
        host=str(worker["host"]),
        threads=int(worker["nthreads"]),
        cpu=float(metrics.get("cpu", 0.0)),
        used=int(metrics.get("memory", 0)),
        limit=int(worker["memory_limit"] or 0),
        spilled=int(metrics.get("spilled_bytes", {}).get("disk", 0)),
        running=int(tasks.get("executing", 0)),
        ready=int(tasks.get("ready", 0)) + int(tasks.get("constrained", 0)),
    )


def _info(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.scheduler_info(n_workers=-1)
    return found


def _workers(info: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(info["workers"].values(), key=lambda worker: natural(str(worker["name"])))


def _host(address: str) -> str:
    return urlsplit(address).hostname or ""
