"""Where partitions run: threads of this process, or the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ess_dask.allocator import keep_freed_memory
from ess_dask.engine.bag import partitions
from ess_dask.errors import TransientError, WorkerLostError

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client

SIGNAL_SECONDS = 0.5
"""How long a signal may go unnoticed while the main thread waits for work."""


class Executor(Protocol):
    """Runs partitions; ``slots`` is how many can run at the same time."""

    @property
    def slots(self) -> int:
        """Partitions that can run at the same time."""

    def partitions(self, batches: Iterable[Any], work: Callable[[Any], Any]) -> Iterator[Any]:
        """Yield what ``submit`` takes for each batch, in order."""

    def submit(self, partition: Any) -> Any:
        """Start one partition; return a handle."""

    def result(self, handle: Any) -> Any:
        """Wait for a partition; return its element. Raises what the work raised."""

    def withdraw(self, handle: Any) -> bool:
        """Take back a partition that has not begun; False when it has (or may have)."""

    def cancel(self) -> None:
        """Stop what runs, children included; pending handles may then fail."""

    def close(self) -> None:
        """Let go of what the executor holds."""


def usable_cores() -> int:
    """Return the cores this process may use (a container may have fewer than the machine)."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ThreadExecutor:
    """Threads of this process: no daemon, no ports, no Dask (0.15 s to import).

    ``owner`` is that of the work's ``StepContext``: whose children ``cancel`` ends, '' everybody's.
    """

    def __init__(self, threads: int, owner: str = "") -> None:
        keep_freed_memory()
        self.slots, self._owner = max(1, threads), owner
        self._cancelled = False
        self._pool = ThreadPoolExecutor(self.slots, thread_name_prefix="ess-worker")

    def partitions(
        self, batches: Iterable[Any], work: Callable[[Any], Any]
    ) -> Iterator[Callable[[], Any]]:
        """Yield the call that works on each batch."""
        return (partial(work, batch) for batch in batches)

    def submit(self, partition: Callable[[], Any]) -> Future[Any]:
        """Start one partition in a thread."""
        return self._pool.submit(partition)

    def result(self, handle: Future[Any]) -> Any:
        """Wait; return what the partition's work returned."""
        # Again and again: a signal that comes just before this thread sleeps, or that another
        # thread is given, is not noticed before this one wakes.
        while wait([handle], SIGNAL_SECONDS).not_done:
            pass
        return handle.result()

    def withdraw(self, handle: Future[Any]) -> bool:
        """Take back a partition that no thread has begun."""
        return handle.cancel()

    def cancel(self) -> None:
        """Kill the children of the running work and forget what has not begun."""
        from ess_dask.clean.running import cancel_all

        self._cancelled = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        cancel_all(self._owner)

    def close(self) -> None:
        """End the threads; waits for running work unless it was cancelled (Python cannot be)."""
        self._pool.shutdown(wait=not self._cancelled, cancel_futures=True)

    def join(self) -> None:
        """Wait for work that was cancelled, where it notices that by itself."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class ClusterExecutor:
    """The workers of a Dask cluster. Lost work runs again; what kills workers is an error.

    ``owner`` is that of the work's ``StepContext``: what ``cancel`` ends on the workers.
    """

    def __init__(self, client: Client, owner: str = "") -> None:
        self._client, self._owner = client, owner
        self._running: dict[Any, Delayed] = {}
        self.slots = max(1, sum(client.nthreads().values()))

    def partitions(self, batches: Iterable[Any], work: Callable[[Any], Any]) -> Iterator[Delayed]:
        """Yield each partition of the job's bag."""
        return partitions(batches, work)

    def submit(self, partition: Delayed) -> Any:
        """Start one partition on a worker."""
        future = self._client.compute(partition)
        self._running[future] = partition
        return future

    def result(self, handle: Any) -> Any:
        """Wait; return the partition's only element."""
        from distributed import CancelledError
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        try:
            try:
                return handle.result()[0]
            except KilledWorker:
                return self._result_alone(handle)
        except KilledWorker as error:
            raise WorkerLostError(
                f"a worker died {error.allowed_failures + 1} times on the same work",
                hint="often out of memory: see `ess udbd cklog`; lower batch_bytes or ESS_THREADS",
            ) from None
        except (FutureCancelledError, CancelledError):
            raise TransientError(
                "the cluster stopped or was restarted in the middle of the work",
                hint="run the same command again; see `ess udbd cklog`",
            ) from None
        finally:
            self._running.pop(handle, None)

    def _result_alone(self, handle: Any) -> Any:
        """Try once more when nothing else of ours runs: what dies takes its neighbours along."""
        import asyncio

        from distributed import wait as wait_for_all

        partition = self._running.pop(handle)
        with self._client.as_current():
            wait_for_all(list(self._running))
        # Released first: while the scheduler remembers the failure, it answers with that.
        # The client's loop does it later, but in turn: what it does now comes after it.
        handle.release()
        self._client.sync(asyncio.sleep, 0)
        again = self.submit(partition)
        try:
            return again.result()[0]
        finally:
            self._running.pop(again)

    def withdraw(self, handle: Any) -> bool:
        """Return False: a worker may have begun it, and the window is short."""
        return False

    def cancel(self) -> None:
        """Cancel on the scheduler and end the children of the work on every worker."""
        from ess_dask.clean.running import cancel_all

        if self._client.status != "running":
            # The cluster is gone, and its work with it; asking would only wait for a time-out.
            return
        self._client.cancel(list(self._running), force=True)
        self._client.run(cancel_all, self._owner, on_error="ignore")

    def close(self) -> None:
        """Let go of the futures; the client belongs to its owner."""
        self._running.clear()
