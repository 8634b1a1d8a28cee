"""A date range of a category with its cleaning commands: lazy until rows are asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ess_dask.api.steps import Step, as_step
from ess_dask.catalog.model import Category, Datastore, FileRef
from ess_dask.clean.protocol import BytesStep, RowStep, StepContext
from ess_dask.engine.batches import BATCH_BYTES, make_batches
from ess_dask.engine.model import Batch, BatchResult, Job
from ess_dask.errors import UsageError
from ess_dask.records.spec import ReadSpec

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from dask.bag import Bag

Part = TypeVar("Part")


class RejectWarning(UserWarning):
    """Rows were rejected on the way; ``Selection.collect().rejects`` has them."""


@dataclass(frozen=True, slots=True)
class Collected:
    """Clean rows and their account. ``rejects`` has uri, line, column, reason, raw."""

    table: pa.Table
    rejects: pa.Table
    results: tuple[BatchResult, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """What to read and how to clean it. Immutable: each method returns a new one or rows.

    ``options`` may be used to change ``batch_bytes`` (stored bytes per task) and ``threads``
    (0: all cores).
    """

    store: Datastore
    category: Category
    read: ReadSpec
    lower: str = "*"
    upper: str = "*"
    bytes_steps: tuple[BytesStep, ...] = ()
    row_steps: tuple[RowStep, ...] = ()
    file_columns: tuple[str, ...] = ()
    batch_bytes: int = BATCH_BYTES
    threads: int = 0

    def clean(self, *steps: Step) -> Selection:
        """Add cleaning commands, in order: SQL text, a function on pandas, or ``ess.shell(...)``.

        Raises ``ConfigError`` for SQL that is refused and ``UsageError`` for a shell step after a
        row step (it sees bytes, before they are parsed).
        """
        made = self
        for step in map(as_step, steps):
            if isinstance(step, RowStep):
                made = replace(made, row_steps=(*made.row_steps, step))
            elif made.row_steps:
                raise UsageError(
                    f"the shell command {step.name!r} comes after a step on rows",
                    hint="shell commands see a file's bytes: put them first",
                )
            else:
                made = replace(made, bytes_steps=(*made.bytes_steps, step))
        return made

    def with_file(self, *names: str) -> Selection:
        """Add ``file_date`` and/or ``file_uri`` as columns."""
        unknown = [name for name in names if name not in ("file_date", "file_uri")]
        if unknown:
            raise UsageError(f"no such file column: {unknown[0]}", hint="file_date or file_uri")
        return replace(self, file_columns=(*self.file_columns, *names))

    def files(self) -> tuple[FileRef, ...]:
        """List the files of the range as they are now, in order of date, then uri."""
        from ess_dask.catalog.selection import select_files

        return select_files(self.store, self.category, self.lower, self.upper).files

    def plan(self) -> SelectionPlan:
        """Return what would be read, without reading it."""
        files = self.files()
        return SelectionPlan(self, files, make_batches(files, self.batch_bytes))

    def job(self, rejects_folder: str = "") -> Job:
        """Return what a worker needs to make the clean rows."""
        return Job(
            store=self.store,
            read=self.read,
            bytes_steps=self.bytes_steps,
            row_steps=self.row_steps,
            context=StepContext(),
            file_columns=self.file_columns,
            rejects_folder=rejects_folder,
        )

    def to_bag(self) -> Bag:
        """Return a ``dask.bag`` of ``pyarrow.Table``: the clean rows, one table per batch of files.

        A bag runs on processes unless told otherwise: ``.compute(scheduler="threads")`` is the
        fast way on one machine. A file that fails raises at compute; rejected rows are left out.
        """
        from ess_dask.engine.bag import make_bag
        from ess_dask.engine.collect import collect_table

        return make_bag(self.plan().batches, partial(collect_table, job=self.job()))

    def fold(
        self, each: Callable[[pa.Table], Part], merge: Callable[[Sequence[Part]], Part]
    ) -> Part:
        """Reduce the rows in bounded memory: ``merge([each(batch), ...])``, in batch order.

        ``each`` sees the clean rows of one batch, in parallel threads; only what it returns is
        kept. Raises ``DataError`` when a file fails.
        """
        from ess_dask.engine.collect import collect_table

        job = self.job()
        return merge(list(self._run(lambda batch: each(collect_table(batch, job)))))

    def collect(self) -> Collected:
        """Read and clean everything into memory; return rows, rejects and account.

        Raises ``DataError`` or ``TransientError`` when a file failed.
        """
        import pyarrow as pa

        from ess_dask.engine.collect import collect, empty_table, raise_failures
        from ess_dask.records.rejects import reject_schema

        tables, rejects, results = [], [], []
        for table, rejected, result in self._run(partial(collect, job=self.job())):
            raise_failures(result)
            tables.append(table)
            rejects.append(rejected)
            results.append(result)
        kept = [table for table in tables if table is not None]
        rejected = [table for table in rejects if table is not None]
        return Collected(
            pa.concat_tables(kept) if kept else empty_table(self.job()),
            pa.concat_tables(rejected) if rejected else reject_schema().empty_table(),
            tuple(results),
        )

    def to_arrow(self) -> pa.Table:
        """Return all clean rows, in file order; warns (``RejectWarning``) of rejected rows."""
        collected = self.collect()
        if collected.rejects.num_rows:
            warnings.warn(
                f"{collected.rejects.num_rows:,} rows were rejected; .collect().rejects has them",
                RejectWarning,
                stacklevel=2,
            )
        return collected.table

    def to_polars(self) -> pl.DataFrame:
        """Return all clean rows as a Polars frame."""
        import polars as pl

        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def to_pandas(self) -> pd.DataFrame:
        """Return all clean rows as a pandas frame with Arrow-backed columns."""
        import pandas as pd

        frame: pd.DataFrame = self.to_arrow().to_pandas(types_mapper=pd.ArrowDtype)
        return frame

    def head(self, rows: int = 10) -> pd.DataFrame:
        """Return the first clean rows; reads no more files than they need."""
        import pandas as pd
        import pyarrow as pa

        from ess_dask.engine.collect import collect_table

        job = self.job()
        tables, missing = [], rows
        for number, file in enumerate(self.files()):
            table = collect_table(Batch(number, (file,)), job)
            tables.append(table.slice(0, missing))
            missing -= tables[-1].num_rows
            if missing <= 0:
                break
        from ess_dask.engine.collect import empty_table

        table = pa.concat_tables(tables) if tables else empty_table(job)
        frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
        return frame

    def _run(self, work: Callable[[Batch], Part]) -> Iterator[Part]:
        from ess_dask.engine.executor import ThreadExecutor, usable_cores
        from ess_dask.engine.window import run_ordered

        executor = ThreadExecutor(self.threads or usable_cores())
        try:
            yield from run_ordered(self.plan().batches, work, executor)
        finally:
            executor.close()


@dataclass(frozen=True, slots=True)
class SelectionPlan:
    """What a selection would read: files in order, grouped into batches (one task each)."""

    selection: Selection
    files: tuple[FileRef, ...]
    batches: tuple[Batch, ...]

    def __str__(self) -> str:
        """Return a few lines for a person."""
        stored = sum(file.size for file in self.files)
        selection = self.selection
        lines = [
            f"{selection.category.name}: {len(self.files)} files, {stored:,} bytes stored, "
            f"{len(self.batches)} batches",
            *(f"  {file.uri}" for file in self.files[:3]),
        ]
        if len(self.files) > 3:
            lines.append(f"  ... {self.files[-1].uri}")
        steps: Any = (*selection.bytes_steps, *selection.row_steps)
        lines += [f"  {number}. {step.name}" for number, step in enumerate(steps, 1)]
        return "\n".join(lines)
