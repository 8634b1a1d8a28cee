"""What scheduler and workers on EC2 do first: a Dask preload file that stands on the machine.

It is there before the product is, so it imports nothing of it. No HTTP is served, and a worker on a
spot instance hands its data on when AWS gives notice (two minutes before it takes the machine).
"""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from typing import Any

METADATA = "http://169.254.169.254/latest"

FIRST_WORKER_SECONDS = 900
"""A scheduler that waits for its first worker is not idle, but no longer than this."""


def dask_setup(server: Any) -> None:
    """Stop the HTTP server, which TLS does not cover; begin to watch where that is asked for."""
    import dask

    server.http_server.stop()
    pause = dask.config.get("ess.spot-poll", None)
    # Held by the server: the loop itself keeps weak references to tasks only.
    if not hasattr(server, "close_gracefully"):
        server.ess_watch = asyncio.create_task(attend(server, FIRST_WORKER_SECONDS))
    elif pause:
        server.ess_watch = asyncio.create_task(watch(server, float(pause)))


async def attend(scheduler: Any, seconds: float) -> None:
    """Decide on being idle where Dask does not: before the first worker, and after the last."""
    await stay_awake(scheduler, seconds)
    if scheduler.idle_timeout:
        await end_without_workers(scheduler, scheduler.idle_timeout)


async def end_without_workers(scheduler: Any, seconds: float) -> None:
    """Close a scheduler that has had no worker for so long.

    Tables whose workers were taken wait for others. To Dask that is work, so it would wait, and
    cost, for ever.
    """
    alone_since = time.monotonic()
    while time.monotonic() - alone_since < seconds:
        await asyncio.sleep(min(0.5, seconds / 4))
        if scheduler.workers:
            alone_since = time.monotonic()
    await scheduler.close(reason="no worker")


async def stay_awake(scheduler: Any, seconds: float) -> None:
    """Keep Dask's idle time from counting until the first worker has joined.

    Workers boot after the scheduler and take minutes to install what they need.
    """
    ends = time.monotonic() + seconds
    while not scheduler.workers and time.monotonic() < ends:
        scheduler.idle_since = None
        await asyncio.sleep(0.5)


async def watch(worker: Any, pause: float) -> None:
    """Look for a notice every ``pause`` seconds; with one, move the worker's data and close it."""
    while not await asyncio.to_thread(has_notice):
        await asyncio.sleep(pause)
    await worker.close_gracefully(reason="spot notice")


def has_notice() -> bool:
    """Ask the metadata service (version 2) whether this instance is to be taken."""
    ask = urllib.request.Request(  # noqa: S310 - a constant address
        f"{METADATA}/api/token",
        method="PUT",
        headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"},
    )
    try:
        with urllib.request.urlopen(ask, timeout=2) as answer:  # noqa: S310
            token = answer.read().decode()
        look = urllib.request.Request(  # noqa: S310
            f"{METADATA}/meta-data/spot/instance-action",
            headers={"X-aws-ec2-metadata-token": token},
        )
        with urllib.request.urlopen(look, timeout=2):  # noqa: S310
            return True
    except (urllib.error.URLError, OSError):
        # 404 is the usual answer: there is no notice.
        return False
