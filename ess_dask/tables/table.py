"""A table of the cluster's memory as its user sees it: one version, immutable, by partitions."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from ess_dask.cluster.lost import loss_told
from ess_dask.errors import WorkerLostError
from ess_dask.tables.layout import ORDER, TableLayout
from ess_dask.tables.merge import key_order
from ess_dask.tables.registry import TableName, Version

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from distributed import Client, Future

T = TypeVar("T")


class MemoryTable:
    """One version of a table. It stays readable, whatever happens to the table, until ``close``.

    Rows come in partition order, and within a partition in import order (or sorted): the same rows
    in the same order whatever the number of workers. ``far``: the workers are on other machines.
    Ordered tables (Essentia's) come by key, keys
    in the order in which they were first imported.
    """

    def __init__(
        self,
        name: TableName,
        version: Version,
        futures: tuple[Future[pa.Table], ...],
        client: Client,
        pin: int,
        *,
        far: bool = False,
    ) -> None:
        self.name = name
        self.far = far
        self.version = version
        self._futures = futures
        self._client = client
        self._unpin = weakref.finalize(self, os.close, pin)

    def __repr__(self) -> str:
        return f"<MemoryTable {self.name} version {self.version.number}: {self.schema.names}>"

    def __enter__(self) -> MemoryTable:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def layout(self) -> TableLayout:
        """Key, partitions, order and merge rules."""
        return self.version.layout

    @property
    def schema(self) -> pa.Schema:
        """The columns and their Arrow types."""
        return self.layout.schema

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        """(uri, etag) of every file whose rows are in the table, in import order."""
        return tuple(source for _, segment in self.version.segments for source in segment.sources)

    @property
    def futures(self) -> tuple[Future[pa.Table], ...]:
        """One per partition, each a ``pa.Table`` with ``layout.stored_schema``: for Dask work."""
        return self._futures

    @property
    def client(self) -> Client:
        """The connection to the cluster that holds the table."""
        return self._client

    def map(self, function: Callable[..., T], *args: Any) -> list[T]:
        """Return ``function(partition, *args)`` of every partition, in their order.

        Runs on the workers; a partition has ``layout.stored_schema`` (``ORDER`` last if ordered).
        """
        return self._gather(
            lambda: self._client.map(
                _apply, self._futures, function=function, args=args, pure=False
            )
        )

    def map_numbered(self, function: Callable[..., T], *args: Any) -> list[T]:
        """Return ``function(number, partition, *args)`` of every partition, in their order."""
        numbers = range(len(self._futures))
        return self._gather(
            lambda: self._client.map(
                _apply_numbered, numbers, self._futures, function=function, args=args, pure=False
            )
        )

    def run(self, function: Callable[[Any], T], values: Sequence[Any]) -> list[T]:
        """Return ``function(value)`` of each value, done by the workers, in order."""
        return self._gather(lambda: self._client.map(function, values, pure=False))

    def partitions(self) -> list[pa.Table]:
        """Return all partitions (``layout.stored_schema``), here."""
        return self._gather(lambda: self._futures)

    def to_arrow(self) -> pa.Table:
        """Return all rows, here."""
        import pyarrow as pa

        table = pa.concat_tables(self.partitions())
        return self._in_order(table)

    def to_pandas(self) -> pd.DataFrame:
        """Return all rows as a data frame, here."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def head(self, count: int = 5) -> pa.Table:
        """Return the first ``count`` rows; only these travel, except from an ordered table."""
        import pyarrow as pa

        if self.layout.ordered:
            return self.to_arrow().slice(0, count)
        rows = self.schema.empty_table()
        for future in self._futures:
            if rows.num_rows >= count:
                break
            left = count - rows.num_rows
            begin = partial(self._client.map, _first_rows, [future], [left], pure=False)
            rows = pa.concat_tables([rows, *self._gather(begin)])
        return rows

    def count(self) -> int:
        """Return the number of rows."""
        if not self.layout.merges:
            return sum(sum(segment.rows) for _, segment in self.version.segments)
        return sum(self.map(_num_rows))

    @cached_property
    def partition_bytes(self) -> tuple[int, ...]:
        """About how many bytes each partition takes: its share, by rows, of each segment."""
        sizes = [1.0] * self.layout.partitions
        for _, segment in self.version.segments:
            each = segment.bytes / max(1, sum(segment.rows))
            sizes = [size + rows * each for size, rows in zip(sizes, segment.rows, strict=True)]
        return tuple(map(int, sizes))

    def close(self) -> None:
        """Let the version go; what others use of it stays."""
        self._futures = ()
        self._unpin()

    def _in_order(self, table: pa.Table) -> pa.Table:
        if not self.layout.ordered:
            return table
        return key_order(table, self.layout.key).drop_columns([ORDER])

    def _gather(self, begun: Callable[[], Sequence[Future[Any]]]) -> list[Any]:
        with worker_errors(f"table {self.name}", self._client):
            gathered: list[Any] = self._client.gather(list(begun()))
        return gathered


@contextmanager
def worker_errors(what: str, client: Client | None = None) -> Iterator[None]:
    """Turn Dask's errors about lost workers and a lost cluster into ours."""
    from distributed import KilledWorker

    try:
        with loss_told(what, client):
            yield
    except KilledWorker as error:
        raise WorkerLostError(
            f"{what}: workers died while they worked on it ({error.allowed_failures + 1} times)",
            hint="they may lack memory: look at the cluster's log (ess udbd cklog)",
        ) from None


def _apply(partition: pa.Table, function: Callable[..., T], args: tuple[Any, ...]) -> T:
    return function(partition, *args)


def _apply_numbered(
    number: int, partition: pa.Table, function: Callable[..., T], args: tuple[Any, ...]
) -> T:
    return function(number, partition, *args)


def _first_rows(partition: pa.Table, count: int) -> pa.Table:
    import pyarrow as pa

    # A slice may drag the whole partition's buffers along.
    return partition.take(pa.array(range(min(count, partition.num_rows)), pa.int64()))


def _num_rows(partition: pa.Table) -> int:
    return int(partition.num_rows)
