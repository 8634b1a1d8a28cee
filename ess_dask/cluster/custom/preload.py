"""What scheduler and workers on a host do first: a Dask preload file that stands on the host.

It is there before the package is, so it imports nothing of it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

GRACE = 120.0
"""Seconds that the workers and the first client have to come."""


def dask_setup(server: Any) -> None:
    """Stop the HTTP server, which TLS does not cover; let an idle scheduler end."""
    import dask

    server.http_server.stop()
    limit = dask.config.get("ess.idle-timeout", 0)
    if limit and hasattr(server, "client_comms"):
        # Held by the scheduler: the loop itself keeps weak references to tasks only.
        server.ess_idle = asyncio.ensure_future(until_idle(server, float(limit)))


async def until_idle(scheduler: Any, limit: float) -> None:
    """Close the scheduler when for ``limit`` seconds no client was there and no data was held.

    Dask's own idle time-out looks at running tasks only: it would take the tables of a user who is
    thinking.
    """
    quiet_since = time.monotonic() + GRACE
    while time.monotonic() - quiet_since < limit:
        await asyncio.sleep(min(1.0, limit / 4))
        if scheduler.tasks or scheduler.client_comms:
            quiet_since = time.monotonic()
    await scheduler.close(reason="idle")
