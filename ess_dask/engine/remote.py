"""Work on machines that see nothing of this one: what they write comes back over the connection.

A batch's result names files by the caller's paths; they are fetched from the worker that wrote them
in blocks, checked and put there before the result is handed on. When that worker dies before, the
batch runs again elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ess_dask.clean.running import running
from ess_dask.cluster.blocks import WorkerGoneError, check_there, fetch, pinned, value_of
from ess_dask.cluster.nodes import Node, no_nodes, shown, some_nodes
from ess_dask.dataclass import dataclass
from ess_dask.engine.bag import partitions
from ess_dask.engine.crew import Crew, Member, belonging, numbers
from ess_dask.engine.elsewhere import Parcel, boxed
from ess_dask.engine.executor import SIGNAL_SECONDS
from ess_dask.errors import EssError, TransientError, WorkerLostError

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client

Result = TypeVar("Result")

TRIES = 3
"""How often a batch is worked on when its worker goes before its files have been fetched."""

_FETCHERS = 4
_LOOK_SECONDS = 5.0
_ALONE_SECONDS = 120.0
"""How long a cluster may be without any worker before that is an error."""


@dataclass(frozen=True, slots=True)
class Away:
    """What a worker must know beside the work: ``root`` is the caller's folder that a private one
    stands in for, ``owner`` the run it belongs to."""

    root: str
    owner: str
    crew: Crew


def run_away(item: Any, work: Callable[[Any], Any], away: Away) -> list[Any]:
    """Return ``[work(item), Parcel]``. Runs on a worker.

    A list and not a dataclass: Arrow tables travel without copies only so.
    """
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    member = _member(worker, away.crew)
    with (
        running.for_task(repr(key)),
        running.owned_by(away.owner),
        belonging(member),
        boxed(away.root, key, worker.local_directory) as box,
        _numbered(away, member),
    ):
        result = work(item)
        parcel = Parcel(worker.address, shown(member.name, member.host), box.items())
    return [result, parcel]


def listed(work: Callable[[Any], Any], item: Any) -> list[Any]:
    """Return ``[work(item)]``: what a partition of a bag is. Runs on a worker."""
    return [work(item)]


@contextmanager
def _numbered(away: Away, member: Member) -> Iterator[None]:
    """Wait for a thread number, where this work is not to have several threads of its own."""
    if away.crew.threads > member.threads:
        yield
        return
    with numbers.taken(away.owner, away.crew.threads or member.threads):
        yield


def _member(worker: Any, crew: Crew) -> Member:
    name, host = str(worker.name), worker.address.rpartition("/")[2].rpartition(":")[0]
    others: list[str] = []
    if name not in crew.names:
        from distributed import get_client

        found = get_client().scheduler_info(n_workers=-1)["workers"].values()
        others = [str(other["name"]) for other in found]
    threads = worker.state.nthreads
    return Member(name, host, threads, crew.words(name, threads, others))


@dataclass(slots=True, eq=False)
class _Task:
    """Work under way: how it is begun, its future on the cluster, and its result once its files
    are here."""

    begin: Callable[[], Any]
    future: Any = None
    outcome: Future[Any] = field(default_factory=Future)
    tries: int = 0


class RemoteExecutor:
    """The workers of a cluster of other machines (``executor.Executor``).

    ``root`` is the folder of this machine below which results may name files, ``owner`` that of the
    work's ``StepContext``, ``name`` the cluster's. ``threads`` is the pipelines on each worker (0:
    as many as it has threads).
    """

    def __init__(self, client: Client, name: str, root: str, owner: str, threads: int = 0) -> None:
        self._client, self._name = client, name
        self.nodes: tuple[Node, ...] = some_nodes(client, name)
        self.slots = sum(min(threads or node.threads, node.threads) for node in self.nodes)
        crew = Crew(tuple(node.name for node in self.nodes), threads)
        self._away = Away(root, owner, crew)
        self._tasks: set[_Task] = set()
        self._pool = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="ess-fetch")
        self._seen = time.monotonic()
        self._ended = False

    def prepared(self, work: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return the work as it travels."""
        return partial(run_away, work=work, away=self._away)

    def partitions(self, batches: Iterable[Any], work: Callable[[Any], Any]) -> Iterator[Delayed]:
        """Yield each partition of the job's bag, its work as it travels."""
        return partitions(batches, self.prepared(work))

    def submit(self, partition: Delayed) -> _Task:
        """Start one partition on a worker."""
        return self._submit(partial(self._client.compute, partition))

    def _submit(self, begin: Callable[[], Any]) -> _Task:
        task = _Task(begin)
        self._tasks.add(task)
        self._start(task)
        return task

    def on_each(
        self,
        nodes: Sequence[Node],
        work: Callable[[Node], Result],
        lost: Callable[[Node, WorkerLostError], Result],
    ) -> Iterator[Result]:
        """Yield ``work(node)`` of each of these workers, done there, in order.

        Not tried again: ``lost`` gives what counts for a worker that went.
        """
        prepared = self.prepared(work)
        tasks = [
            self._submit(partial(pinned, self._client, node.address, listed, prepared, node))
            for node in nodes
        ]
        for node, task in zip(nodes, tasks, strict=True):
            try:
                yield self._of_node(node, task)
            except WorkerLostError as error:
                yield lost(node, error)
            finally:
                self._forget(task)

    def _of_node(self, node: Node, task: _Task) -> Any:
        from distributed import CancelledError
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        looked = time.monotonic()
        try:
            while wait([task.outcome], SIGNAL_SECONDS).not_done:
                if time.monotonic() - looked > _LOOK_SECONDS:
                    check_there(self._client, node.address)
                    looked = time.monotonic()
            return task.outcome.result()
        except (WorkerGoneError, KilledWorker, CancelledError, FutureCancelledError):
            raise WorkerLostError(f"{node.shown} is gone", hint="see its log") from None

    def _start(self, task: _Task) -> None:
        task.tries += 1
        task.outcome = Future()
        task.future = task.begin()
        outcome = task.outcome
        task.future.add_done_callback(lambda future: self._fetch_later(future, outcome))

    def _fetch_later(self, future: Any, outcome: Future[Any]) -> None:
        try:
            self._pool.submit(self._bring, future, outcome)
        except RuntimeError as error:  # closed in the meantime: nobody waits
            outcome.set_exception(error)

    def _bring(self, future: Any, outcome: Future[Any]) -> None:
        """Fetch what a finished batch left; runs in a thread of ours, beside other batches."""
        try:
            result, parcel = value_of(future)[0]
            self._fetch(parcel)
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    def _fetch(self, parcel: Parcel) -> None:
        root = Path(self._away.root)
        for item in parcel.items:
            if self._ended:
                # What would be written now would be written behind who cleans up.
                raise WorkerGoneError("nobody waits for it any more")
            target = root / item.name
            if item.data is None:
                fetch(self._client, parcel.address, item.stored, target)
            else:
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                target.write_bytes(item.data)
                target.chmod(item.stored.mode)

    def result(self, handle: _Task) -> Any:
        """Wait for a partition and its files; return its element."""
        from distributed import CancelledError
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        alone = False
        try:
            while True:
                try:
                    return self._wait(handle)
                except WorkerGoneError as error:
                    if handle.tries >= TRIES:
                        raise WorkerLostError(
                            f"{error.message}: {TRIES} times before its results were fetched",
                            hint="run the same command again",
                        ) from None
                except KilledWorker as error:
                    if alone:
                        raise _lost(error) from None
                    # Once more when nothing else of ours runs: what dies takes others along.
                    alone = True
                    wait([task.outcome for task in self._tasks if task is not handle])
                self._again(handle)
        except (FutureCancelledError, CancelledError):
            raise TransientError(
                f"the cluster {self._name} stopped or was restarted in the middle of the work",
                hint="run the same command again",
            ) from None
        finally:
            self._forget(handle)

    def _wait(self, task: _Task) -> Any:
        # Again and again: signals are to be noticed, and that all workers have gone.
        while wait([task.outcome], SIGNAL_SECONDS).not_done:
            self._look()
        return task.outcome.result()

    def _look(self) -> None:
        """Raise when the cluster has been without workers for long."""
        now = time.monotonic()
        if now - self._seen < _LOOK_SECONDS:
            return
        if self._client.scheduler_info(n_workers=-1)["workers"]:
            self._seen = now
        elif now - self._seen > _ALONE_SECONDS:
            raise no_nodes(self._name)

    def _again(self, task: _Task) -> None:
        import asyncio

        # Released first: while the scheduler remembers the failure, it answers with that.
        # The client's loop does it later, but in turn: what it does now comes after it.
        task.future.release()
        self._client.sync(asyncio.sleep, 0)
        self._start(task)

    def _forget(self, task: _Task) -> None:
        self._tasks.discard(task)
        # With its result the worker forgets its files, too.
        task.future.release()

    def withdraw(self, handle: _Task) -> bool:
        """Return False: a worker may have begun it, and the window is short."""
        return False

    def cancel(self) -> None:
        """Cancel on the scheduler; each worker ends the commands of its cancelled tasks."""
        self._ended = True
        if self._client.status == "running":
            self._client.cancel([task.future for task in self._tasks], force=True)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Let go of the futures; the client belongs to its owner."""
        self._ended = True
        for task in list(self._tasks):
            self._forget(task)
        self._pool.shutdown(wait=False, cancel_futures=True)


def _lost(error: Any) -> EssError:
    last = getattr(error, "last_worker", None)
    where = f"; the last was {last.name} at {last.address}" if last is not None else ""
    return WorkerLostError(
        f"a worker died {error.allowed_failures + 1} times on the same work{where}",
        hint="often out of memory: see its log; lower batch_bytes or the workers' threads",
    )
