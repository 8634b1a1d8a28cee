"""What scheduler and workers on EC2 do first: a Dask preload file that stands on the machine.

It is there before the product is, so it imports nothing of it. No HTTP is served, and a worker on a
spot instance hands its data on when AWS gives notice (two minutes before it takes the machine).
"""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from typing import Any

METADATA = "http://169.254.169.254/latest"


def dask_setup(server: Any) -> None:
    """Stop the HTTP server, which TLS does not cover; begin to watch where that is asked for."""
    import dask

    server.http_server.stop()
    pause = dask.config.get("ess.spot-poll", None)
    if pause and hasattr(server, "close_gracefully"):
        # Held by the worker: the loop itself keeps weak references to tasks only.
        server.ess_watch = asyncio.create_task(watch(server, float(pause)))


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
