"""Partitions follow the machines: spread evenly when workers join, moved before workers go.

The number of partitions stays. A partition is moved by Dask's memory manager: copied to its new
worker first and dropped from the old one then, so that whoever reads it meanwhile finds it; if it
is lost on the way, it is made again from its segments.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ess_dask.errors import LockedError

if TYPE_CHECKING:
    from distributed import Client, Future

    from ess_dask.tables.session import Session
    from ess_dask.tables.table import MemoryTable

SPREAD_SECONDS = 600.0
"""How long moving may take before it is left to go on by itself."""

_POLL = 0.1

Key = Any
"""A Dask key."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What ``spread`` did: partitions and bytes that moved, and those there are in all."""

    partitions: int
    bytes: int
    all_partitions: int
    all_bytes: int


def spread(session: Session, say: Callable[[str], None], timeout: float = SPREAD_SECONDS) -> Moved:
    """Spread the partitions of all tables evenly over the workers there are now.

    The same partition numbers of different tables lie on the same worker, as far as those tables
    have the same number of partitions; as few bytes as possible move. Raises ``LockedError`` after
    ``timeout`` seconds: what is not moved then goes on moving.
    """
    tables = [session.store.open(name) for name in session.store.names()]
    try:
        held = _held(session.client, tables)
        places = _places(session.client, held, tables)
        moves = {key: place for key, place in places.items() if held[key].workers != (place,)}
        if moves:
            _move(session.client, moves, timeout)
    finally:
        for table in tables:
            table.close()
    size = sum(part.bytes for part in held.values())
    moved = Moved(len(moves), sum(held[key].bytes for key in moves), len(held), size)
    if moves:
        say(f"{moved.partitions:,} of {moved.all_partitions:,} partitions moved to other workers")
    return moved


def spread_held(say: Callable[[str], None]) -> None:
    """Spread the tables of the running cluster, if there is one, over its workers."""
    from ess_dask.tables.session import watching_session

    session = watching_session()
    if session is not None:
        with session:
            spread(session, say)


@dataclass(frozen=True, slots=True)
class Part:
    """A partition in memory: the workers that hold it (addresses) and its bytes."""

    workers: tuple[str, ...]
    bytes: int


def assign(weights: Sequence[Mapping[str, int]], workers: Sequence[str]) -> tuple[str, ...]:
    """Return the worker of each partition number: evenly many for each, as few bytes moved.

    ``weights[number]`` are the bytes of that number that a worker holds already. Every worker gets
    ``len(weights) / len(workers)`` numbers, rounded up or down. The same input gives the same.
    """
    least, more = divmod(len(weights), len(workers))
    wishes = sorted(
        (-size, number, workers.index(worker))
        for number, held in enumerate(weights)
        for worker, size in held.items()
        if worker in workers
    )
    places: dict[int, int] = {}
    load = [0] * len(workers)
    extra = more
    for _, number, place in wishes:
        if number in places or load[place] >= least + (extra > 0):
            continue
        extra -= load[place] == least
        places[number] = place
        load[place] += 1
    for number in range(len(weights)):
        if number not in places:
            place = min(range(len(workers)), key=lambda at: (load[at], at))
            places[number] = place
            load[place] += 1
    return tuple(workers[places[number]] for number in range(len(weights)))


def _held(client: Client, tables: Sequence[MemoryTable]) -> dict[Key, Part]:
    """Return where each partition lies; one that nobody holds just now is left out."""
    futures = [future for table in tables for future in table.futures]
    keys = [future.key for future in futures]
    sizes = client.nbytes(keys, summary=False) if keys else {}
    where = client.who_has(futures) if keys else {}
    return {
        key: Part(tuple(sorted(where[key])), int(sizes.get(key, 0)))
        for key in keys
        if where.get(key)
    }


def _places(
    client: Client, held: Mapping[Key, Part], tables: Sequence[MemoryTable]
) -> dict[Key, str]:
    """Return to which worker each partition belongs."""
    workers = _workers(client)
    by_count: dict[int, list[tuple[Future[Any], ...]]] = defaultdict(list)
    for table in tables:
        by_count[len(table.futures)].append(table.futures)
    places: dict[Key, str] = {}
    for count, some in sorted(by_count.items()) if workers else ():
        weights: list[dict[str, int]] = [defaultdict(int) for _ in range(count)]
        for futures in some:
            for number, future in enumerate(futures):
                for worker in held[future.key].workers if future.key in held else ():
                    # Empty ones have a place, too.
                    weights[number][worker] += held[future.key].bytes + 1
        for number, worker in enumerate(assign(weights, workers)):
            for futures in some:
                if futures[number].key in held:
                    places[futures[number].key] = worker
    return places


def _workers(client: Client) -> tuple[str, ...]:
    """Return the addresses of the workers that take work, by their names."""
    found = client.scheduler_info(n_workers=-1)["workers"]
    names = {address: str(worker["name"]) for address, worker in found.items()}
    usable = [address for address, worker in found.items() if worker["status"] == "running"]
    return tuple(sorted(usable, key=lambda address: (len(names[address]), names[address])))


def _move(client: Client, moves: Mapping[Key, str], timeout: float) -> None:
    client.run_on_scheduler(order_moves, dict(moves), timeout)
    deadline = time.monotonic() + timeout
    while True:
        left = client.run_on_scheduler(moves_left, dict(moves))
        if not left:
            return
        if time.monotonic() > deadline:
            raise LockedError(
                f"{left} partitions have not moved for {timeout:.0f} s",
                hint="they go on moving; look again later: ess udbd ckmem",
            )
        time.sleep(_POLL)
        client.amm.run_once()


def order_moves(moves: Mapping[Key, str], timeout: float, dask_scheduler: Any) -> None:
    """Have the scheduler's memory manager move keys to workers (by address). Runs on it."""
    from distributed.active_memory_manager import ActiveMemoryManagerExtension

    manager = dask_scheduler.extensions.get("amm")
    if manager is None:
        manager = ActiveMemoryManagerExtension(dask_scheduler, policies=set(), start=False)
        dask_scheduler.extensions["amm"] = manager
    manager.add_policy(_policy(moves, time.monotonic() + timeout))
    if not manager.running:
        manager.start()
    manager.run_once()


def moves_left(moves: Mapping[Key, str], dask_scheduler: Any) -> int:
    """Return how many keys are not yet on their worker alone. Runs on the scheduler."""
    left = 0
    for key, address in moves.items():
        task, worker = dask_scheduler.tasks.get(key), dask_scheduler.workers.get(address)
        # What is gone, or belongs to a worker that is gone, has nowhere to go.
        if task is not None and task.who_has and worker is not None:
            left += task.who_has != {worker}
    return left


def _policy(moves: Mapping[Key, str], until: float) -> Any:
    from distributed.active_memory_manager import ActiveMemoryManagerPolicy, Suggestion

    class MoveTables(ActiveMemoryManagerPolicy):
        """Suggests what is to be done next for each key; ends by itself."""

        def run(self) -> Any:
            scheduler = self.manager.scheduler
            open_moves = False
            for key, address in moves.items():
                task, worker = scheduler.tasks.get(key), scheduler.workers.get(address)
                if task is None or worker is None or not task.who_has:
                    continue
                others = task.who_has - {worker}
                open_moves |= bool(others)
                if worker not in task.who_has:
                    yield Suggestion("replicate", task, {worker})
                elif others:
                    for _ in others:
                        yield Suggestion("drop", task, others)
            if not open_moves or time.monotonic() > until:
                self.manager.policies.discard(self)

    return MoveTables()
