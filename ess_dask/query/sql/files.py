"""A date range of a category as a source: batches of files, read and typed as the engine does.

Only the columns that a statement needs are typed, so a bad value in another column rejects no row.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ess_dask.clean.closed import ASKING
from ess_dask.dataclass import dataclass
from ess_dask.engine.batches import growing
from ess_dask.engine.model import Batch, BatchResult, Job
from ess_dask.query.sql.model import Partitioned, Work
from ess_dask.query.sql.run import DealtHere, work_on
from ess_dask.records.arrays import empty_table as no_rows
from ess_dask.records.spec import DataType, ReadSpec

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.engine.executor import Executor


_MODULES = (
    "ess_dask.catalog.local",
    "ess_dask.catalog.store",
    "ess_dask.engine.collect",
    "ess_dask.engine.work",
    "ess_dask.query.sql.room",
    "ess_dask.records.csv",
    "ess_dask.records.plain",
    "duckdb",
    "isal.igzip",
    "numpy",
    "pyarrow.compute",
    "pyarrow.csv",
)

ALONE_BYTES = 1 << 20
"""A first file of at most so many stored bytes is looked at before threads are begun: the rows that
a limit asks for are often in it."""


@dataclass(slots=True)
class Account:
    """What was read of a category: files, stored bytes, rows, and rows that were rejected."""

    files: int = 0
    bytes: int = 0
    rows: int = 0
    rejected: int = 0

    def take(self, batch: Batch, result: BatchResult) -> None:
        """Add one batch."""
        self.files += len(batch.files)
        self.bytes += batch.size
        self.rows += sum(count.read for count in result.counts)
        self.rejected += sum(count.rejected for count in result.counts)


@dataclass(frozen=True, slots=True)
class CategoryRows(DealtHere):
    """Implements ``Partitioned`` for files. ``executor`` gives what so many stored bytes are read
    on (0: a part of them will do), ``window`` is how many batches are in flight (0: two for each
    thread); ``pruned`` files of the category have a date out of the range; ``near``: it is this
    process that reads them."""

    job: Job
    batches: tuple[Batch, ...]
    schema: pa.Schema
    executor: Callable[[int], AbstractContextManager[Executor]]
    window: int = 0
    pruned: int = 0
    near: bool = False
    account: Account = field(default_factory=Account)
    key: tuple[str, ...] = ()
    placement: str = ""

    @property
    def size(self) -> int:
        """About what the files take in memory: three times what is stored."""
        return 3 * sum(batch.size for batch in self.batches)

    def map(
        self, work: Work, beside: Sequence[Partitioned], sides: Mapping[str, pa.Table]
    ) -> Iterator[pa.Table]:
        """Yield what ``work`` gives for each batch of files, in their order, a window at a time.

        Raises ``DataError`` or ``TransientError`` naming a file that failed: no answer without it.
        """
        if not self.batches:
            yield work_on((no_rows(self.schema),), work, sides)
            return
        job = replace(self.job, read=_typed_only(self.job, work.columns[0]))
        answer = partial(_answer, job=job, work=work, sides=dict(sides))
        batches, size = self.batches, sum(batch.size for batch in self.batches)
        if work.limit is not None:
            batches, size = tuple(growing(batches)), 0
            if self.near and batches[0].size <= ALONE_BYTES:
                yield self._taken(batches[0], answer(batches[0]))
                batches = batches[1:]
        if batches:
            yield from self._answers(batches, answer, size)

    def _answers(
        self, batches: Sequence[Batch], answer: Callable[[Batch], list[Any]], size: int
    ) -> Iterator[pa.Table]:
        from ess_dask.engine.window import run_ordered

        with self.executor(size) as executor:
            answers = run_ordered(batches, answer, executor, limit=self.window)
            with closing(answers):
                for batch, found in zip(batches, answers, strict=False):
                    yield self._taken(batch, found)

    def _taken(self, batch: Batch, found: list[Any]) -> pa.Table:
        from ess_dask.engine.collect import raise_failures

        table, result = found
        raise_failures(result)
        self.account.take(batch, result)
        answered: pa.Table = table
        return answered


def make_ready() -> None:
    """Import what reads files and answers questions about them, and make the database that does:
    0.3 s, which a process beside this one takes before there is work for it."""
    for name in _MODULES:
        importlib.import_module(name)
    ASKING.connection()


def _typed_only(job: Job, columns: tuple[str, ...]) -> ReadSpec:
    """Return how to read the files when only these columns matter; no column: whole rows count.
    Of rejects only their number is told."""
    if job.row_steps or not columns:
        return replace(job.read, keep_rejects=False)
    kept = tuple(
        column if column.name in columns else replace(column, type=DataType("skip"))
        for column in job.read.columns
    )
    return replace(job.read, columns=kept, keep_rejects=False)


def _answer(batch: Batch, job: Job, work: Work, sides: Mapping[str, pa.Table]) -> list[Any]:
    """Read one batch and work on its rows; return the answer and the account of the files."""
    from ess_dask.engine.collect import collect, empty_table

    table, _, result = collect(batch, job)
    return [work_on((empty_table(job) if table is None else table,), work, sides), result]
