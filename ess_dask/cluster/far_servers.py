"""What ``ess udbd`` asks of a cluster on other machines: memory and logs, through the scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client


def memory_lines() -> list[str] | None:
    """Describe the memory of each worker, by name and machine; None when no cluster runs."""
    from ess_dask.cluster.workers import worker_loads

    client = _client()
    if client is None:
        return None
    with client:
        return [
            f"worker {worker.name} ({worker.host}): {worker.used // 1024} kB used, "
            f"{worker.spilled // 1024} kB spilled, limit {worker.limit // 1024} kB."
            for worker in worker_loads(client)
        ]


def log_tail(lines: int) -> str:
    """Return the last ``lines`` lines of the scheduler's log, then of each worker's; '' without a
    cluster."""
    client = _client()
    if client is None:
        return ""
    with client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        logs = {"scheduler": client.get_scheduler_logs(lines)}
        found = client.get_worker_logs(lines)
    named = {
        f"worker {worker['name']} ({worker['host']})": found.get(address, ())
        for address, worker in workers.items()
    }
    logs |= dict(sorted(named.items()))
    return "".join(
        f"{who}: {line}\n"
        for who, entries in logs.items()
        # The newest comes first.
        for _, text in reversed(entries)
        for line in text.splitlines()
    )


def _client() -> Client | None:
    from ess_dask.cluster.machines import attach, connect_only

    found = attach()
    return None if found is None else connect_only(found)
