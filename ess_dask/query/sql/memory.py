"""Tables in the cluster's memory as a source: each partition answers where it lies."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from ess_dask.clean.running import cancel_task
from ess_dask.dataclass import dataclass
from ess_dask.query.sql.direct import ask_directly
from ess_dask.query.sql.lookup import partition_of
from ess_dask.query.sql.model import Deal, Partitioned, SentLostError, Work
from ess_dask.query.sql.packs import Pack, packs
from ess_dask.query.sql.there import Call, answers, dealt_parts, part_of, together
from ess_dask.tables.table import worker_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from distributed import Client, Future

    from ess_dask.tables.table import MemoryTable


WORKER_SECONDS = 30.0
"""How long a question waits for a worker that can take its tables: killed ones come back."""


class ClusterRows:
    """Implements what sources on the workers have in common: ``futures`` of their partitions, held
    by ``client``'s cluster, with rows that ``schema`` and ``key`` tell."""

    client: Client
    futures: Sequence[Future[pa.Table]]
    schema: pa.Schema
    key: tuple[str, ...]
    sizes: Sequence[int] = ()
    """About how many bytes each partition has; () when that is not known. Only of what stays."""

    def map(
        self, work: Work, beside: Sequence[Partitioned], sides: Mapping[str, pa.Table]
    ) -> Iterator[pa.Table]:
        """Yield what ``work`` gives for each partition, worked out on the workers, in their order.

        Raises ``WorkerLostError`` and ``TransientError`` as reading a table does. What still runs
        when the iterator is closed is cancelled on the workers.
        """
        tasks = self._tasks(answers, work, beside, sides)
        for numbers in self._turns(work):
            if work.at is not None and (found := tasks.look_up(numbers[0])) is not None:
                yield found
            else:
                yield from tasks.in_turn(numbers)

    def release(self) -> None:
        """Let the partitions go: an answer that is kept keeps no table."""
        self.futures = ()

    def dealt(
        self, work: Work, beside: Sequence[Partitioned], sides: Mapping[str, pa.Table], deal: Deal
    ) -> DealtRows:
        """Return what ``work`` gives, dealt anew among the workers; it is done when it is asked."""
        tasks = self._tasks(partial(dealt_parts, deal), work, beside, sides)
        pending = [tasks.begin((number,)) for numbers in self._turns(work) for number in numbers]
        futures = []
        for number in range(deal.partitions):
            parts = [self.client.submit(part_of, each, number, pure=False) for each in pending]
            futures.append(self.client.submit(together, parts, pure=False))
        return DealtRows(self.client, futures, deal)

    def _tasks(
        self,
        function: Callable[..., Any],
        work: Work,
        beside: Sequence[Partitioned],
        sides: Mapping[str, pa.Table],
    ) -> _Tasks:
        rows = (self, *(other for other in beside if isinstance(other, ClusterRows)))
        call = Call(work, uuid.uuid4().hex, tuple(bool(each.sizes) for each in rows), tuple(sides))
        return _Tasks(self.client, rows, function, call, _sent(self.client, sides))

    def _turns(self, work: Work) -> list[Sequence[int]]:
        """Return the partitions that are asked together, one turn after the other."""
        numbers = range(len(self.futures))
        if work.at is not None:
            number = partition_of(work.at, self.schema, self.key, len(numbers))
            return [numbers[number : number + 1]]
        # The first alone may have all the rows that a limit asks for.
        return [numbers] if work.limit is None else [numbers[:1], numbers[1:]]


@dataclass(frozen=True, slots=True)
class _Tasks:
    """The tasks of one ``function`` on partitions of ``rows``, read together; ``sent`` are the
    sides."""

    client: Client
    rows: tuple[ClusterRows, ...]
    function: Callable[..., Any]
    call: Call
    sent: Sequence[Future[pa.Table]]

    def begin(self, pack: Pack) -> Future[Any]:
        """Start the task of some partitions."""
        parts = [[each.futures[number] for each in self.rows] for number in pack]
        return self.client.submit(self.function, self.call, parts, *self.sent, pure=False)

    def look_up(self, number: int) -> pa.Table | None:
        """Return what ``answers`` gives for one partition, ``None`` if that takes a task."""
        if self.sent:
            return None
        keys = [each.futures[number].key for each in self.rows]
        try:
            with _losses_told(self.client):
                return ask_directly(self.client, self.call, keys)
        except BaseException:
            _cancel(self.client, [], self.call.owner)
            raise

    def in_turn(self, numbers: Sequence[int]) -> Iterator[pa.Table]:
        """Yield what the function gives for each of these partitions, in this order."""
        pending: dict[int, tuple[Pack, Future[Any]]] = {}
        made: dict[int, pa.Table] = {}
        try:
            with _losses_told(self.client):
                for pack in self._packs(numbers):
                    pending[pack[0]] = pack, self.begin(pack)
                for number in numbers:
                    if number not in made:
                        # A pack stands under its first partition, whose turn comes first.
                        pack, future = pending[number]
                        made.update(zip(pack, future.result(), strict=True))
                        del pending[number]
                        future.release()
                    yield made.pop(number)
        finally:
            if pending:
                _cancel(self.client, [future for _, future in pending.values()], self.call.owner)

    def _packs(self, numbers: Sequence[int]) -> list[Pack]:
        if not all(each.sizes for each in self.rows):
            return [(number,) for number in numbers]
        futures = [self.rows[0].futures[number] for number in numbers]
        sizes = [sum(each.sizes[number] for each in self.rows) for number in numbers]
        return [tuple(numbers[at] for at in pack) for pack in packs(self.client, futures, sizes)]


class MemoryRows(ClusterRows):
    """Implements ``Partitioned`` for one version of a table, as long as it is open."""

    def __init__(self, memory: MemoryTable) -> None:
        self.memory = memory
        self.client, self.futures = memory.client, memory.futures
        self.schema, self.key = memory.schema, memory.layout.key
        # Tables of one cluster with as many partitions hold equal keys in the same number.
        self.placement = f"xxhash64/{memory.layout.partitions}"
        # Segments lie in memory as they were written.
        self.sizes = memory.partition_bytes
        self.size = sum(segment.bytes for _, segment in memory.version.segments)


class DealtRows(ClusterRows):
    """Implements ``Partitioned`` for rows that were dealt anew among the workers. Their ``schema``
    and ``size`` are not known here: the plan has them."""

    size = 0

    def __init__(self, client: Client, futures: Sequence[Future[pa.Table]], deal: Deal) -> None:
        self.client, self.futures = client, futures
        self.key, self.placement = deal.key, deal.placement


def _sent(client: Client, sides: Mapping[str, pa.Table]) -> Sequence[Future[pa.Table]]:
    """Send tables to every worker, once."""
    if not sides:
        return ()
    with _losses_told(client):
        try:
            sent: Sequence[Future[pa.Table]] = client.scatter(
                list(sides.values()), broadcast=True, hash=False, timeout=WORKER_SECONDS
            )
        except OSError as error:
            raise SentLostError(
                f"the query: no worker took what it sends ({str(error) or type(error).__name__})",
                hint="ask again; see ess cluster status",
            ) from None
    return sent


@contextmanager
def _losses_told(client: Client) -> Iterator[None]:
    """Do what ``worker_errors`` does; ``SentLostError`` when the cluster goes on.

    Partitions of tables are made again by themselves. What was sent is gone with its last worker.
    """
    with worker_errors("the query", client):
        try:
            yield
        except CancelledError:
            if client.status != "running":
                raise
            raise SentLostError(
                "the query: what it had sent was lost with the worker that had it",
                hint="ask again; the log says why it ended: ess udbd cklog",
            ) from None


def _cancel(client: Any, pending: list[Any], owner: str) -> None:
    """Forget what has not begun, a look-up that waits for a thread too, and interrupt what runs."""
    if client.status != "running":
        return
    with suppress(OSError, TimeoutError):
        client.cancel(pending, force=True)
        client.run(cancel_task, owner, on_error="ignore")
