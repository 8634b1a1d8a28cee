"""Tables in the cluster's memory as a source: each partition answers where it lies."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from ess_dask.clean.running import cancel_all, running
from ess_dask.query.sql.lookup import partition_of
from ess_dask.query.sql.model import Deal, Partitioned, Work
from ess_dask.query.sql.run import buckets_of, work_on
from ess_dask.tables.table import worker_errors

if TYPE_CHECKING:
    import pyarrow as pa
    from distributed import Client, Future

    from ess_dask.tables.table import MemoryTable


class ClusterRows:
    """Implements what sources on the workers have in common: ``futures`` of their partitions, held
    by ``client``'s cluster, with rows that ``schema`` and ``key`` tell."""

    client: Client
    futures: Sequence[Future[pa.Table]]
    schema: pa.Schema
    key: tuple[str, ...]

    def map(
        self, work: Work, beside: Sequence[Partitioned], sides: Mapping[str, pa.Table]
    ) -> Iterator[pa.Table]:
        """Yield what ``work`` gives for each partition, worked out on the workers, in their order.

        Raises ``WorkerLostError`` and ``TransientError`` as reading a table does. What still runs
        when the iterator is closed is cancelled on the workers.
        """
        owner = uuid.uuid4().hex
        pending = self._begin(_answer, work, owner, beside, sides)
        try:
            with worker_errors("the query"):
                while pending:
                    yield pending[0].result()
                    pending.pop(0).release()
        finally:
            if pending:
                _cancel(self.client, pending, owner)

    def dealt(
        self, work: Work, beside: Sequence[Partitioned], sides: Mapping[str, pa.Table], deal: Deal
    ) -> DealtRows:
        """Return what ``work`` gives, dealt anew among the workers; it is done when it is asked."""
        pending = self._begin(partial(_deal, deal), work, uuid.uuid4().hex, beside, sides)
        futures = []
        for number in range(deal.partitions):
            parts = [self.client.submit(_at, each, number, pure=False) for each in pending]
            futures.append(self.client.submit(_together, parts, pure=False))
        return DealtRows(self.client, futures, deal)

    def _begin(
        self,
        function: Callable[..., Any],
        work: Work,
        owner: str,
        beside: Sequence[Partitioned],
        sides: Mapping[str, pa.Table],
    ) -> list[Future[Any]]:
        others = [other.futures for other in beside if isinstance(other, ClusterRows)]
        sent = _sent(self.client, sides)
        return [
            self.client.submit(
                function, work, owner, tuple(sent), *parts, *sent.values(), pure=False
            )
            for parts in zip(self._chosen(work), *others, strict=True)
        ]

    def _chosen(self, work: Work) -> Sequence[Any]:
        if work.at is None:
            return self.futures
        number = partition_of(work.at, self.schema, self.key, len(self.futures))
        return self.futures[number : number + 1]


class MemoryRows(ClusterRows):
    """Implements ``Partitioned`` for one version of a table, as long as it is open."""

    def __init__(self, memory: MemoryTable) -> None:
        self.memory = memory
        self.client, self.futures = memory.client, memory.futures
        self.schema, self.key = memory.schema, memory.layout.key
        # Tables of one cluster with as many partitions hold equal keys in the same number.
        self.placement = f"xxhash64/{memory.layout.partitions}"
        # Segments lie in memory as they were written.
        self.size = sum(segment.bytes for _, segment in memory.version.segments)

    def release(self) -> None:
        """Let the partitions go: an answer that is kept keeps no table."""
        self.futures = ()


class DealtRows(ClusterRows):
    """Implements ``Partitioned`` for rows that were dealt anew among the workers. Their ``schema``
    and ``size`` are not known here: the plan has them."""

    size = 0

    def __init__(self, client: Client, futures: Sequence[Future[pa.Table]], deal: Deal) -> None:
        self.client, self.futures = client, futures
        self.key, self.placement = deal.key, deal.placement


def _deal(deal: Deal, work: Work, owner: str, names: tuple[str, ...], *tables: pa.Table) -> Any:
    return buckets_of(_answer(work, owner, names, *tables), deal)


def _at(parts: list[pa.Table], number: int) -> pa.Table:
    return parts[number]


def _together(parts: list[pa.Table]) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables(parts)


def _sent(client: Any, sides: Mapping[str, pa.Table]) -> dict[str, Any]:
    """Send tables to every worker, once."""
    if not sides:
        return {}
    futures = client.scatter(list(sides.values()), broadcast=True, hash=False)
    return dict(zip(sides, futures, strict=True))


def _answer(work: Work, owner: str, names: tuple[str, ...], *tables: pa.Table) -> pa.Table:
    """Work on one partition of each source; the sides come behind them. Runs on a worker."""
    count = len(work.names)
    sides = dict(zip(names, tables[count:], strict=True))
    with running.owned_by(owner):
        return work_on(tables[:count], work, sides)


def _cancel(client: Any, pending: list[Any], owner: str) -> None:
    """Forget what has not begun and interrupt what runs."""
    if client.status != "running":
        return
    with suppress(OSError, TimeoutError):
        client.cancel(pending, force=True)
        client.run(cancel_all, owner, on_error="ignore")
