"""The work of one run: stage on the workers, load, publish, account; when, says ``run``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask.catalog.model import shown
from ess_dask.dataclass import dataclass
from ess_dask.engine.interrupt import Interrupt
from ess_dask.engine.model import Batch, BatchResult, FileCount, RowCheck, Sink
from ess_dask.engine.sinks import Only, Tee
from ess_dask.errors import EssError, InterruptedRunError, RejectLimitError, WorkerLostError
from ess_dask.observe.logs import heard_level
from ess_dask.observe.watch import Watch as Observer
from ess_dask.pipelines.execution import Execution
from ess_dask.pipelines.plan import RunPlan
from ess_dask.pipelines.report import REFUSED, RunReport, Totals
from ess_dask.pipelines.run_folder import run_folder
from ess_dask.warehouse.hooks import AfterLoadAbortedError, AfterLoadError
from ess_dask.warehouse.model import LoadFile, LoadPlan, LoadRequest, LoadResult

if TYPE_CHECKING:
    from ess_dask.engine.executor import Executor
    from ess_dask.settings import Settings
    from ess_dask.tables.session import Session
    from ess_dask.tables.sink import SegmentSink
    from ess_dask.tables.table import MemoryTable
    from ess_dask.warehouse.protocol import Warehouse

Say = Callable[[str], None]
Watch = Callable[[BatchResult], None]

NOT_KEPT = "they were not kept: with rejects.keep: true `ess rejects show` has them"


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told what during a run: ``say`` a line for a person, ``watch`` each finished batch.

    Runs that are there at a time in one process are begun by somebody who is asked by each of them:
    ``stopped`` whether no further batch is to begin, ``loading`` for what is entered around a load.
    """

    say: Say = lambda text: None
    watch: Watch = lambda result: None
    stopped: Callable[[], bool] = lambda: False
    loading: Callable[[], AbstractContextManager[Any]] = nullcontext

    def joined(self, observer: Observer) -> Listener:
        """Return a listener that tells an observer, too."""

        def watch(result: BatchResult) -> None:
            observer.batch(result)
            self.watch(result)

        return replace(self, say=observer.say(self.say), watch=watch)


@dataclass(frozen=True, slots=True)
class Tools:
    """What a run works with while it is open; the last sink is the memory table's."""

    executor: Executor
    session: Session | None
    sinks: tuple[Sink, ...]
    segments: SegmentSink | None


@dataclass(frozen=True, slots=True)
class Work:
    """What is done for one run, step by step. ``runs`` is the folder of all runs, ``given`` the
    connection to the cluster's tables that is to be used, if there is one."""

    plan: RunPlan
    execution: Execution
    settings: Settings
    listener: Listener
    run_id: str
    runs: Path
    given: Session | None

    @property
    def folder(self) -> Path:
        """The run's own folder."""
        return self.runs / self.run_id

    @property
    def rejects_folder(self) -> Path:
        """Where its rejected rows lie."""
        return self.folder / "rejects"

    @property
    def _loads(self) -> bool:
        load = self.plan.load
        return load is not None and bool(load.new or load.changed)

    @property
    def _imports(self) -> bool:
        memory = self.execution.memory
        return memory is not None and (memory.rebuild or bool(memory.uris))

    def own_folder(self) -> AbstractContextManager[None]:
        """Make the run's folder and hold it; what is staged in it is gone on the way out."""
        return run_folder(self.folder, self._staged_at())

    @contextmanager
    def prepared(self) -> Iterator[Tools]:
        """Make executor and sinks, in the run's folder; stop the work on the way out."""
        with self._used_session() as session:
            segments = self._segment_sink(session)
            with self._executor(session) as executor:
                try:
                    yield Tools(executor, session, self._sinks(segments), segments)
                except BaseException:
                    executor.cancel()
                    if session is not None and segments is not None:
                        session.store.discard(segments)
                    raise
                finally:
                    executor.close()

    def _staged_at(self) -> str:
        if self.plan.load is None:
            return ""
        return _warehouse_of(self.plan.load).staged_at(self.run_id)

    @contextmanager
    def _used_session(self) -> Iterator[Session | None]:
        """Give the connection to the tables that the run fills, None when it fills none."""
        if self.given is not None or self.execution.memory is None:
            yield self.given
            return
        from ess_dask.tables.session import open_session

        with open_session(self.listener.say, self.settings.cluster) as session:
            yield session

    @contextmanager
    def _executor(self, session: Session | None) -> Iterator[Executor]:
        from ess_dask.engine.executor import ThreadExecutor
        from ess_dask.engine.hands import Errand, cluster_executor, far_executor

        errand = Errand(str(self.folder), self.run_id, (self.execution.job.store,))
        if session is not None:
            yield cluster_executor(session.client, session.endpoint, errand)
        elif self._is_away(session):
            kind = self.settings.cluster
            with far_executor(self.listener.say, kind, errand) as executor:
                yield executor
        else:
            yield ThreadExecutor(self.execution.slots, self.run_id)

    def _is_away(self, session: Session | None) -> bool:
        """Whether the work is done on machines that see nothing of this one."""
        from ess_dask.cluster.machines import is_remote

        if session is not None:
            return session.endpoint.remote
        # Rows that are read in place of files are in this process.
        return is_remote(self.settings.cluster) and self.execution.job.reader is None

    def _segment_sink(self, session: Session | None) -> SegmentSink | None:
        if session is None:
            return None
        from ess_dask.pipelines.memory import layout_of

        return session.store.sink(layout_of(self.execution, self.settings.partitions))

    def _sinks(self, segments: SegmentSink | None) -> tuple[Sink, ...]:
        """The staging sink first, then the memory's: ``parts`` come back in this order."""
        sinks: list[Sink] = []
        if self.plan.load is not None:
            wanted = frozenset(f.uri for f in (*self.plan.load.new, *self.plan.load.changed))
            sinks.append(Only(self._staging_sink(self.plan.load), wanted))
        if segments is not None and self.execution.memory is not None:
            sinks.append(Only(segments, self.execution.memory.uris))
        return tuple(sinks)

    def _check(self) -> RowCheck | None:
        if self.plan.load is None:
            return None
        return _warehouse_of(self.plan.load).check(self.plan.load)

    def _staging_sink(self, plan: LoadPlan) -> Sink:
        stage = str(self.folder / "stage")
        return _warehouse_of(plan).sink(stage, self.run_id, plan)

    def work(self, tools: Tools, interrupt: Interrupt) -> list[BatchResult]:
        """Run all batches; a batch whose worker died too often is told as failed files."""
        from ess_dask.engine.patience import Patience
        from ess_dask.engine.window import run_ordered
        from ess_dask.engine.work import process

        keep = self.execution.rejects.keep
        context = self.execution.job.context
        if self._is_away(tools.session):
            context = context.away(self.run_id)
        job = replace(
            self.execution.job,
            rejects_folder=str(self.rejects_folder) if keep else "",
            check=self._check(),
            context=replace(context, owner=self.run_id),
            hear=heard_level(self.settings),
        )
        work = partial(process, job=job, sink=Tee(tools.sinks))
        results: list[BatchResult] = []
        batches, patience = self.execution.batches, Patience(interrupt)
        limit = self.settings.window
        done = run_ordered(batches, work, tools.executor, patience, lost_files, limit)
        for result in done:
            self.listener.watch(result)
            patience.watch(result)
            # What was said has been told: of many batches it would not be little.
            results.append(replace(result, said=()) if result.said else result)
        return [*results, *patience.skip(batches, results)]

    def check_whole(self, totals: Totals, interrupt: Interrupt) -> None:
        """Raise when a plan that is to succeed as a whole did not.

        So is one that only makes a table in memory anew, which holds rows of what was not read.
        """
        from ess_dask.engine.collect import raise_failed

        loses = self._would_lose(totals)
        if loses:
            self.listener.say(
                f"{self.plan.memory} stays as it was: made anew now, it would lack rows of files "
                "that were not read; run again when they can be"
            )
        if not self.execution.whole and (self._loads or not loses):
            return
        raise_failed(totals.failed)
        if interrupt.draining:
            raise InterruptedRunError("interrupted; nothing was published", hint="begin again")

    def check_limit(self, totals: Totals, seconds: float) -> None:
        """Raise ``RejectLimitError`` when more rows were rejected than is allowed."""
        limit = self.execution.rejects
        if limit.exceeded(totals.rejected, totals.read):
            account = self.report(totals, None, False, seconds)
            refused = replace(account, state=REFUSED, files=0, rows_loaded=0, exit_code=4)
            refused.save(self.folder)
            share = 100 * totals.rejected / totals.read
            raise RejectLimitError(
                f"{totals.rejected:,} of {totals.read:,} rows ({share:.1f} %) were rejected, "
                f"more than the limit {limit.limit}; nothing was published",
                hint=f"see: ess rejects show {self.run_id}" if limit.keep else NOT_KEPT,
            )

    def request(
        self, tools: Tools, results: Sequence[BatchResult], totals: Totals
    ) -> LoadRequest | None:
        """Return what the warehouse is asked to load; None when there is nothing."""
        if self.plan.load is None:
            return None
        files = load_files(self.plan.load, totals)
        if not files:
            return None
        warehouse = _warehouse_of(self.plan.load)
        staged = [part for result in results for part in _parts(result, 0)]
        sink = self._staging_sink(self.plan.load)
        parts = warehouse.spread(sink, staged, partial(everywhere, tools.executor))
        plan = warehouse.fit(self.plan.load, parts)
        for statement in plan.ddl:
            if statement not in self.plan.load.ddl:
                self.listener.say(f"ddl: {statement}")
        return LoadRequest(
            load_id=self.run_id,
            plan=plan,
            plan_digest=self.plan.digest,
            files=files,
            parts=parts,
            rejects=tuple(result.rejects for result in results if result.rejects),
            replayed=self._replayed(),
        )

    def load(self, request: LoadRequest) -> tuple[LoadResult, EssError | None]:
        """Load what was staged: rows, ledger and rejects in one transaction.

        The second value is what went wrong with the statements that follow: the load stands.
        """
        try:
            with self.listener.loading():
                return _warehouse_of(request.plan).load(request), None
        except (AfterLoadError, AfterLoadAbortedError) as error:
            return error.loaded, error

    def _replayed(self) -> str:
        if self.execution.replayed is None:
            return ""
        from ess_dask.warehouse.replayed import write_replayed

        return write_replayed(self.folder / "replayed.parquet", self.execution.replayed)

    def _would_lose(self, totals: Totals) -> bool:
        memory = self.execution.memory
        return memory is not None and memory.would_lose([count.uri for count in totals.good])

    def publish(
        self, tools: Tools, results: Sequence[BatchResult], totals: Totals
    ) -> MemoryTable | None:
        """Make the memory table's next version, unless it would lose rows by that."""
        if tools.session is None or tools.segments is None:
            return None
        if self._would_lose(totals):
            tools.session.store.discard(tools.segments)
            return None
        from ess_dask.pipelines.memory import publish

        segments = [part for result in results for part in _parts(result, len(tools.sinks) - 1)]
        return publish(tools.session, self.execution, tools.segments, segments)

    def own_part(self, totals: Totals, loaded: LoadResult | None) -> Totals:
        """Return the sums without the files that another run has loaded in the meantime."""
        if self.plan.load is None or loaded is None or not loaded.already_done:
            return totals
        target = self.plan.load.target
        ledger = _warehouse_of(self.plan.load).ledger(pipeline=target.pipeline)
        return totals.only({each.file.uri for each in ledger if each.load_id == self.run_id})

    def report(
        self, totals: Totals, loaded: LoadResult | None, drained: bool, seconds: float
    ) -> RunReport:
        """Put the account together."""
        failed = tuple((shown(count.uri), count.error) for count in totals.failed)
        keep = self.execution.rejects.keep
        return RunReport(
            run_id=self.run_id,
            pipeline=self.plan.pipeline,
            state="interrupted" if drained else "failed files" if failed else "done",
            files=len(totals.good),
            files_done=len(self.plan.done) + (loaded.already_done if loaded else 0),
            rows_read=totals.read,
            rows_loaded=totals.kept,
            rows_rejected=totals.rejected,
            rows_dropped=totals.dropped,
            reasons=totals.reasons,
            steps=totals.steps,
            failed=failed,
            seconds=seconds,
            warehouse=self.plan.target if self._loads else "",
            table=self.plan.table if self._loads else "",
            memory=self.plan.memory if self._imports else "",
            rejects=str(self.rejects_folder) if totals.rejected and keep else "",
            exit_code=_exit_code(totals.failed, drained),
            store=self.plan.store,
        )


def _warehouse_of(load: LoadPlan) -> Warehouse:
    from ess_dask.warehouse.connect import open_warehouse

    return open_warehouse(load.target.url)


def everywhere(
    executor: Executor, function: Callable[[Any], Any], values: Sequence[Any]
) -> list[Any]:
    """Return ``function(value)`` of each value, done by the workers, in order."""
    from ess_dask.engine.window import run_ordered

    return list(run_ordered(values, function, executor))


def _parts(result: BatchResult, place: int) -> tuple[Any, ...]:
    parts: tuple[Any, ...] = result.parts[place] if place < len(result.parts) else ()
    return parts


def _exit_code(failed: Sequence[FileCount], drained: bool) -> int:
    if drained:
        return 130
    if not failed:
        return 0
    return 1 if all(count.transient for count in failed) else 3


def lost_files(batch: Batch, error: WorkerLostError) -> BatchResult:
    """Return the account of a batch whose worker died too often: all its files failed."""
    counts = tuple(
        FileCount(file.uri, file.etag, error=error.message, transient=True) for file in batch.files
    )
    return BatchResult(batch.number, counts)


def load_files(plan: LoadPlan, totals: Totals) -> tuple[LoadFile, ...]:
    """Return the files that a load publishes, with their counts: planned ones that succeeded."""
    counts = {count.uri: count for count in totals.good}
    return tuple(
        replace(
            file,
            rows_read=counts[file.uri].read,
            rows_loaded=counts[file.uri].kept,
            rows_rejected=counts[file.uri].rejected,
            rows_dropped=counts[file.uri].dropped,
        )
        for file in (*plan.new, *plan.changed)
        if file.uri in counts
    )
