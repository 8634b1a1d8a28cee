"""Runs whose processes are gone, looked at by the next run of their pipeline.

The warehouse's ledger knows whether the load of such a run stands. When it does not, nothing of the
run is published: it is interrupted, and what it had staged is removed. When it does, the run is
done; unless it was to fill a memory table and that lacks its files, which a run over the same dates
reads again. A journal that knows no run at all of a pipeline (a new machine, a state that was lost)
gets those that the ledger knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.errors import LockedError
from ess_dask.pipelines.run_folder import sweep
from ess_dask.runs.course import one_step
from ess_dask.runs.journal import Journal, open_journal
from ess_dask.runs.lock import LockKey, is_gone
from ess_dask.runs.machine import Event
from ess_dask.runs.model import RunRecord, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from ess_dask.pipelines.plan import RunPlan
    from ess_dask.warehouse.protocol import LoadEntry, Warehouse

_LEFT = "its load stands, but it was killed before its rows were in the memory table"


def settle(key: LockKey, plan: RunPlan, own: str, say: Callable[[str], None]) -> None:
    """Bring the runs of a pipeline to an end whose processes are gone; ``own`` is no such one.

    ``say`` is told a line of each. Raises what reading the ledger raises.
    """
    with open_journal() as journal:
        for record in journal.records(key.pipeline, limit=1):
            # It had written that it is done, and was killed then.
            _sweep(record, plan)
        gone = [
            record
            for record in journal.alive(key.pipeline, key.target)
            if record.run_id != own and is_gone(record.pid, record.host, record.beat, record.folder)
        ]
        is_new = not journal.knows(key.pipeline, key.target)
        if not gone and not (is_new and plan.load is not None and plan.load.done):
            return
        loads = {entry.result.load_id: entry for entry in _loads(plan)}
        for record in gone:
            # Somebody else of the same backfill may have looked at the same time.
            with suppress(LockedError):
                _settle(journal, record, loads.get(record.run_id), plan, say)
        if is_new:
            _take_over(journal, key, loads.values())


def _loads(plan: RunPlan) -> tuple[LoadEntry, ...]:
    if plan.load is None:
        return ()
    return _warehouse(plan).loads(plan.load.target.table, plan.load.target.pipeline)


def _warehouse(plan: RunPlan) -> Warehouse:
    from ess_dask.warehouse.connect import open_warehouse

    assert plan.load is not None
    return open_warehouse(plan.load.target.url)


def _settle(
    journal: Journal,
    record: RunRecord,
    entry: LoadEntry | None,
    plan: RunPlan,
    say: Callable[[str], None],
) -> None:
    at = f"run {record.run_id} was killed (it was {record.state})"
    if entry is None:
        one_step(journal, record, Event.LOST, error="killed; nothing of it was loaded")
        say(f"{at}; nothing of it was loaded, its files are read again")
    else:
        result = entry.result
        counts = {"files": result.files, "rows_loaded": result.rows_loaded}
        stands = one_step(
            journal, record, Event.STANDS, **counts, rows_rejected=result.rows_rejected
        )
        if _is_in_memory(record, plan):
            one_step(journal, stands, Event.FINISH)
            say(f"{at}; its load stands")
        else:
            one_step(journal, stands, Event.INTERRUPT, error=_LEFT)
            say(f"{at}: {_LEFT}")
    _sweep(record, plan)


def _sweep(record: RunRecord, plan: RunPlan) -> None:
    """Remove what a run staged if its process is gone."""
    folder = Path(record.folder)
    if record.folder and (folder / "stage").exists():
        elsewhere = plan.load is not None and bool(_warehouse(plan).staged_at(record.run_id))
        sweep(folder, elsewhere=elsewhere)


def _is_in_memory(record: RunRecord, plan: RunPlan) -> bool:
    """Say whether the pipeline's memory table holds what the run loaded; so it does without one."""
    if not plan.memory or plan.execution is None:
        return True
    from ess_dask.pipelines.memory import held_files

    held = held_files(plan.memory)
    ledger = _warehouse(plan).ledger(plan.table, plan.pipeline)
    return all(e.file.uri in held for e in ledger if e.load_id == record.run_id)


def _take_over(journal: Journal, key: LockKey, loads: Iterable[LoadEntry]) -> None:
    """Write the loads of a ledger as runs that are done: nothing else is known of them."""
    for entry in loads:
        result = entry.result
        # A warehouse that was moved: the runs are known, at its old place.
        if journal.has(result.load_id):
            continue
        at = entry.committed_at.replace(tzinfo=UTC).timestamp()
        record = RunRecord(
            result.load_id,
            key.pipeline,
            State.DONE,
            at,
            ended=at,
            digest=entry.digest,
            files=result.files,
            rows_loaded=result.rows_loaded,
            rows_rejected=result.rows_rejected,
            target=key.target,
        )
        journal.begin(record, {"from": "ledger"})
