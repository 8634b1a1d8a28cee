"""What a cluster does and holds at this moment: its workers and its memory tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ess_dask.cluster.workers import WorkerLoad, worker_loads
from ess_dask.dataclass import dataclass
from ess_dask.errors import TransientError, UsageError
from ess_dask.tables.session import Session
from ess_dask.tables.store import DATASET


@dataclass(frozen=True, slots=True)
class TableLoad:
    """A table in memory: ``rows`` None when counting them would be work, ``bytes`` in memory."""

    name: str
    rows: int | None
    bytes: int
    partitions: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A cluster at ``time`` (seconds since 1970 UTC)."""

    kind: str
    name: str
    address: str
    time: float
    workers: tuple[WorkerLoad, ...]
    tables: tuple[TableLoad, ...]


def take_snapshot(session: Session) -> Snapshot:
    """Ask the scheduler; ``TransientError`` when it is gone."""
    place = session.endpoint
    if session.client.status != "running":
        raise _lost(place.address)
    try:
        workers, tables = worker_loads(session.client), _tables(session)
    except OSError:
        raise _lost(place.address) from None
    return Snapshot(place.kind, place.name, place.address, time.time(), workers, tables)


def _tables(session: Session) -> tuple[TableLoad, ...]:
    found = []
    for name in session.names():
        try:
            with session.store.open(name) as table:
                rows = None if table.layout.merges else table.count()
                found.append((name, rows, table.layout.partitions, table.version.label))
        except UsageError:
            # Dropped since it was listed.
            continue
    if not found:
        return ()
    labels = [DATASET + label for *_, label in found]
    held = session.client.run_on_scheduler(_held_bytes, labels)
    return tuple(
        TableLoad(str(name), rows, size, partitions)
        for (name, rows, partitions, _), size in zip(found, held, strict=True)
    )


def _held_bytes(names: Sequence[str], dask_scheduler: Any) -> list[int]:
    """Return the bytes of published datasets, as their workers have told; run in the scheduler."""
    published = dask_scheduler.extensions["publish"].datasets
    return [
        sum(
            max(0, dask_scheduler.tasks[key].nbytes)
            for key in published.get(name, {"keys": ()})["keys"]
            if key in dask_scheduler.tasks
        )
        for name in names
    ]


def _lost(address: str) -> TransientError:
    return TransientError(
        f"the cluster at {address} does not answer any more", hint="ess cluster status"
    )
