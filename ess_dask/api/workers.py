"""Who makes the rows of files: threads of this process, or the workers of other machines."""

from __future__ import annotations

from collections.abc import Iterator
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


class Beside:
    """The processes that read beside the threads of this one: one set for all that a question
    reads. None is started before files are large enough."""

    def __init__(self) -> None:
        self._processes: Processes | None = None

    def start(self, size: int, settings: Settings) -> Processes | None:
        """Start those that are missing to read so many stored bytes; return all, None where they
        would come too late."""
        from ess_dask.engine.executor import usable_cores

        threads = settings.threads or usable_cores()
        if threads > 1 and size >= START_BYTES:
            from ess_dask.engine.processes import SHARE_BYTES, Processes

            self._processes = self._processes or Processes("ess_dask.query.sql.files:make_ready")
            self._processes.grow(min(threads - 1, size // SHARE_BYTES))
        return self._processes

    def end(self) -> None:
        """End them."""
        if self._processes is not None:
            self._processes.end()


def is_away(store: Datastore, settings: Settings) -> bool:
    """Whether workers of other machines make the rows: of a cluster that can see the files."""
    from ess_dask.cluster.machines import is_remote
    from ess_dask.engine.hands import is_seen

    return is_remote(settings.cluster) and is_seen(store, settings)


@contextmanager
def executor_for(
    store: Datastore, settings: Settings, beside: Beside | None = None, size: int = 0
) -> Iterator[Executor]:
    """Give what makes the rows of files of a datastore, of so many stored bytes; the processes of
    ``beside`` do some of the work here.

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
    processes = beside.start(size, settings) if beside and size else None
    if processes is None:
        executor = ThreadExecutor(threads)
    else:
        from ess_dask.engine.processes import ProcessExecutor

        executor = ProcessExecutor(threads, processes)
    try:
        yield executor
    finally:
        executor.close()
