"""Running a backfill: its chunks in order, some at a time, each as a run of its own.

The backfill holds its pipeline's lock, so that its runs are together and no other one is there.
They work in threads of this process, which cleans side by side and loads one after the other: a
DuckDB file has one writer, and in Redshift the loads of a table would wait for each other anyway.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.clean.running import cancel_all
from ess_dask.dataclass import dataclass
from ess_dask.engine.executor import SIGNAL_SECONDS
from ess_dask.engine.interrupt import Interrupt
from ess_dask.engine.model import BatchResult
from ess_dask.engine.patience import LIMIT
from ess_dask.errors import EssError, InterruptedRunError, RejectLimitError, UsageError
from ess_dask.pipelines.backfill import state
from ess_dask.pipelines.backfill.model import BackfillPlan, ChunkPlan
from ess_dask.pipelines.backfill.report import (
    BackfillReport,
    ChunkOutcome,
    outcome_of,
    outcome_of_error,
    worst,
)
from ess_dask.pipelines.backfill.state import Version
from ess_dask.pipelines.door import key_of_plan
from ess_dask.pipelines.run import Listener, Order, run_plan
from ess_dask.runs.journal import open_journal
from ess_dask.runs.lock import BEAT_SECONDS, Claim, PipelineLock, hold

if TYPE_CHECKING:
    from ess_dask.pipelines.plan import RunPlan
    from ess_dask.settings import Settings

ABORT_SECONDS = 10.0
"""How long runs that were aborted are waited for: a load that is being committed ends."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a backfill goes: how many chunks at a time, whether the first failure stops it, and how
    many seconds it may wait for the pipeline."""

    parallel: int = 1
    stop_on_error: bool = False
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is told what: ``say`` a line for a person, ``watch`` each finished batch of any chunk,
    ``tell`` each finished chunk."""

    say: Callable[[str], None] = lambda text: None
    watch: Callable[[BatchResult], None] = lambda result: None
    tell: Callable[[ChunkOutcome], None] = lambda outcome: None


def run_backfill(
    plan: BackfillPlan,
    settings: Settings,
    terms: Terms | None = None,
    audience: Audience | None = None,
) -> BackfillReport:
    """Run the chunks of a plan that have something to do; return the account.

    A chunk that fails is in the account, and the others go on. Raises ``LockedError`` naming who
    holds the pipeline, ``InterruptedRunError`` when aborted, ``UsageError`` for chunks side by side
    of a pipeline that fills a memory table.
    """
    terms, audience = terms or Terms(), audience or Audience()
    started = time.monotonic()
    if not plan.todo:
        return _account(plan, plan.id, [], started)
    first = plan.todo[0].run
    assert first is not None
    if first.memory and terms.parallel > 1:
        raise UsageError(
            "a memory table gets its versions one after the other",
            hint="leave --parallel out for a pipeline with a memory table",
        )
    number = plan.id or state.new_id()
    claim = Claim(backfill=number, wait=terms.wait)
    with hold(key_of_plan(first), claim, audience.say) as lock:
        _settle(first, audience)
        with _recorded(number, plan) as ended, Interrupt(audience.say) as interrupt:
            going = _Going(plan, settings, terms, audience, number, lock, interrupt)
            ended.extend(going.run())
            report = _account(plan, number, ended, started, interrupted=interrupt.draining)
    return report


def _settle(first: RunPlan, audience: Audience) -> None:
    """Bring runs that were killed to their end, before several ones would do it at a time."""
    from ess_dask.pipelines.recovery import settle

    settle(key_of_plan(first), first, "", audience.say)


@contextmanager
def _recorded(number: str, plan: BackfillPlan) -> Iterator[list[ChunkOutcome]]:
    """Keep in the catalogue that a backfill goes on, and how it ended."""
    outcomes: list[ChunkOutcome] = []
    how = state.INTERRUPTED
    with open_journal() as journal:
        state.begin(journal, number, plan.pipeline, plan.order)
    try:
        yield outcomes
        if len(outcomes) == len(plan.todo):
            failed = any(outcome.exit_code for outcome in outcomes)
            how = state.FAILED if failed else state.DONE
        elif any(outcome.exit_code not in (0, 130) for outcome in outcomes):
            how = state.FAILED
    finally:
        with open_journal() as journal:
            state.end(journal, number, how)


def _account(
    plan: BackfillPlan,
    number: str,
    outcomes: list[ChunkOutcome],
    started: float,
    *,
    interrupted: bool = False,
) -> BackfillReport:
    untried = len(plan.todo) - len(outcomes)
    codes = [outcome.exit_code for outcome in outcomes]
    codes += [130] if interrupted and untried else []
    return BackfillReport(
        id=number,
        pipeline=plan.pipeline,
        chunks=tuple(sorted(outcomes, key=lambda outcome: outcome.chunk)),
        nothing_to_do=len(plan.chunks) - len(plan.todo),
        untried=untried,
        held=sum(chunk.held for chunk in plan.chunks),
        seconds=time.monotonic() - started,
        exit_code=worst([*codes, *(chunk.code for chunk in plan.chunks)]),
    )


class _Going:
    """The chunks on their way: begun in order, at most so many at a time."""

    def __init__(
        self,
        plan: BackfillPlan,
        settings: Settings,
        terms: Terms,
        audience: Audience,
        number: str,
        lock: PipelineLock,
        interrupt: Interrupt,
    ) -> None:
        self._plan, self._settings, self._terms = plan, settings, terms
        self._audience, self._number = audience, number
        self._lock, self._interrupt = lock, interrupt
        self._turn, self._watching = threading.Lock(), threading.Lock()
        self._aborted = False
        self._passing = 0
        self._failed = False
        self._beaten = time.monotonic()

    def run(self) -> list[ChunkOutcome]:
        """Run them; return how each ended, those that were not begun left out."""
        waiting = deque(self._plan.todo)
        running: set[Future[ChunkOutcome]] = set()
        outcomes: list[ChunkOutcome] = []
        pool = ThreadPoolExecutor(self._terms.parallel, thread_name_prefix="ess-chunk")
        try:
            while waiting or running:
                while waiting and len(running) < self._terms.parallel and not self._is_over:
                    chunk = waiting.popleft()
                    running.add(pool.submit(copy_context().run, self._chunk, chunk))
                if not running:
                    break
                # Again and again: a signal is noticed by this thread only when it wakes.
                done, running = wait(running, SIGNAL_SECONDS, FIRST_COMPLETED)
                self._beat()
                outcomes += [self._take(each.result()) for each in done]
        except BaseException:
            self._abort(running)
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return outcomes

    @property
    def _is_over(self) -> bool:
        """Whether no further chunk is to begin."""
        stop = self._failed and self._terms.stop_on_error
        return stop or self._interrupt.draining or self._passing >= LIMIT

    def _take(self, outcome: ChunkOutcome) -> ChunkOutcome:
        self._failed = self._failed or outcome.exit_code not in (0, 130)
        self._passing = self._passing + 1 if outcome.is_passing and not outcome.files else 0
        self._audience.tell(outcome)
        return outcome

    def _beat(self) -> None:
        if time.monotonic() - self._beaten > BEAT_SECONDS:
            self._lock.beat()
            self._beaten = time.monotonic()

    def _abort(self, running: set[Future[ChunkOutcome]]) -> None:
        """End the children of the work; each run notices it at its next batch."""
        self._aborted = True
        self._interrupt.drain()
        cancel_all()
        wait(running, ABORT_SECONDS)

    def _chunk(self, planned: ChunkPlan) -> ChunkOutcome:
        started = time.monotonic()
        assert planned.run is not None
        assert planned.run.execution is not None
        limit = planned.run.execution.rejects.limit
        unloaded: list[Version] = []

        def watch(result: BatchResult) -> None:
            if self._aborted:
                raise InterruptedRunError("aborted", hint="run the same command again to go on")
            terminal = (each for each in result.counts if each.error and not each.transient)
            unloaded.extend((each.uri, each.etag) for each in terminal)
            with self._watching:
                self._audience.watch(result)

        listener = Listener(
            self._audience.say, watch, self._interrupt.is_draining, lambda: self._turn
        )
        order = Order(self._plan.order.pipeline_file, self._number)
        run = _divided(planned.run, self._terms.parallel)
        try:
            outcome = outcome_of(planned.chunk, run_plan(run, self._settings, listener, order))
        except EssError as error:
            seconds = time.monotonic() - started
            outcome = outcome_of_error(planned.chunk, error, seconds)
            if isinstance(error, RejectLimitError):
                unloaded = [(file.uri, file.etag) for file in run.files]
        return self._noted(outcome, unloaded, limit)

    def _noted(self, outcome: ChunkOutcome, unloaded: list[Version], limit: str) -> ChunkOutcome:
        """Keep what a failed run could not load for good, and find its name."""
        if not outcome.exit_code:
            return outcome
        with open_journal() as journal:
            record = state.run_of(journal, self._number, outcome.chunk)
        if record is None:
            return outcome
        if unloaded and outcome.exit_code in (3, 4):
            state.keep_unloaded(Path(record.folder), unloaded, outcome.exit_code, limit)
        return replace(outcome, run_id=record.run_id)


def _divided(run: RunPlan, parallel: int) -> RunPlan:
    """Return a run's plan with its share of this machine's cores."""
    assert run.execution is not None
    slots = max(1, run.execution.slots // parallel)
    return replace(run, execution=replace(run.execution, slots=slots))
