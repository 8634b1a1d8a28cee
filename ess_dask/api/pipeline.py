"""Pipeline files from Python."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.api.cluster import tell
from ess_dask.errors import DataError, InterruptedRunError, TransientError

if TYPE_CHECKING:
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
    return _plan(pipeline, str(lower), str(upper), overrides or {})[0]


def run_pipeline(
    pipeline: str | Path,
    lower: str | dt.date = "*",
    upper: str | dt.date = "*",
    *,
    overrides: Mapping[str, object] | None = None,
) -> RunReport:
    """Run a pipeline: clean and load what is not loaded yet; return the account.

    Arguments as in ``plan_pipeline``. Run it again at any time: what is done is not done twice.

    Raises what ``plan_pipeline`` raises; ``DataError`` or ``TransientError`` naming a file that
    failed (the others are loaded), ``RejectLimitError`` (nothing is published), ``LockedError``,
    ``InterruptedRunError`` after Ctrl-C (what was finished is loaded).
    """
    from ess_dask.pipelines.run import run_plan

    plan, settings = _plan(pipeline, str(lower), str(upper), overrides or {})
    for warning in plan.warnings:
        tell(f"warning: {warning}")
    with listening(plan) as listener:
        report = run_plan(plan, settings, listener)
    return raise_unless_done(report)


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
    uri, error = report.failed[0]
    more = f" (and {len(report.failed) - 1} more files failed)" if len(report.failed) > 1 else ""
    named = error if uri in error else f"{uri}: {error}"
    kind = TransientError if report.exit_code == 1 else DataError
    raise kind(f"{named}{more}", hint=others)


def _plan(
    pipeline: str | Path, lower: str, upper: str, overrides: Mapping[str, object]
) -> tuple[RunPlan, Settings]:
    from ess_dask.pipelines.execution import Window
    from ess_dask.pipelines.load import open_pipeline
    from ess_dask.pipelines.prepare import make_plan

    changes = [f"{path}={json.dumps(value, default=str)}" for path, value in overrides.items()]
    opened = open_pipeline(str(pipeline), changes)
    plan = make_plan(opened.pipeline, opened.folder, opened.settings, Window(lower, upper))
    return plan, opened.settings
