"""``ess rejects``: what was rejected, why, and a second reading once the pipeline is mended."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from ess_dask.cli._options import FORMATS, format_options, set_option
from ess_dask.cli._redshift import asks_password
from ess_dask.markup import printable, printable_lines

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.cli._render import Format
    from ess_dask.pipelines.model import Pipeline
    from ess_dask.pipelines.rejects import Place, RejectGroup
    from ess_dask.pipelines.replay import ReplayPlan
    from ess_dask.settings import Settings

RAW_SHOWN = 120
"""Characters of a row's text that a table shows."""

_RUN_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")


@click.group()
def rejects() -> None:
    """List, show and replay rejected rows."""


def _warehouse_option(command: Any) -> Any:
    return click.option(
        "--warehouse", metavar="URL", default="", help="Look into this warehouse, too."
    )(command)


@rejects.command("list")
@click.argument("pipeline", default="")
@click.option("--run", default="", metavar="RUN", help="Only this run.")
@_warehouse_option
@set_option
@format_options
@asks_password
def list_(
    pipeline: str, run: str, warehouse: str, overrides: tuple[str, ...], form: Format
) -> None:
    """List the runs that rejected rows, with the reasons.

    PIPELINE is a file, a shipped pipeline, or the name that runs were recorded under. Of a file the
    warehouse is looked into as well: STANDING counts the rows that no replay has loaded since.
    """
    from ess_dask.cli._render import Table, render
    from ess_dask.pipelines.rejects import list_rejects

    place, name = _place(pipeline, warehouse, overrides)
    groups = list_rejects(place, name, run)
    last = ("reasons",) if form == "table" else ("reason", "count")
    columns = ("run", "pipeline", "table", "when", "state", "files", "rows", "standing", *last)
    rows = [row for group in groups for row in _lines(group, by_reason=form != "table")]
    render(Table(columns, rows), form)


def _lines(group: RejectGroup, *, by_reason: bool) -> list[tuple[Any, ...]]:
    """Return one row for people; for programs one for each reason."""
    when = group.when.isoformat(timespec="seconds") + "Z" if group.when else ""
    start = (group.run, group.pipeline, group.table, when, group.state)
    counts = (group.files, group.rows, group.standing)
    if not by_reason:
        text = "; ".join(f"{count:,} {reason}" for reason, count in group.reasons)
        return [(*start, *counts, text)]
    reasons: tuple[tuple[str | None, int | None], ...] = group.reasons or ((None, None),)
    return [(*start, *counts, reason, count) for reason, count in reasons]


@rejects.command("show")
@click.argument("name", metavar="RUN|PIPELINE")
@click.option("--reason", default="", metavar="TEXT", help="Only reasons that hold this text.")
@click.option("--file", "file", default="", metavar="GLOB", help="Only files that match.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="At most so many rows.")
@_warehouse_option
@set_option
@click.option("--json", "form", flag_value="json", default=None, help="As --format json.")
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMATS, "parquet"]),
    default="table",
    help="How to print rows.",
)
@asks_password
def show(
    name: str,
    reason: str,
    file: str,
    limit: int | None,
    warehouse: str,
    overrides: tuple[str, ...],
    form: str,
) -> None:
    """Show rejected rows: file, line, column, reason and the text itself.

    Of a run all that it rejected; of a pipeline those that stand in its warehouse, or, when it has
    loaded nothing yet, those of its newest run. Bytes that are not UTF-8 are shown as \\xNN.
    """
    from ess_dask.pipelines.rejects import Which, read_rejects

    is_run = _is_run(name)
    place, pipeline = _place("" if is_run else name, warehouse, overrides)
    rows = read_rejects(place, pipeline, name if is_run else "", Which(reason, file, limit))
    if form == "parquet":
        _write_parquet(rows)
    else:
        _print(rows, form)


def _is_run(name: str) -> bool:
    from ess_dask.pipelines.run_folder import runs_folder
    from ess_dask.settings import load_settings

    if _RUN_ID.fullmatch(name):
        return True
    return (
        "/" not in name
        and name not in ("", ".", "..")
        and (runs_folder(load_settings()) / name).is_dir()
    )


def _print(rows: pa.Table, form: Any) -> None:
    from ess_dask.cli._render import Table, render

    listed = []
    for row in rows.to_pylist():
        raw = row["raw"].decode("utf-8", "backslashreplace")
        if form == "table" and len(raw) > RAW_SHOWN:
            raw = raw[: RAW_SHOWN - 1] + "…"
        listed.append(tuple((row | {"raw": raw}).values()))
    render(Table(tuple(rows.column_names), listed), form)


def _write_parquet(rows: pa.Table) -> None:
    import pyarrow.parquet as pq

    from ess_dask.errors import UsageError

    if sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal", hint="add: > rejects.parquet")
    pq.write_table(rows, sys.stdout.buffer, compression="zstd")


@rejects.command("replay")
@click.argument("pipeline")
@click.option("--run", default="", metavar="RUN", help="Only rows that this run rejected.")
@click.option("--again", is_flag=True, help="Also rows that the same pipeline rejected before.")
@set_option
@click.option("--dry-run", is_flag=True, help="Only show what would become of the rows.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@asks_password
def replay(
    pipeline: str,
    run: str,
    again: bool,
    overrides: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> int:
    """Read rejected rows again with a mended pipeline and load those that pass.

    Each row is loaded at most once, however often and wherever this is killed. Rows that are
    rejected again stay, with the new reason. Shell steps are not run again: the text of a rejected
    row is what they had left. With mode upsert the rows count as the newest of their keys.
    """
    from ess_dask.cli._render import say
    from ess_dask.cli._watched import watched
    from ess_dask.pipelines.load import open_pipeline
    from ess_dask.pipelines.replay import plan_replay
    from ess_dask.pipelines.run import Listener, run_plan

    made = open_pipeline(pipeline, overrides)
    plan = plan_replay(made.pipeline, made.folder, made.settings, load_id=run, again=again)
    for note in plan.notes():
        click.echo(f"note: {note}", err=True)
    if dry_run:
        return _dry_run(plan, as_json)
    with watched(made):
        report = run_plan(plan.run, made.settings, Listener(say))
    if as_json:
        click.echo(report.to_json())
    elif not plan.run.files:
        click.echo(f"{plan.run.pipeline}: nothing to replay")
    else:
        click.echo(printable_lines(report.render()), err=bool(report.exit_code))
    return report.exit_code


def _dry_run(plan: ReplayPlan, as_json: bool) -> int:
    import json

    from ess_dask.pipelines.replay import try_replay

    totals = try_replay(plan)
    counts = {
        "pipeline": plan.run.pipeline,
        "table": plan.run.table,
        "files": len(plan.run.files),
        "standing": plan.standing,
        "cut": plan.cut,
        "tried": plan.tried,
        "read": totals.read,
        "would_load": totals.kept,
        "would_drop": totals.dropped,
        "would_reject": totals.rejected,
        "reasons": dict(totals.reasons),
        "ddl": list(plan.run.ddl),
        "failed": [{"uri": count.uri, "error": count.error} for count in totals.failed],
    }
    if as_json:
        click.echo(json.dumps(counts, indent=2, ensure_ascii=False))
        return 0
    lines = [f"{plan.run.pipeline}: {plan.standing:,} rejected rows stand in {plan.run.table}"]
    lines += [f"  {totals.read:>10,}  would be read again, of {len(plan.run.files):,} files"]
    lines += [f"  {totals.kept:>10,}  would be loaded"]
    lines += [f"  {totals.dropped:>10,}  would be dropped by cleaning commands"]
    lines += [f"  {totals.rejected:>10,}  would stay rejected"]
    lines += [f"    {count:>10,}  {reason}" for reason, count in totals.reasons]
    lines += [f"  ddl  {line}" for text in plan.run.ddl for line in text.splitlines()]
    lines += [f"  failed  {count.uri}: {count.error}" for count in totals.failed]
    click.echo("\n".join(map(printable, lines)))
    return 0


def _place(pipeline: str, warehouse: str, overrides: tuple[str, ...]) -> tuple[Place, str]:
    """Return where to look, and the name that the pipeline's runs are recorded under."""
    from ess_dask.pipelines.rejects import Place
    from ess_dask.pipelines.run_folder import runs_folder

    made, settings = _known_pipeline(pipeline, overrides)
    runs = runs_folder(settings)
    if made is None:
        return Place(runs, warehouse), pipeline
    if made.load is None:
        return Place(runs, warehouse), made.name
    return Place(runs, warehouse or made.load.to or settings.warehouse, made.load.table), made.name


def _known_pipeline(pipeline: str, overrides: tuple[str, ...]) -> tuple[Pipeline | None, Settings]:
    """Return the pipeline of a file or a shipped one, None for the name of one."""
    from pathlib import Path

    from ess_dask.pipelines.load import open_pipeline, shipped_pipelines
    from ess_dask.settings import load_settings

    looks_like_file = "/" in pipeline or pipeline.endswith((".yaml", ".yml"))
    if looks_like_file or Path(pipeline or ".").is_file() or pipeline in shipped_pipelines():
        made = open_pipeline(pipeline, overrides)
        return made.pipeline, made.settings
    return None, load_settings()
