"""A partition asked where it lies, beside the scheduler's tasks.

A task is written into the scheduler's books and what it gives is fetched afterwards: 10 ms around a
look-up that takes 3. Whoever cannot be asked so (a partition that is on disk, or on its way, or
lost), or has much to tell, is asked by a task.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ess_dask.errors import EssError
from ess_dask.query.sql.there import Call, answers

if TYPE_CHECKING:
    import pyarrow as pa
    from dask.typing import Key
    from distributed import Client, Scheduler, Worker

PASSED_BYTES = 16 << 20
"""Larger answers come by a task. Of a message that Dask sends in parts (64 MiB each) the scheduler,
which passes it on unread, forgets that they belong together."""


def ask_directly(client: Client, call: Call, keys: Sequence[Key]) -> pa.Table | None:
    """Return what the work gives for the partitions with these keys, which lie on one worker.

    ``None`` when they do not, when the worker that had them is gone, or when it gives very much.
    Raises what ``answers`` raises.
    """
    found = None
    with suppress(OSError):
        found = client.run_on_scheduler(_passed_on, pickle.dumps(call), keys)
    if isinstance(found, EssError):
        raise found
    return found


async def _passed_on(asked: bytes, keys: Sequence[Key], dask_scheduler: Scheduler) -> Any:
    """Ask the worker that holds all these partitions; runs on the scheduler."""
    # Dask passes the scheduler, and below the worker, under these names.
    tasks = [dask_scheduler.tasks.get(key) for key in keys]
    holders = set.intersection(*(set(task.who_has or ()) if task else set() for task in tasks))
    if not holders:
        return None
    address = min(worker.address for worker in holders)
    with suppress(OSError):
        reply = await dask_scheduler.rpc(address).run(
            function=pickle.dumps(_answered),
            args=pickle.dumps((asked, keys)),
            kwargs=b"",
            wait=True,
        )
        return reply.get("result")
    return None


async def _answered(
    asked: bytes, keys: Sequence[Key], dask_worker: Worker
) -> pa.Table | EssError | None:
    """Answer in a thread of the worker's, as a task is; runs on the worker."""
    # What lies on disk would stop the worker while it is read.
    held = getattr(dask_worker.data, "fast", dask_worker.data)
    if any(key not in held for key in keys):
        return None
    tables = [held[key] for key in keys]
    call = pickle.loads(asked)  # noqa: S301 - came through the cluster's own connection
    threads = dask_worker.executors["default"]
    return await asyncio.get_running_loop().run_in_executor(threads, _told, call, tables)


def _told(call: Call, tables: list[pa.Table]) -> pa.Table | EssError | None:
    try:
        found = answers(call, [tables])[0]
    except EssError as error:
        # Raised here, Dask would write it into the worker's log, with the statement.
        return error
    return found if found.nbytes <= PASSED_BYTES else None
