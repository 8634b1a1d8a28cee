"""Executing a plan, as the machine of runs says: stage on the workers, load, publish, account.

Order of effects: parts and segments are written aside; the warehouse takes rows, ledger and rejects
in one transaction; the memory table gets its next version by one swap. Each of these stands in the
journal before it is begun. Killed anywhere, the same command run again does what is missing and
nothing twice. Nothing published is ever half.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ess_dask.engine.interrupt import Interrupt
from ess_dask.engine.model import BatchResult
from ess_dask.errors import EssError
from ess_dask.observe.watch import watching
from ess_dask.pipelines.door import Door, Order, key_of_plan, open_door
from ess_dask.pipelines.observed import beginning_of
from ess_dask.pipelines.plan import RunPlan
from ess_dask.pipelines.report import UNHOOKED, RunReport, Totals, add_up
from ess_dask.pipelines.work import Listener, Tools, Work
from ess_dask.runs.course import shortened
from ess_dask.runs.machine import Event, Instruction
from ess_dask.warehouse.model import LoadRequest, LoadResult

if TYPE_CHECKING:
    from ess_dask.settings import Settings
    from ess_dask.tables.session import Session
    from ess_dask.tables.table import MemoryTable

__all__ = ["Door", "Listener", "Order", "execute", "run_plan"]


def run_plan(
    plan: RunPlan,
    settings: Settings,
    listener: Listener | None = None,
    door: Door | Order | None = None,
) -> RunReport:
    """Execute a plan; return the account. A plan without files to read changes nothing.

    ``door`` is that of the run, if its pipeline is held already, or what is asked for at it. Files
    that fail are named in the report and the others are loaded. Raises ``LockedError`` naming the
    run that holds the pipeline, ``RejectLimitError`` (nothing is published, the rejects stay in the
    run's folder), ``InterruptedRunError`` when aborted, and what the warehouse and the cluster
    raise.
    """
    report, table = execute(plan, settings, listener, door=door)
    if table is not None:
        table.close()
    return report


def execute(
    plan: RunPlan,
    settings: Settings,
    listener: Listener | None = None,
    session: Session | None = None,
    door: Door | Order | None = None,
) -> tuple[RunReport, MemoryTable | None]:
    """Execute a plan as ``run_plan`` does; return the account and the memory table's new version.

    ``session`` is the cluster to use; it stays open, and with it the table (close that). Without
    one the run connects by itself where the plan needs a cluster. Of a plan that is to succeed as a
    ``whole`` a failed file raises ``DataError`` or ``TransientError``, and nothing is published.
    """
    listener = listener or Listener()
    with ExitStack() as stack:
        if not isinstance(door, Door):
            opened = open_door(key_of_plan(plan), settings, door or Order(), listener.say)
            door = stack.enter_context(opened)
        door.settle(plan)
        execution = plan.execution
        if execution is None or not execution.is_needed:
            with watching(beginning_of(plan), settings) as watch:
                report = _nothing_new(plan)
                watch.done(report.to_dict())
            return report, None
        with watching(beginning_of(plan, door.run_id, door.folder), settings) as watch:
            joined = listener.joined(watch)
            work = Work(plan, execution, settings, joined, door.run_id, door.runs, session)
            report, table = _go(work, door)
            watch.done(report.to_dict())
        return report, table


def _go(work: Work, door: Door) -> tuple[RunReport, MemoryTable | None]:
    """Do what the machine says until it says nothing more."""
    with (
        work.own_folder(),
        door.course(work.plan) as course,
        work.prepared() as tools,
        Interrupt(work.listener.say, work.listener.stopped) as interrupt,
    ):
        acts = _Acts(work, tools, interrupt)
        event: Event | None = Event.BEGIN
        known: dict[str, Any] = {}
        while event is not None:
            (instruction,) = course.advance(event, **known)
            event, known = acts.do(instruction)
    if acts.late is not None:
        if acts.table is not None:
            acts.table.close()
        raise acts.late
    return acts.report, acts.table


Next = tuple[Event | None, dict[str, Any]]
"""What happened, and what is known of the run since then; None at the end."""


class _Acts:
    """What the instructions mean for a run that loads files."""

    report: RunReport
    request: LoadRequest | None

    def __init__(self, work: Work, tools: Tools, interrupt: Interrupt) -> None:
        self._work, self._tools, self._interrupt = work, tools, interrupt
        self._started = time.monotonic()
        self._results: list[BatchResult] = []
        self._totals = add_up(())
        self._loaded: LoadResult | None = None
        self.late: EssError | None = None
        self.table: MemoryTable | None = None

    def do(self, instruction: Instruction) -> Next:
        """Follow an instruction; return what happened."""
        if instruction is Instruction.STAGE:
            return self._stage()
        if instruction is Instruction.DECIDE:
            self.request = self._work.request(self._tools, self._results, self._totals)
            return (Event.SKIP if self.request is None else Event.LOAD), {}
        if instruction is Instruction.COMMIT:
            return self._commit()
        if instruction is Instruction.PUBLISH:
            return self._publish()
        # What was staged goes with the run's folder.
        return None, {}

    def _stage(self) -> Next:
        self._results = self._work.work(self._tools, self._interrupt)
        self._totals = add_up(self._results)
        self._work.check_whole(self._totals, self._interrupt)
        self._work.check_limit(self._totals, self._seconds)
        return Event.STAGED, {
            "rows_read": self._totals.read,
            "rows_rejected": self._totals.rejected,
            "rows_dropped": self._totals.dropped,
        }

    def _commit(self) -> Next:
        assert self.request is not None
        self._loaded, self.late = self._work.load(self.request)
        return Event.LOADED, _counts(self._work.own_part(self._totals, self._loaded))

    def _publish(self) -> Next:
        """Make the memory table's next version; account."""
        work = self._work
        self.table = work.publish(self._tools, self._results, self._totals)
        totals = work.own_part(self._totals, self._loaded)
        drained = self._interrupt.draining
        report = work.report(totals, self._loaded, drained, self._seconds)
        self.report = report if self.table is not None else replace(report, memory="")
        error = self.report.failure
        if self.late is not None:
            code = self.late.exit_code
            self.report = replace(self.report, state=UNHOOKED, exit_code=code)
            error = self.late.message
        self.report.save(work.folder)
        return _ending(self.report), {
            **_counts(totals),
            "exit_code": self.report.exit_code,
            "error": shortened(error),
        }

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started


def _counts(totals: Totals) -> dict[str, Any]:
    return {
        "files": len(totals.good),
        "rows_read": totals.read,
        "rows_loaded": totals.kept,
        "rows_rejected": totals.rejected,
        "rows_dropped": totals.dropped,
    }


def _ending(report: RunReport) -> Event:
    if report.exit_code == 130:
        return Event.INTERRUPT
    return Event.FAIL if report.exit_code else Event.FINISH


def _nothing_new(plan: RunPlan) -> RunReport:
    return RunReport(
        run_id="",
        pipeline=plan.pipeline,
        state="nothing new",
        files=0,
        files_done=len(plan.done),
        rows_read=0,
        rows_loaded=0,
        rows_rejected=0,
        rows_dropped=0,
        reasons=(),
        steps=(),
        failed=(),
        seconds=0.0,
        store=plan.store,
    )
