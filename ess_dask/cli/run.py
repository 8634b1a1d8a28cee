"""``ess plan``, ``ess run``, ``ess preview``: pipelines from the command line."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from ess_dask.cli._redshift import asks_password
from ess_dask.cli._render import say

if TYPE_CHECKING:
    from ess_dask.cli._render import Format
    from ess_dask.pipelines.plan import RunPlan
    from ess_dask.settings import Settings


def _pipeline_options(command: Any) -> Any:
    """Options that every command on a pipeline has."""
    options = [
        click.argument("pipeline"),
        click.option(
            "--from", "lower", default="*", metavar="DATE", help="First date (inclusive)."
        ),
        click.option("--to", "upper", default="*", metavar="DATE", help="Last date (inclusive)."),
        click.option(
            "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Change a field."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _make_plan(
    name: str, overrides: tuple[str, ...], lower: str, upper: str
) -> tuple[RunPlan, Settings]:
    from ess_dask.pipelines.execution import Window
    from ess_dask.pipelines.load import open_pipeline
    from ess_dask.pipelines.prepare import make_plan

    opened = open_pipeline(name, overrides)
    plan = make_plan(opened.pipeline, opened.folder, opened.settings, Window(lower, upper))
    return plan, opened.settings


def print_plan(plan: RunPlan, as_json: bool) -> None:
    """Print what a run would do."""
    text = json.dumps(plan.to_dict(), indent=2, ensure_ascii=False) + "\n"
    click.echo(text if as_json else plan.render(), nl=False)


@click.command("plan")
@_pipeline_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@asks_password
def plan(pipeline: str, lower: str, upper: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show what a run of a pipeline would do.

    PIPELINE is a file, or the name of a shipped pipeline. Nothing is read, loaded or written.
    """
    print_plan(_make_plan(pipeline, overrides, lower, upper)[0], as_json)


@click.command("run")
@_pipeline_options
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing when all went well.")
@click.option("--fail-if-empty", is_flag=True, help="Exit 3 when no file is selected.")
@click.option("--direct", is_flag=True, help="Copy straight into the table (huge appends).")
@click.option("--metrics-file", metavar="PATH", default="", help="Write Prometheus metrics there.")
@asks_password
def run(
    pipeline: str,
    lower: str,
    upper: str,
    overrides: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    fail_if_empty: bool,
    direct: bool,
    metrics_file: str,
) -> int:
    """Run a pipeline: clean and load what is not loaded yet.

    PIPELINE is a file, or the name of a shipped pipeline. Run it again at any time: what is done is
    not done twice. Exit codes: 0 done, 1 may be retried, 2 usage, 3 data, 4 too many rejects,
    75 locked, 130 interrupted.
    """
    from ess_dask.cli._watched import watched_pipeline
    from ess_dask.pipelines.execution import Window
    from ess_dask.pipelines.prepare import make_plan

    if direct:
        overrides = (*overrides, "load.direct=true")
    if metrics_file:
        overrides = (*overrides, f"settings.metrics_file={json.dumps(metrics_file)}")
    if dry_run:
        made = _make_plan(pipeline, overrides, lower, upper)[0]
        _refuse_empty(made, fail_if_empty)
        print_plan(made, as_json)
        return 0
    with watched_pipeline(pipeline, overrides, quiet=quiet) as opened:
        made = make_plan(opened.pipeline, opened.folder, opened.settings, Window(lower, upper))
        _refuse_empty(made, fail_if_empty)
        return run_and_print(made, opened.settings, as_json=as_json, quiet=quiet)


def run_and_print(made: RunPlan, settings: Settings, *, as_json: bool, quiet: bool) -> int:
    """Run a plan with progress on a terminal; print the account, return the exit code."""
    from ess_dask.cli._progress import counting
    from ess_dask.observe.logs import is_json
    from ess_dask.pipelines.run import Listener, run_plan

    for warning in () if quiet else made.warnings:
        say(f"warning: {warning}")
    shown = sys.stderr.isatty() and not quiet and not is_json()
    with counting(len(made.files), "files", shown=shown) as count:
        listener = Listener(say, lambda result: count(len(result.counts)))
        report = run_plan(made, settings, listener)
    if as_json:
        click.echo(report.to_json())
    elif report.exit_code and is_json():
        pass  # the records have told it
    elif report.exit_code or not quiet:
        click.echo(report.render(), err=bool(report.exit_code))
    return report.exit_code


def _refuse_empty(plan: RunPlan, fail_if_empty: bool) -> None:
    from ess_dask.errors import DataError

    if fail_if_empty and not (plan.new or plan.done or plan.changed):
        raise DataError(f"{plan.pipeline}: no file is selected", hint="; ".join(plan.warnings))


@click.command("preview")
@_pipeline_options
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="Rows.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "ndjson"]),
    default="table",
    show_default=True,
    help="How to print rows.",
)
def preview(
    pipeline: str, lower: str, upper: str, overrides: tuple[str, ...], limit: int, form: Format
) -> None:
    """Show the first clean rows of a pipeline; nothing is loaded.

    Reads no more files than the rows need. Rejected rows among them are counted on stderr.
    """
    from ess_dask.cli._render import Table, render
    from ess_dask.pipelines.execution import Window
    from ess_dask.pipelines.load import open_pipeline
    from ess_dask.pipelines.preview import preview_rows

    made = open_pipeline(pipeline, overrides)
    window = Window(lower, upper)
    shown = preview_rows(made.pipeline, made.folder, made.settings, window, limit)
    names = tuple(shown.rows.column_names)
    rows = [tuple(_plain(value) for value in row.values()) for row in shown.rows.to_pylist()]
    render(Table(names, rows), form)
    if shown.rejected:
        click.echo(f"{shown.rejected:,} of {shown.read:,} rows were rejected on the way", err=True)


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
