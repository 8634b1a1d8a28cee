"""``ess backfill``: a pipeline over a long range, piece by piece."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from ess_dask.cli._options import pipeline_options
from ess_dask.cli._redshift import asks_password
from ess_dask.cli._render import say
from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    from ess_dask.pipelines.backfill.model import BackfillPlan
    from ess_dask.pipelines.backfill.report import ChunkOutcome
    from ess_dask.pipelines.backfill.run import Terms
    from ess_dask.settings import Settings


@dataclass(frozen=True, slots=True)
class _Manner:
    """How the command speaks: JSON on stdout, nothing when all went well, no question."""

    as_json: bool
    quiet: bool
    yes: bool


@click.command("backfill")
@pipeline_options
@click.option(
    "--chunk",
    type=click.Choice(["day", "week", "month"]),
    default="day",
    show_default=True,
    help="How long a piece is; weeks begin on Monday.",
)
@click.option(
    "--parallel",
    metavar="N",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Pieces at a time; they clean side by side and load one after the other.",
)
@click.option(
    "--reprocess",
    type=click.Choice(["none", "failed", "all"]),
    default="none",
    show_default=True,
    help="What is read again: what failed for good in an earlier backfill, or all files.",
)
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@click.option("--stop-on-error", is_flag=True, help="Begin no further piece once one has failed.")
@click.option(
    "--wait",
    metavar="SECONDS",
    type=click.FloatRange(0),
    default=0.0,
    help="Wait so long while another run holds the pipeline.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report (the plan) as JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing when all went well.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask; nobody is asked without a terminal.")
@asks_password
def backfill(**given: Any) -> int:
    """Run a pipeline over a long range, piece by piece.

    PIPELINE is a file, or the name of a shipped pipeline. Shows the plan first, then runs each
    piece that has something to do, in order. The same command again goes on where it was: what is
    loaded is not read again, what failed for good only with --reprocess failed. With --reprocess
    all the rows of loaded files are replaced. The exit code is the worst of the pieces'.
    """
    from ess_dask.cli._watched import watched
    from ess_dask.pipelines.backfill.plan import make_backfill
    from ess_dask.pipelines.backfill.run import Terms
    from ess_dask.pipelines.backfill.state import BackfillOrder
    from ess_dask.pipelines.load import open_pipeline

    terms = Terms(given["parallel"], given["stop_on_error"], given["wait"])
    manner = _Manner(given["as_json"], given["quiet"], given["yes"])
    words = ("pipeline", "lower", "upper", "chunk", "reprocess", "overrides")
    order = BackfillOrder(*(given[word] for word in words))
    opened = open_pipeline(order.pipeline_file, order.overrides)
    if given["dry_run"]:
        plan = make_backfill(opened, order)
        text = json.dumps(plan.to_dict(), indent=2, ensure_ascii=False) + "\n"
        click.echo(text if manner.as_json else plan.render(), nl=False)
        return 0
    with watched(opened, quiet=manner.quiet):
        return _run(make_backfill(opened, order), opened.settings, terms, manner)


def _run(plan: BackfillPlan, settings: Settings, terms: Terms, manner: _Manner) -> int:
    """Show the plan, ask, run it with progress; print the account, return the exit code."""
    from ess_dask.cli._progress import counting
    from ess_dask.cli._watched import print_account
    from ess_dask.observe.logs import is_json
    from ess_dask.pipelines.backfill.run import Audience, run_backfill

    if plan.todo and not manner.quiet:
        say(plan.render().rstrip("\n"))
        if not manner.yes and sys.stdin.isatty():
            click.confirm("Begin?", default=True, abort=True, err=True)
    shown = sys.stderr.isatty() and not manner.quiet and not is_json()

    def tell(outcome: ChunkOutcome) -> None:
        if outcome.exit_code or not manner.quiet:
            say(outcome.render())

    with counting(plan.files, "files", shown=shown) as count:
        audience = Audience(say, lambda result: count(len(result.counts)), tell)
        report = run_backfill(plan, settings, terms, audience)
    return print_account(report, as_json=manner.as_json, quiet=manner.quiet)
