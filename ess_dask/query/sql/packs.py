"""Which partitions one task works on: several that lie on one worker, so that tasks are few.

Each partition is still answered by itself, so how they are packed changes no answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from distributed import Client, Future, Scheduler

Pack = tuple[int, ...]
"""Numbers of partitions, ascending."""

MOST_BYTES = 64 << 20
"""Rows of a task, about: all its partitions are in memory at once, those that were spilled too."""

TASKS = 4
"""Tasks for each thread, so that all threads end at about the same time."""


def packs(client: Client, futures: Sequence[Future[pa.Table]], sizes: Sequence[int]) -> list[Pack]:
    """Return the partitions of each task, in the order of their first; ``sizes`` are bytes.

    Raises what asking the scheduler raises.
    """
    if len(futures) == 1:
        return [(0,)]
    keys = [future.key for future in futures]
    places, threads = client.run_on_scheduler(_placed, keys)
    return packed(places, sizes, threads)


def packed(places: Sequence[str], sizes: Sequence[int], threads: int) -> list[Pack]:
    """Return packs of partitions that lie in one place, for so many threads in all."""
    most = min(MOST_BYTES, sum(sizes) / (TASKS * threads))
    return sorted(
        pack for place in dict.fromkeys(places) for pack in _packs_at(place, places, sizes, most)
    )


def _packs_at(
    place: str, places: Sequence[str], sizes: Sequence[int], most: float
) -> Iterator[Pack]:
    pack: list[int] = []
    held = 0
    for number, (where, size) in enumerate(zip(places, sizes, strict=True)):
        if where != place:
            continue
        # As near to it as whole partitions come.
        if pack and held + size / 2 > most:
            yield tuple(pack)
            pack, held = [], 0
        pack.append(number)
        held += size
    if pack:
        yield tuple(pack)


def _placed(keys: list[str], dask_scheduler: Scheduler) -> tuple[list[str], int]:
    """Return the worker that holds each task ('': none now), and the threads of all workers."""
    # Dask passes the scheduler under this name.
    places = []
    for key in keys:
        task = dask_scheduler.tasks.get(key)
        holders = sorted(worker.address for worker in task.who_has or ()) if task else []
        places.append(holders[0] if holders else "")
    threads = sum(worker.nthreads for worker in dask_scheduler.workers.values())
    return places, max(1, threads)
