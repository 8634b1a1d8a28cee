"""Who makes the rows of files: threads of this process, or the workers of other machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from secrets import token_hex
from typing import TYPE_CHECKING

from ess_dask.api.warn import tell

if TYPE_CHECKING:
    from ess_dask.catalog.model import Datastore
    from ess_dask.engine.executor import Executor
    from ess_dask.engine.processes import Processes
    from ess_dask.settings import Settings


START_BYTES = 64 << 20
"""Stored bytes from which on processes are started to read them."""


def is_away(store: Datastore, settings: Settings) -> bool:
    """Whether workers of other machines make the rows: of a cluster that can see the files."""
    from ess_dask.cluster.machines import is_remote
    from ess_dask.engine.hands import is_seen

    return is_remote(settings.cluster) and is_seen(store, settings)


def processes_for(size: int, settings: Settings, modules: Sequence[str]) -> Processes | None:
    """Start processes that read files of so many stored bytes beside the threads of this one; None
    where they would come too late. They import ``modules`` first."""
    from ess_dask.engine.executor import usable_cores

    threads = settings.threads or usable_cores()
    if threads < 2 or size < START_BYTES:
        return None
    from ess_dask.engine.processes import SHARE_BYTES, Processes

    return Processes(min(threads - 1, size // SHARE_BYTES), modules)


@contextmanager
def executor_for(
    store: Datastore, settings: Settings, processes: Processes | None = None
) -> Iterator[Executor]:
    """Give what makes the rows of files of a datastore; ``processes`` do some of the work here.

    Raises what ``engine.hands.far_executor`` raises when that is a cluster of other machines.
    """
    from ess_dask.engine.executor import ThreadExecutor, usable_cores
    from ess_dask.engine.hands import Errand, far_executor

    if is_away(store, settings):
        errand = Errand("", f"rows-{token_hex(8)}", (store,))
        with far_executor(tell, settings.cluster, errand) as far:
            yield far
        return
    threads = settings.threads or usable_cores()
    if processes is None:
        executor = ThreadExecutor(threads)
    else:
        from ess_dask.engine.processes import ProcessExecutor

        executor = ProcessExecutor(threads, processes)
    try:
        yield executor
    finally:
        executor.close()
