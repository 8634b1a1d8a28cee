"""Pipeline files from Python."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.api.choices import check_choice
from ess_dask.api.warn import tell
from ess_dask.errors import (
    DataError,
    EssError,
    InterruptedRunError,
    LockedError,
    RejectLimitError,
    TransientError,
)

if TYPE_CHECKING:
    from ess_dask.pipelines.backfill.chunks import ChunkSize, Reprocess
    from ess_dask.pipelines.backfill.model import BackfillPlan
    from ess_dask.pipelines.backfill.report import BackfillReport
    from ess_dask.pipelines.load import OpenedPipeline
    from ess_dask.pipelines.plan import RunPlan
    from ess_dask.pipelines.report import RunReport
    from ess_dask.pipelines.run import Listener
    from ess_dask.settings import Settings


def plan_pipeline(
    pipeline: str | Path,
    lower: str | dt.date = "*",
    upper: str | dt.date = "*",
    *,
    overrides: Mapping[str, object] | None = None,
) -> RunPlan:
    """Return what a run of a pipeline would do now: files new, done and changed, bytes, DDL.

    ``pipeline`` is a YAML file or the name of a shipped pipeline; ``lower`` and ``upper`` the dates
    of the files, both inclusive; ``overrides`` maps paths to values, as ``--set`` does:
    ``{"load.to": "duckdb:///shop.duckdb"}``. Nothing is read, loaded or written.

    Raises ``ConfigError`` (``file:line:column``) for a wrong file, ``UsageError`` for a wrong
    range, ``ConflictError`` when the table does not fit or a loaded file has changed.
    """
    from ess_dask.pipelines.execution import Window
    from ess_dask.pipelines.prepare import make_plan

    opened = _open(pipeline, overrides or {})
    window = Window(str(lower), str(upper))
    return make_plan(opened.pipeline, opened.folder, opened.settings, window)


def run_pipeline(
    pipeline: str | Path,
    lower: str | dt.date = "*",
    upper: str | dt.date = "*",
    *,
    overrides: Mapping[str, object] | None = None,
    wait: float = 0.0,
) -> RunReport:
    """Run a pipeline: clean and load what is not loaded yet; return the account.

    Arguments as in ``plan_pipeline``; ``wait`` is how many seconds to wait while another run of it
    goes on. Run it again at any time: what is done is not done twice.

    Raises what ``plan_pipeline`` raises; ``DataError`` or ``TransientError`` naming a file that
    failed (the others are loaded), ``RejectLimitError`` (nothing is published), ``LockedError``
    naming the run that holds the pipeline, ``InterruptedRunError`` after Ctrl-C (what was finished
    is loaded).
    """
    from ess_dask.pipelines.door import Order, key_of_pipeline, open_door
    from ess_dask.pipelines.execution import Window
    from ess_dask.pipelines.prepare import make_plan
    from ess_dask.pipelines.run import run_plan

    opened = _open(pipeline, overrides or {})
    settings, window = opened.settings, Window(str(lower), str(upper))
    key, order = key_of_pipeline(opened.pipeline, settings), Order(str(pipeline), wait=wait)
    with open_door(key, settings, order, tell) as door:
        with door.planning(window, opened.pipeline.digest(opened.folder)):
            plan = make_plan(opened.pipeline, opened.folder, settings, window)
        for warning in plan.warnings:
            tell(f"warning: {warning}")
        with listening(plan) as listener:
            report = run_plan(plan, settings, listener, door)
        return raise_unless_done(report)


def plan_backfill(
    pipeline: str | Path,
    lower: str | dt.date = "*",
    upper: str | dt.date = "*",
    *,
    chunk: ChunkSize = "day",
    reprocess: Reprocess = "none",
    overrides: Mapping[str, object] | None = None,
) -> BackfillPlan:
    """Return what a backfill would do now: the chunks, and the files of each that are new or done.

    Arguments as in ``backfill_pipeline``. Nothing is read, loaded or written. Raises what
    ``plan_pipeline`` raises, and ``UsageError`` for files that have ids in place of dates.
    """
    words = (str(pipeline), str(lower), str(upper), chunk, reprocess)
    return _plan_backfill(words, overrides or {})[0]


def backfill_pipeline(
    pipeline: str | Path,
    lower: str | dt.date = "*",
    upper: str | dt.date = "*",
    *,
    chunk: ChunkSize = "day",
    parallel: int = 1,
    reprocess: Reprocess = "none",
    overrides: Mapping[str, object] | None = None,
) -> BackfillReport:
    """Run a pipeline over a long range, chunk by chunk (``day``, ``week``, ``month``); return the
    account.

    ``parallel`` chunks are there at a time. ``reprocess``: ``none`` reads what is not loaded but
    for what failed for good in an earlier backfill, ``failed`` that as well, ``all`` every file,
    whose rows are replaced. The same call again goes on where it was. Other arguments as in
    ``plan_pipeline``.

    Raises what ``plan_pipeline`` raises; ``DataError``, ``RejectLimitError`` or ``TransientError``
    naming a chunk that failed (the others are loaded), ``LockedError``, ``InterruptedRunError``.
    """
    from ess_dask.pipelines.backfill.run import Audience, Terms, run_backfill

    words = (str(pipeline), str(lower), str(upper), chunk, reprocess)
    plan, settings = _plan_backfill(words, overrides or {})
    for warning in plan.warnings:
        tell(f"warning: {warning}")
    report = run_backfill(plan, settings, Terms(max(1, parallel)), Audience(tell))
    _raise_unless_filled(report)
    return report


def _plan_backfill(
    words: tuple[str, str, str, ChunkSize, Reprocess], overrides: Mapping[str, object]
) -> tuple[BackfillPlan, Settings]:
    from ess_dask.pipelines.backfill.chunks import ChunkSize, Reprocess
    from ess_dask.pipelines.backfill.plan import make_backfill
    from ess_dask.pipelines.backfill.state import BackfillOrder
    from ess_dask.pipelines.load import open_pipeline

    order = BackfillOrder(*words, _changes(overrides))
    check_choice("chunk", order.chunk, ChunkSize)
    check_choice("reprocess", order.reprocess, Reprocess)
    opened = open_pipeline(order.pipeline_file, order.overrides)
    return make_backfill(opened, order), opened.settings


def _raise_unless_filled(report: BackfillReport) -> None:
    if report.exit_code == 0:
        return
    others = f"{report.files:,} files were loaded; {report.id}"
    if report.exit_code == 130:
        raise InterruptedRunError("interrupted", hint=f"{others}; call it again to go on")
    failed = next((each for each in report.chunks if each.exit_code == report.exit_code), None)
    named = f"{failed.chunk}: {failed.error}" if failed else f"{report.held} files failed before"
    kinds: dict[int, type[EssError]] = {1: TransientError, 4: RejectLimitError, 75: LockedError}
    raise kinds.get(report.exit_code, DataError)(named, hint=others)


def _changes(overrides: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(f"{path}={json.dumps(value, default=str)}" for path, value in overrides.items())


@contextmanager
def listening(plan: RunPlan) -> Iterator[Listener]:
    """Give what a run of a plan from Python tells: lines to stderr, how far it is to who looks."""
    from ess_dask.api.progress import counting
    from ess_dask.pipelines.run import Listener

    with counting(len(plan.files), "files") as count:
        yield Listener(tell, lambda result: count(len(result.counts)))


def raise_unless_done(report: RunReport) -> RunReport:
    """Return the report of a run that did all it was to do; raise for any other.

    The error says what was published in spite of it.
    """
    if report.exit_code == 0:
        return report
    others = f"the other {report.files:,} files are loaded; report: run {report.run_id}"
    if report.exit_code == 130:
        raise InterruptedRunError("interrupted", hint=f"{others}; run again to go on")
    kind = TransientError if report.exit_code == 1 else DataError
    raise kind(report.failure, hint=others)


def _open(pipeline: str | Path, overrides: Mapping[str, object]) -> OpenedPipeline:
    from ess_dask.pipelines.load import open_pipeline

    return open_pipeline(str(pipeline), _changes(overrides))
