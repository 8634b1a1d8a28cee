"""What a worker process of the local cluster does first (a Dask preload module)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ess_dask.allocator import keep_freed_memory
from ess_dask.cluster.children import die_with_parent

if TYPE_CHECKING:
    from distributed import Worker


def dask_setup(worker: Worker) -> None:
    """End with the daemon, serve no HTTP, make files with the user's own permissions, and keep
    freed memory."""
    import dask

    die_with_parent()
    keep_freed_memory()
    worker.http_server.stop()
    # The daemon's own files are private; what a worker writes for the user is the user's choice.
    os.umask(dask.config.get("ess.umask"))
