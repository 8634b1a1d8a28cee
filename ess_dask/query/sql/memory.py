"""Tables in the cluster's memory as a source: each partition answers where it lies."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ess_dask.clean.running import cancel_all, running
from ess_dask.query.sql.lookup import partition_of
from ess_dask.query.sql.model import Partitioned, Work
from ess_dask.query.sql.run import work_on
from ess_dask.tables.table import worker_errors

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.tables.table import MemoryTable


@dataclass(frozen=True, slots=True)
class MemoryRows:
    """Implements ``Partitioned`` for one version of a table."""

    memory: MemoryTable

    @property
    def schema(self) -> pa.Schema:
        """The table's columns."""
        return self.memory.schema

    @property
    def key(self) -> tuple[str, ...]:
        """The table's key."""
        return self.memory.layout.key

    @property
    def placement(self) -> str:
        """Tables of one cluster with as many partitions hold equal keys in the same number."""
        return f"xxhash64/{self.memory.layout.partitions}"

    @property
    def size(self) -> int:
        """Bytes of the table's segments, which lie in memory as they were written."""
        return sum(segment.bytes for _, segment in self.memory.version.segments)

    def map(
        self, work: Work, beside: Sequence[Partitioned], sides: Mapping[str, pa.Table]
    ) -> Iterator[pa.Table]:
        """Yield what ``work`` gives for each partition, worked out on the workers, in their order.

        Raises ``WorkerLostError`` and ``TransientError`` as reading the table does. What still runs
        when the iterator is closed is cancelled on the workers.
        """
        client = self.memory.client
        owner = uuid.uuid4().hex
        others = [other.memory.futures for other in beside if isinstance(other, MemoryRows)]
        sent = _sent(client, sides)
        pending = [
            client.submit(_answer, work, owner, tuple(sent), *parts, *sent.values(), pure=False)
            for parts in zip(self._chosen(work), *others, strict=True)
        ]
        try:
            with worker_errors(f"table {self.memory.name}"):
                while pending:
                    yield pending[0].result()
                    pending.pop(0).release()
        finally:
            if pending:
                _cancel(client, pending, owner)

    def _chosen(self, work: Work) -> Sequence[Any]:
        futures = self.memory.futures
        if work.at is None:
            return futures
        number = partition_of(work.at, self.schema, self.key, len(futures))
        return futures[number : number + 1]


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
