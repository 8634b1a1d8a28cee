"""The one door to a run: its pipeline's lock, its place in the journal, and who came before it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError, EssError, UsageError
from ess_dask.pipelines.execution import Window
from ess_dask.pipelines.run_folder import runs_folder
from ess_dask.runs.course import Course, ending, exit_code, one_line
from ess_dask.runs.journal import open_journal
from ess_dask.runs.lock import Claim, LockKey, PipelineLock, hold
from ess_dask.runs.machine import step
from ess_dask.runs.model import RunRecord, State, new_run_id

if TYPE_CHECKING:
    from ess_dask.pipelines.model import Pipeline
    from ess_dask.pipelines.plan import RunPlan
    from ess_dask.settings import Settings
    from ess_dask.warehouse.model import Target

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Order:
    """Who asks for a run: its pipeline's file ('' for one made in Python), the id of the backfill
    it belongs to ('' for none), and how many seconds it may wait for the pipeline."""

    pipeline_file: str = ""
    backfill: str = ""
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Door:
    """A run that may go: it holds its pipeline's lock, and has its id."""

    key: LockKey
    order: Order
    lock: PipelineLock
    runs: Path
    run_id: str
    say: Say

    @property
    def folder(self) -> Path:
        """The run's own folder; made by the run."""
        return self.runs / self.run_id

    @contextmanager
    def planning(self, window: Window, digest: str) -> Iterator[None]:
        """Keep in the journal that a run came to nothing because the block raised.

        What was typed wrong is no run.
        """
        try:
            yield
        except EssError as error:
            if isinstance(error, ConfigError) or not isinstance(error, UsageError):
                # The error itself is what counts, also on a disk that is full.
                with suppress(EssError):
                    self._refuse(error, self._record(window, digest, self.key.pipeline, ""))
            raise

    def settle(self, plan: RunPlan) -> None:
        """Bring the runs of this pipeline to an end whose processes are gone."""
        from ess_dask.pipelines.recovery import settle

        settle(self.key, plan, self.run_id, self.say)

    def course(self, plan: RunPlan) -> Course:
        """Return the course of the planned run; enter it in the run's folder."""
        window = Window(plan.lower, plan.upper)
        record = self._record(window, plan.digest, plan.pipeline, str(self.folder))
        detail: dict[str, Any] = {"files": len(plan.files), "bytes": plan.size}
        detail |= {"warehouse": plan.target, "table": plan.table, "memory": plan.memory}
        return Course(record, self.lock, detail)

    def course_of_table(self, digest: str) -> Course:
        """Return the course of a load that comes from a memory table."""
        record = self._record(Window(), digest, self.key.pipeline, str(self.folder))
        return Course(record, self.lock)

    def _record(self, window: Window, digest: str, pipeline: str, folder: str) -> RunRecord:
        now = time.time()
        return RunRecord(
            self.run_id,
            pipeline,
            State.PLANNED,
            now,
            lower=window.lower,
            upper=window.upper,
            digest=digest,
            pipeline_file=self.order.pipeline_file,
            folder=folder,
            pid=os.getpid(),
            host=os.uname().nodename,
            beat=now,
            backfill=self.order.backfill,
            target=self.key.target,
        )

    def _refuse(self, error: EssError, record: RunRecord) -> None:
        event = ending(error)
        state = step(record.state, event).state
        with open_journal() as journal:
            journal.begin(record)
            code, text = exit_code(error), one_line(error)
            journal.append(record.run_id, event, state, exit_code=code, error=text)


@contextmanager
def open_door(key: LockKey, settings: Settings, order: Order, say: Say) -> Iterator[Door]:
    """Hold the pipeline for a run while the block runs.

    Raises ``LockedError`` naming the holder when it is held, and by then was waited for as long as
    the order says.
    """
    run_id = new_run_id()
    with hold(key, Claim(run_id, order.backfill, order.wait), say) as lock:
        yield Door(key, order, lock, runs_folder(settings), run_id, say)


def key_of_pipeline(pipeline: Pipeline, settings: Settings) -> LockKey:
    """Return what a run of a pipeline locks: its name, and what it fills."""
    from ess_dask.pipelines.prepare import target_of

    target = target_of(pipeline, pipeline.load, settings) if pipeline.load else None
    return make_key(pipeline.name, target, pipeline.memory.table if pipeline.memory else "")


def key_of_plan(plan: RunPlan) -> LockKey:
    """Return what the run of a plan locks: the same as its pipeline."""
    return make_key(plan.pipeline, plan.load.target if plan.load else None, plan.memory)


def make_key(name: str, target: Target | None, memory: str = "") -> LockKey:
    """Return the lock of what is recorded under a name: by its warehouse's table, or, when it has
    none, by the table in memory that it fills."""
    from ess_dask.tables.session import table_name
    from ess_dask.warehouse.connect import place_of

    if target is not None:
        return LockKey(name, f"{place_of(target.url)} {target.table}")
    return LockKey(name, f"memory:{table_name(memory).workspace}:{memory}" if memory else "")
