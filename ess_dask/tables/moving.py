"""Partitions follow the machines: spread evenly when workers join, moved before workers go.

The number of partitions stays. A partition is moved by Dask's memory manager: copied to its new
worker first and dropped from the old one then, so that whoever reads it meanwhile finds it; if it
is lost on the way, it is made again from its segments.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import TransientError

if TYPE_CHECKING:
    from distributed import Client, Future

    from ess_dask.tables.session import Session
    from ess_dask.tables.table import MemoryTable

STALLED_SECONDS = 120.0
"""How long no partition may arrive before moving is given up."""

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


def spread(
    session: Session, say: Callable[[str], None], patience: float = STALLED_SECONDS
) -> Moved:
    """Spread the partitions of all tables evenly over the workers there are now.

    The same partition numbers of different tables lie on the same worker, as far as those tables
    have the same number of partitions; as few bytes as possible move. Raises ``TransientError``
    when no partition has arrived for ``patience`` seconds: what has not moved stays where it is.
    """
    tables = [session.store.open(name) for name in session.store.names()]
    try:
        held = _held(session.client, tables)
        places = _places(session.client, held, tables)
        moves = {key: place for key, place in places.items() if held[key].workers != (place,)}
        if moves:
            _move(session.client, moves, patience)
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


def _move(client: Client, moves: Mapping[Key, str], patience: float) -> None:
    least, since = len(moves) + 1, time.monotonic()
    while True:
        left, states = client.run_on_scheduler(move_on, dict(moves))
        if not left:
            return
        if left < least:
            least, since = left, time.monotonic()
        if time.monotonic() - since > patience:
            where = ", ".join(f"{address} ({state})" for address, state in states.items())
            raise TransientError(
                f"{left} partitions have not moved to {where} for {patience:.0f} s",
                hint="every row is still there; a paused worker has no memory left, see "
                "ess cluster top; the next worker that joins has them spread again",
            )
        time.sleep(_POLL)


def move_on(moves: Mapping[Key, str], dask_scheduler: Any) -> tuple[int, dict[str, str]]:
    """Have the next step of each move made: copied to its worker, or dropped from the others.

    Returns how many keys are not yet on their worker alone, and those workers with their states.
    Runs on the scheduler. All is looked at anew each time: a partition may have been lost, and made
    again elsewhere, since the last step. The scheduler's own memory manager is not asked: it ends
    spare copies, and on a loaded worker takes the new one for it as often as it is made.
    """
    from distributed.active_memory_manager import ActiveMemoryManagerExtension

    left: dict[Any, Any] = {}
    for key, address in moves.items():
        task, worker = dask_scheduler.tasks.get(key), dask_scheduler.workers.get(address)
        # What is gone, or belongs to a worker that goes or is gone, has nowhere to go.
        going = worker is None or worker.status.name not in ("running", "paused")
        if task is not None and task.who_has and not going and task.who_has != {worker}:
            left[task] = worker
    if left:
        steps = {_policy(left)}
        ActiveMemoryManagerExtension(
            dask_scheduler, policies=steps, register=False, start=False
        ).run_once()
    return len(left), {worker.address: worker.status.name for worker in left.values()}


def _policy(left: Mapping[Any, Any]) -> Any:
    from distributed.active_memory_manager import ActiveMemoryManagerPolicy, Suggestion

    class MoveTables(ActiveMemoryManagerPolicy):
        """Suggests what is to be done next for each task and its worker."""

        def run(self) -> Any:
            for task, worker in left.items():
                if worker not in task.who_has:
                    yield Suggestion("replicate", task, {worker})
                    continue
                others = task.who_has - {worker}
                for _ in others:
                    yield Suggestion("drop", task, others)

    return MoveTables()
