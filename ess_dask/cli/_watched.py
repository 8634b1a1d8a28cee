"""A command that runs a pipeline unattended: its log, and who is told when it fails."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ess_dask.errors import EssError
from ess_dask.markup import printable_lines

if TYPE_CHECKING:
    from ess_dask.pipelines.backfill.report import BackfillReport
    from ess_dask.pipelines.load import OpenedPipeline
    from ess_dask.pipelines.report import RunReport


@contextmanager
def _terminated() -> Iterator[None]:
    """Let SIGTERM end as Ctrl-C does what comes before and after the work: a wait, the plan."""
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL:  # the caller wants it ignored
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def watched(opened: OpenedPipeline, *, quiet: bool = False) -> Iterator[None]:
    """Set up the log; plan and run the pipeline in the block: who waits for the run is told of what
    goes wrong, the plan included.

    Where JSON is asked for, an error is a record and ends the command with its exit code.
    """
    from ess_dask.observe import logs, watch
    from ess_dask.pipelines.observed import before_plan

    logs.configure(opened.settings, quiet=quiet)
    try:
        with _terminated(), watch.prepared(before_plan(opened.pipeline), opened.settings):
            yield
    except EssError as error:
        if not logs.is_json():
            raise
        logs.log_error(error)
        click.get_current_context().exit(error.exit_code)


def print_account(report: RunReport | BackfillReport, *, as_json: bool, quiet: bool) -> int:
    """Print how it ended, if somebody is to see it; return the exit code."""
    from ess_dask.observe.logs import is_json

    if as_json:
        click.echo(report.to_json())
    elif report.exit_code and is_json():
        pass  # the records have told it
    elif report.exit_code or not quiet:
        click.echo(printable_lines(report.render()), err=bool(report.exit_code))
    return report.exit_code
