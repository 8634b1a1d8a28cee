"""Workers that are to go hand on what they hold, so that no row of a table is lost with them.

Verbs that end machines call ``before_removal`` first. A worker that goes without it loses no row of
a table either: a partition is made again from its segments. It costs time, and the work under way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ess_dask.cluster.verbs import counted
from ess_dask.errors import EssError, TransientError

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 900.0
"""Seconds that moving the data of workers may take."""

WORK_PATIENCE = 60.0
"""Seconds that work under way on leaving workers may take; then it begins anew elsewhere."""

FILL = 0.7
"""The part of a worker's memory that data may fill: above it Dask begins to spill."""

_POLL = 0.2


def before_removal(
    client: Client,
    addresses: Collection[str],
    say: Callable[[str], None],
    patience: float = PATIENCE,
) -> None:
    """Move what the workers at ``addresses`` hold to the others; they then take no more work.

    Addresses of no worker (any more) are passed over. Raises ``EssError`` when the workers that
    stay have no room for it, ``TransientError`` when it cannot be moved or takes longer than
    ``patience`` seconds: the workers then go on working.
    """
    known = client.scheduler_info(n_workers=-1)["workers"]
    going = sorted(set(addresses) & set(known))
    if not going:
        return
    held, room = client.run_on_scheduler(held_and_room, going)
    _check_room(held, room, len(going), len(known) - len(going))
    if held:
        say(f"moving {held:,} bytes of {counted(len(going), 'worker')} to the others")
    deadline = time.monotonic() + patience
    _retire(client, going, deadline)
    client.run_on_scheduler(hand_back, going, _executing(client, going))
    _await_work(client, going, min(deadline, time.monotonic() + WORK_PATIENCE))
    if client.run_on_scheduler(held_and_room, going)[0]:
        # What they made in the meantime.
        _retire(client, going, deadline)


def held_and_room(addresses: Collection[str], dask_scheduler: Any) -> tuple[int, int]:
    """Return the bytes that only these workers hold, and those that the others have room for.

    Runs on the scheduler.
    """
    workers = dask_scheduler.workers.values()
    going = {worker for worker in workers if worker.address in addresses}
    tasks = {task for worker in going for task in worker.has_what if not task.who_has - going}
    room = 0
    for worker in set(workers) - going:
        if worker.status.name == "running":
            limit = worker.memory_limit or 1 << 60
            room += max(0, int(limit * FILL) - worker.nbytes)
    return sum(task.get_nbytes() for task in tasks), room


def hand_back(addresses: Collection[str], executing: Collection[Any], dask_scheduler: Any) -> None:
    """Give the work that these workers have not begun, and will not, to others.

    Runs on the scheduler.
    """
    waiting = [
        task.key
        for address in addresses
        if address in dask_scheduler.workers
        for task in dask_scheduler.workers[address].processing
        if task.key not in executing
    ]
    dask_scheduler.transitions(dict.fromkeys(waiting, "released"), f"ess-hand-back-{time.time()}")


def resume(addresses: Collection[str], dask_scheduler: Any) -> None:
    """Let workers that were to go work on. Runs on the scheduler."""
    from distributed.active_memory_manager import RetireWorker
    from distributed.core import Status

    manager = dask_scheduler.extensions.get("amm")
    for policy in list(manager.policies) if manager else ():
        if isinstance(policy, RetireWorker) and policy.address in addresses:
            manager.policies.discard(policy)
    stimulus = f"ess-resume-{time.time()}"
    for address in addresses:
        worker = dask_scheduler.workers.get(address)
        if worker is not None and worker.status == Status.closing_gracefully:
            dask_scheduler.stream_comms[address].send(
                {"op": "worker-status-change", "status": "running", "stimulus_id": stimulus}
            )


@contextmanager
def working_on_if_it_fails(client: Client, addresses: Collection[str]) -> Iterator[None]:
    """Let workers that were made ready to go work on when the block, their end, fails."""
    try:
        yield
    except BaseException:
        # What went wrong counts, not that the scheduler cannot be asked.
        with suppress(OSError):
            client.run_on_scheduler(resume, addresses)
        raise


def _check_room(held: int, room: int, going: int, staying: int) -> None:
    if held and not staying:
        raise EssError(
            f"no other worker is left to take the {held:,} bytes that memory holds",
            hint="drop the tables first, or add a worker",
        )
    if held > room:
        raise EssError(
            f"{counted(going, 'worker')} would hand on {held:,} bytes, and the {staying} that stay "
            f"have room for {room:,}",
            hint="drop tables, or add workers first: ess cluster create --add",
        )


def _retire(client: Client, going: list[str], deadline: float) -> None:
    scheduler = client.scheduler
    assert scheduler is not None
    try:
        gone = client.sync(
            scheduler.retire_workers,
            workers=going,
            close_workers=False,
            # They stay connected until their machine ends: a worker that the scheduler has
            # forgotten would come back.
            remove=False,
            callback_timeout=max(1.0, deadline - time.monotonic()),
        )
    except TimeoutError:
        gone = {}
    known = client.scheduler_info(n_workers=-1)["workers"]
    stayed = sorted((set(going) & set(known)) - set(gone))
    if stayed:
        client.run_on_scheduler(resume, going)
        raise TransientError(
            f"what {', '.join(stayed)} holds could not be moved to the other workers",
            hint="try again; if it goes on, drop tables, or add workers first",
        )


def _await_work(client: Client, going: list[str], deadline: float) -> None:
    """Wait for the work that has begun on these workers."""
    while _executing(client, going) and time.monotonic() < deadline:
        time.sleep(_POLL)


def _executing(client: Client, addresses: list[str]) -> set[Any]:
    """Return the keys that these workers work on; of one that is gone, none."""
    found = client.run(_keys_executing, workers=addresses, on_error="ignore")
    return {key for keys in found.values() for key in keys}


def _keys_executing(dask_worker: Any) -> list[Any]:
    state = dask_worker.state
    return [task.key for task in (*state.executing, *state.long_running)]
