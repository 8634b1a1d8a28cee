"""A date range of a category with its cleaning commands: lazy until rows are asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, overload

from ess_dask.api.forms import as_frame, as_polars, describe_schema, names_of
from ess_dask.api.results import Collected, SelectionPlan
from ess_dask.api.steps import Step, as_step
from ess_dask.api.warn import NoFilesWarning, warn, warn_of_rejects
from ess_dask.api.workers import executor_for, is_away
from ess_dask.catalog.model import Category, Datastore, FileRef
from ess_dask.clean.protocol import BytesStep, RowStep, StepContext
from ess_dask.dataclass import dataclass
from ess_dask.engine.model import Batch, Job
from ess_dask.errors import UsageError
from ess_dask.records.spec import ReadSpec

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from dask.bag import Bag

    from ess_dask.api.cluster import Cluster
    from ess_dask.api.stream import StreamReport
    from ess_dask.api.table import Table
    from ess_dask.catalog.selection import Selection as Selected
    from ess_dask.pipelines.report import RunReport
    from ess_dask.profiling.model import Profile
    from ess_dask.settings import Settings
    from ess_dask.warehouse.model import Hooks, Mode, OnChange, TableLayout

Part = TypeVar("Part")
Whole = TypeVar("Whole")


@dataclass(frozen=True, slots=True, repr=False)
class Selection:
    """What to read and how to clean it. Immutable: each method returns a new one, or rows.

    Nothing is listed or read before files or rows are asked for, and each time anew: files that
    have come in the meantime count. ``batch_bytes`` and ``threads`` are 0 where the settings
    decide (``using`` changes them).
    """

    store: Datastore
    category: Category
    read: ReadSpec
    lower: str = "*"
    upper: str = "*"
    bytes_steps: tuple[BytesStep, ...] = ()
    row_steps: tuple[RowStep, ...] = ()
    file_columns: tuple[str, ...] = ()
    batch_bytes: int = 0
    threads: int = 0

    # --- What is selected, and how it is cleaned

    def between(self, lower: str | dt.date = "*", upper: str | dt.date = "*") -> Selection:
        """Narrow the range: the files that are in this selection and ``lower <= date <= upper``.

        Bounds as in ``LakeCategory.between``. Raises ``UsageError`` when nothing can be left.
        """
        from ess_dask.api.ranges import narrow

        low, high = narrow(self.category, (self.lower, self.upper), (str(lower), str(upper)))
        return replace(self, lower=low, upper=high)

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
        """Add ``file_date`` (date) and/or ``file_uri`` (string) as columns, before the SQL and
        Python steps. Raises ``UsageError`` for another name or one that is there already."""
        from ess_dask.api.forms import check_file_columns

        columns = (*self.file_columns, *names)
        check_file_columns(columns, [column.name for column in self.read.columns])
        return replace(self, file_columns=columns)

    def using(self, *, batch_bytes: int = 0, threads: int = 0) -> Selection:
        """Change how the work is done, never its result: stored bytes of one task and the number of
        threads; 0 is what the settings say."""
        return replace(self, batch_bytes=batch_bytes, threads=threads)

    # --- What it would read

    @property
    def schema(self) -> pa.Schema:
        """The columns that come out of the last step. Nothing is read; raises ``ConfigError`` for
        SQL that names a column which is not there."""
        from ess_dask.engine.collect import empty_table

        return empty_table(self.job()).schema

    @property
    def columns(self) -> dict[str, str]:
        """Name and type of each column that comes out of the last step."""
        return describe_schema(self.schema)

    def files(self) -> tuple[FileRef, ...]:
        """List the files of the range as they are now, in order of date, then uri.

        Raises ``UsageError`` for a folder that is not there, ``AccessError`` and ``TransientError``
        of a bucket.
        """
        return self._selected().files

    def _selected(self) -> Selected:
        from ess_dask.catalog.registry import select_registered
        from ess_dask.catalog.selection import select_files

        self.check_folder()
        if self.category.usecache:
            name, label = self.category.name, self.store.label
            return select_registered(name, self.lower, self.upper, label=label)[2]
        return select_files(self.store, self.category, self.lower, self.upper)

    def check_folder(self) -> None:
        """Raise ``UsageError`` when the lake is a folder that is not there."""
        if self.store.is_local and not Path(self.store.root).is_dir():
            raise UsageError(f"{self.store.root} is not a folder", hint="check the lake's path")

    def plan(self) -> SelectionPlan:
        """List the files and return what would be read, without reading it."""
        from ess_dask.engine.batches import make_batches

        found = self._selected()
        batches = make_batches(found.files, self.settings().batch_bytes)
        return SelectionPlan(self, found.files, batches, found.matched)

    def settings(self) -> Settings:
        """Return the settings that this selection works with."""
        from ess_dask.settings import load_settings

        own = {"batch_bytes": self.batch_bytes or None, "threads": self.threads or None}
        return load_settings(flags=own)

    def job(self) -> Job:
        """Return what a worker needs to make the clean rows."""
        settings = self.settings()
        return Job(
            store=self.store,
            read=replace(
                self.read,
                chunk_bytes=settings.chunk_bytes,
                max_record_bytes=settings.max_record_bytes,
            ),
            bytes_steps=self.bytes_steps,
            row_steps=self.row_steps,
            context=StepContext(folder=str(Path.cwd()), timeout=settings.step_timeout),
            file_columns=self.file_columns,
        )

    # --- Rows, here

    def head(self, rows: int = 10) -> pd.DataFrame:
        """Return the first clean rows as a pandas frame; reads no more files than they need."""
        from ess_dask.api.folding import first_rows

        return as_frame(first_rows(self.files(), self.job(), rows))

    def to_arrow(self) -> pa.Table:
        """Return all clean rows as a ``pyarrow.Table``, in file order.

        Warns (``RejectWarning``) of rejected rows; raises ``DataError`` or ``TransientError``
        naming a file that failed.
        """
        return self._rows()

    def to_polars(self) -> pl.DataFrame:
        """Return all clean rows as a Polars frame; warns and raises as ``to_arrow``."""
        return as_polars(self._rows())

    def to_pandas(self) -> pd.DataFrame:
        """Return all clean rows as a pandas frame with Arrow-backed columns; warns and raises as
        ``to_arrow``."""
        return as_frame(self._rows())

    def collect(self) -> Collected:
        """Read and clean everything into memory; return rows, rejects and account.

        Raises ``DataError`` or ``TransientError`` when a file failed.
        """
        import pyarrow as pa

        from ess_dask.engine.collect import collect, empty_table, raise_failures
        from ess_dask.records.rejects import reject_schema

        job = self.worked_job()
        tables, rejects, results = [], [], []
        for table, rejected, result in self._run(partial(collect, job=job)):
            raise_failures(result)
            tables += [] if table is None else [table]
            rejects += [] if rejected is None else [rejected]
            results.append(result)
        return Collected(
            pa.concat_tables(tables) if tables else empty_table(job),
            pa.concat_tables(rejects) if rejects else reject_schema().empty_table(),
            tuple(results),
        )

    def rejects(self) -> pd.DataFrame:
        """Read and clean everything; return the rejected rows, each with uri, line, column, reason
        and raw (bytes). Raises ``DataError`` or ``TransientError`` when a file failed."""
        import pyarrow as pa

        from ess_dask.api.folding import rejected_rows
        from ess_dask.records.rejects import reject_schema

        found = list(self._run(partial(rejected_rows, job=self.worked_job())))
        return as_frame(pa.concat_tables([reject_schema().empty_table(), *found]))

    def fold(
        self, each: Callable[[pa.Table], Part], merge: Callable[[Sequence[Part]], Whole]
    ) -> Whole:
        """Reduce the rows in bounded memory: ``merge([each(batch), ...])``, in batch order.

        ``each`` sees the clean rows of one batch, in parallel threads or on the workers of other
        machines; only what it returns is kept. Raises ``DataError`` when a file fails.
        """
        from ess_dask.api.folding import fold_batch, packed

        work = partial(fold_batch, job=self.worked_job(), each=packed(each, away=self._is_away))
        return merge(list(self._run(work)))

    def count(self) -> int:
        """Return the number of clean rows, in bounded memory; raises as ``fold``."""
        from ess_dask.api.folding import added, num_rows

        return self.fold(num_rows, added)

    def profile(
        self,
        columns: str | Iterable[str] = (),
        *,
        files: float | None = None,
        top: int = 10,
        rejects: int = 5,
    ) -> Profile:
        """Return what is in the columns, and rejects by reason: one pass, bounded memory.

        ``columns``: only these. ``files``: the newest so many, or a share (0.1) spread over the
        range. ``top`` values of a column, ``rejects`` of a reason. Raises ``UsageError`` (unknown
        column) and as ``fold``.
        """
        from ess_dask.api.profile import ProfileOptions, profile_selection

        options = ProfileOptions(names_of(columns), files, top, rejects)
        return profile_selection(self, options)

    def to_bag(self) -> Bag:
        """List the files and return a ``dask.bag`` of ``pyarrow.Table``: the clean rows, one table
        per batch of files.

        A bag runs on processes unless told otherwise: ``.compute(scheduler="threads")`` is the
        fast way on one machine. A file that fails raises at compute; rejected rows are left out.
        """
        from ess_dask.engine.bag import make_bag
        from ess_dask.engine.collect import collect_table

        return make_bag(self.plan().batches, partial(collect_table, job=self.job()))

    # --- Bytes, and other places

    @overload
    def stream(self, command: str = ...) -> Iterator[bytes]: ...
    @overload
    def stream(self, command: str, target: BinaryIO) -> StreamReport: ...
    def stream(
        self, command: str = "cat", target: BinaryIO | None = None
    ) -> Iterator[bytes] | StreamReport:
        """Send each file, decompressed, through a shell command; outputs come whole, in file order.

        Without ``target`` return an iterator of blocks of bytes, which raises ``DataError`` or
        ``TransientError`` at a file whose command fails or that cannot be read. With ``target``
        write there; files that fail are left out and named in the report. ``%path``, ``%file``
        and ``%FILE`` in the command stand for the file's names, safely.

        Raises ``UsageError`` when cleaning commands were added: here the command is all there is.
        """
        from ess_dask.api.stream import StreamOptions, iterate_files, stream_shown

        if self.row_steps or self.bytes_steps or self.file_columns:
            raise UsageError(
                "stream() sends the files as they are, and this selection has cleaning steps",
                hint="stream before clean(), or join the shell commands with |",
            )
        category = replace(
            self.category,
            compression=self.read.compression,
            archive=self.read.archive,
            delimiter=self.read.delimiter,
        )
        settings = self.settings()
        options = StreamOptions(threads=settings.threads, window=settings.window)
        if target is None:
            return iterate_files(self.store, category, self.files, command, options)
        return stream_shown(self.store, category, self.files(), command, target, options)

    def into(
        self,
        table: str,
        *,
        key: str | Iterable[str],
        sort: str | Iterable[str] = (),
        append: bool = False,
        cluster: Cluster | None = None,
    ) -> Table:
        """Import the clean rows into the cluster's memory; return the table ``database.table``.

        ``key``: the columns that decide a row's partition, ``sort``: by which the rows of a
        partition lie. The table then holds this selection and nothing else; with ``append`` the
        files it does not hold yet are added. All or nothing: readers see the new version when it is
        complete. ``cluster`` is by default that of ``with ess.connect()``, else one is connected to
        (and started) for the table alone.

        Warns (``RejectWarning``) of rejected rows. Raises ``DataError`` or ``TransientError``
        naming a file that failed or was replaced while it was read, ``ConflictError`` when the
        table has other columns or key, or (``append``) holds another version of a file.
        """
        from ess_dask.api.loading import import_rows
        from ess_dask.pipelines.execution import MemoryTarget

        return import_rows(
            self, MemoryTarget(table, names_of(key), names_of(sort), renew=not append), cluster
        )

    def load(
        self,
        url: str,
        *,
        table: str,
        mode: Mode = "append",
        key: str | Iterable[str] = (),
        pipeline: str = "",
        on_change: OnChange = "fail",
        rejects: str | int = "5%",
        layout: TableLayout | None = None,
        hooks: Hooks | None = None,
    ) -> RunReport:
        """Load the clean rows into a warehouse (``duckdb:///shop.duckdb``), each file exactly once.

        The ledger keeps who loaded which file under ``pipeline`` (default: the category's name): a
        file that it loaded before is not loaded again. ``mode``: ``append``, ``replace`` (what it
        loaded for the same date range goes first) or ``upsert`` (rows with the same ``key`` are
        replaced). ``on_change``: what to do with a file that changed since it was loaded. More
        rejected rows than ``rejects``, a share or a number, publish nothing. ``layout``:
        distribution and sort keys of a table that is made (Redshift). ``hooks``: SQL around the
        load.

        Returns the account. Raises ``DataError`` or ``TransientError`` naming a file that failed
        (the others are loaded), ``RejectLimitError``, ``ConflictError``, ``LockedError``,
        ``InterruptedRunError`` after Ctrl-C (what was finished is loaded).
        """
        from ess_dask.api.loading import load_rows
        from ess_dask.warehouse.model import Hooks, TableLayout, Target

        target = Target(
            url=url,
            table=table,
            pipeline=pipeline or self.category.name,
            mode=mode,
            key=names_of(key),
            on_change=on_change,
            layout=layout or TableLayout(),
            hooks=hooks or Hooks(),
        )
        return load_rows(self, target, str(rejects))

    def _rows(self) -> pa.Table:
        collected = self.collect()
        warn_of_rejects(collected.rejects.num_rows, ".rejects()")
        return collected.table

    def _run(
        self, work: Callable[[Batch], Any], batches: tuple[Batch, ...] | None = None
    ) -> Iterator[Any]:
        """Yield ``work(batch)`` in batch order, through the bounded window (default: all files)."""
        from ess_dask.api.progress import counted
        from ess_dask.engine.window import run_ordered

        batches = self.plan().batches if batches is None else batches
        if not batches:
            patterns = ", ".join(self.category.patterns)
            warn(f"no file in {self.store.root} matches {patterns} in this range", NoFilesWarning)
        with executor_for(self.store, self.settings()) as executor:
            results = run_ordered(batches, work, executor, limit=self.settings().window)
            yield from counted(batches, results)

    @property
    def _is_away(self) -> bool:
        return is_away(self.store, self.settings())

    def worked_job(self) -> Job:
        """Return the job as those get it that make the rows."""
        job = self.job()
        return replace(job, context=job.context.away("")) if self._is_away else job

    def __repr__(self) -> str:
        from ess_dask.api.show import selection_text

        return selection_text(self)

    def _repr_html_(self) -> str:
        from ess_dask.api.show import selection_html

        return selection_html(self)
