"""``ess plan``, ``ess run``, ``ess preview``: pipelines from the command line."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ess_dask.cli._options import pipeline_options
from ess_dask.cli._redshift import asks_password
from ess_dask.cli._render import say
from ess_dask.dataclass import dataclass
from ess_dask.pipelines.window import Asked

if TYPE_CHECKING:
    from ess_dask.cli._render import Format
    from ess_dask.pipelines.door import Door
    from ess_dask.pipelines.execution import Window
    from ess_dask.pipelines.load import OpenedPipeline
    from ess_dask.pipelines.plan import RunPlan
    from ess_dask.settings import Settings


def _scheduler_options(command: Any) -> Any:
    """Options by which a scheduler says what is to be taken: ``ess plan`` and ``ess run``."""
    options = [
        click.option(
            "--since",
            default="",
            metavar="WHEN",
            help="First date: yesterday, last-success, or a date or time (ISO 8601).",
        ),
        click.option("--date", default="", metavar="D", help="One date; yesterday and today too."),
        click.option(
            "--timezone",
            default="UTC",
            show_default=True,
            metavar="ZONE",
            help="Zone of the dates in file names.",
        ),
        click.option(
            "--on-change",
            type=click.Choice(["reprocess", "ignore", "fail"]),
            help="Files that changed since they were loaded (in place of load.on_change).",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class _Words:
    """What was typed: a pipeline, its dates, and what of it is changed."""

    pipeline: str
    asked: Asked
    overrides: tuple[str, ...]

    @classmethod
    def of(cls, words: dict[str, Any]) -> _Words:
        """Take them out of a command's arguments."""
        names = ("lower", "upper", "since", "date", "timezone")
        asked = Asked(**{name: words.pop(name) for name in names})
        change = words.pop("on_change")
        more = (f"load.on_change={change}",) if change else ()
        return cls(words.pop("pipeline"), asked, (*words.pop("overrides"), *more))

    def opened(self) -> OpenedPipeline:
        """Open the pipeline."""
        from ess_dask.pipelines.load import open_pipeline

        return open_pipeline(self.pipeline, self.overrides)

    def window(self, opened: OpenedPipeline) -> Window:
        """Return the dates that are asked for, as they are now."""
        from ess_dask.pipelines.door import key_of_pipeline
        from ess_dask.pipelines.window import last_success, window_of

        key = partial(key_of_pipeline, opened.pipeline, opened.settings)
        return window_of(self.asked, lambda: last_success(key()))

    def plan(self) -> tuple[RunPlan, Settings]:
        """Return what a run would do now."""
        from ess_dask.pipelines.prepare import make_plan

        made = self.opened()
        window = self.window(made)
        return make_plan(made.pipeline, made.folder, made.settings, window), made.settings


def print_plan(plan: RunPlan, as_json: bool) -> None:
    """Print what a run would do."""
    text = json.dumps(plan.to_dict(), indent=2, ensure_ascii=False) + "\n"
    click.echo(text if as_json else plan.render(), nl=False)


@click.command("plan")
@pipeline_options
@_scheduler_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@asks_password
def plan(as_json: bool, **words: Any) -> None:
    """Show what a run of a pipeline would do.

    PIPELINE is a file, or the name of a shipped pipeline. Nothing is read, loaded or written.
    """
    print_plan(_Words.of(words).plan()[0], as_json)


@click.command("run")
@pipeline_options
@_scheduler_options
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing when all went well.")
@click.option("--fail-if-empty", is_flag=True, help="Exit 3 when no file is selected.")
@click.option("--direct", is_flag=True, help="Copy straight into the table (huge appends).")
@click.option("--metrics-file", metavar="PATH", default="", help="Write Prometheus metrics there.")
@click.option(
    "--wait",
    is_flag=False,
    flag_value="inf",
    default=0.0,
    type=click.FloatRange(min=0),
    metavar="[SECONDS]",
    help="Wait while another run of it goes on (alone: as long as it takes).",
)
@asks_password
def run(
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    fail_if_empty: bool,
    direct: bool,
    metrics_file: str,
    wait: float,
    **words: Any,
) -> int:
    """Run a pipeline: clean and load what is not loaded yet.

    PIPELINE is a file, or the name of a shipped pipeline. Run it again at any time: what is done is
    not done twice. Exit codes: 0 done, 1 may be retried, 2 usage, 3 data, 4 too many rejects,
    75 locked, 130 interrupted.
    """
    asked = _Words.of(words)
    if direct:
        asked = replace(asked, overrides=(*asked.overrides, "load.direct=true"))
    if metrics_file:
        written = f"settings.metrics_file={json.dumps(metrics_file)}"
        asked = replace(asked, overrides=(*asked.overrides, written))
    if dry_run:
        made, _ = asked.plan()
        _refuse_empty(made, fail_if_empty)
        print_plan(made, as_json)
        return 0
    return _run(asked, wait, fail_if_empty, as_json=as_json, quiet=quiet)


def _run(asked: _Words, wait: float, fail_if_empty: bool, *, as_json: bool, quiet: bool) -> int:
    """Hold the pipeline, plan, and run the plan: what was done while we waited is known by then."""
    from ess_dask.cli._watched import watched
    from ess_dask.pipelines.door import Order, key_of_pipeline, open_door
    from ess_dask.pipelines.prepare import make_plan

    opened = asked.opened()
    pipeline, settings = opened.pipeline, opened.settings
    order = Order(asked.pipeline, wait=wait)
    key = key_of_pipeline(pipeline, settings)
    with watched(opened, quiet=quiet), open_door(key, settings, order, say) as door:
        window = asked.window(opened)
        with door.planning(window, pipeline.digest(opened.folder)):
            made = make_plan(pipeline, opened.folder, settings, window)
            _refuse_empty(made, fail_if_empty)
        return run_and_print(made, settings, door, as_json=as_json, quiet=quiet)


def run_and_print(
    made: RunPlan,
    settings: Settings,
    door: Door | None = None,
    *,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run a plan with progress on a terminal; print the account, return the exit code."""
    from ess_dask.cli._progress import counting
    from ess_dask.cli._watched import print_account
    from ess_dask.observe.logs import is_json
    from ess_dask.pipelines.run import Listener, run_plan

    for warning in () if quiet else made.warnings:
        say(f"warning: {warning}")
    shown = sys.stderr.isatty() and not quiet and not is_json()
    with counting(len(made.files), "files", shown=shown) as count:
        listener = Listener(say, lambda result: count(len(result.counts)))
        report = run_plan(made, settings, listener, door)
    return print_account(report, as_json=as_json, quiet=quiet)


def _refuse_empty(plan: RunPlan, fail_if_empty: bool) -> None:
    from ess_dask.errors import DataError

    if fail_if_empty and not (plan.new or plan.done or plan.changed):
        raise DataError(f"{plan.pipeline}: no file is selected", hint="; ".join(plan.warnings))


@click.command("preview")
@pipeline_options
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
