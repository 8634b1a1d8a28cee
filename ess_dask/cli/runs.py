"""``ess runs``: the runs that were, and what happened in each."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ess_dask.cli._options import format_options

if TYPE_CHECKING:
    from ess_dask.cli._render import Format
    from ess_dask.observe.runs import RunAccount, RunView

STATES = "planned", "running", "staged", "loading", "verified", "done", "failed", "interrupted"

COLUMNS = ("run", "pipeline", "state", "exit", "started", "took", "files", "read", "loaded",
           "rejected", "error")  # fmt: skip

FAILED_SHOWN = 20
_IN_FOLDER = "-"


@click.group()
def runs() -> None:
    """List the runs of pipelines and tell what happened in each."""


@runs.command("list")
@click.option("--pipeline", default="", metavar="NAME", help="Only runs of this pipeline.")
@click.option("--state", type=click.Choice(STATES), help="Only runs in this state.")
@click.option("--since", default="", metavar="WHEN", help="Begun since then: 2026-11-27, 12h, 7d.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="At most so many, the newest.")
@format_options
def list_(pipeline: str, state: str | None, since: str, limit: int | None, form: Format) -> None:
    """List runs, the newest first.

    Times are UTC. A run whose process is gone without an end is marked so; the pipeline's next run
    looks after it.
    """
    from ess_dask.cli._render import Table, render
    from ess_dask.observe.runs import Which, list_runs, parse_since
    from ess_dask.pipelines.run_folder import runs_folder
    from ess_dask.settings import load_settings

    moment = parse_since(since) if since else None
    which = Which(pipeline, state or "", moment, limit)
    views = list_runs(runs_folder(load_settings()), which)
    if form == "table":
        render(Table(COLUMNS, [_line(view) for view in views]), form)
    else:
        rows = [_fields(view) for view in views]
        names = tuple(rows[0]) if rows else ()
        render(Table(names, [tuple(row.values()) for row in rows]), form)


def _line(view: RunView) -> tuple[Any, ...]:
    record = view.record
    took = "" if view.seconds is None else f"{view.seconds:.1f}s"
    counts = (record.files, record.rows_read, record.rows_loaded, record.rows_rejected)
    error = record.error if len(record.error) <= 80 else f"{record.error[:79]}…"
    return (
        record.run_id,
        record.pipeline,
        f"{record.state} (gone)" if view.is_alive is False else str(record.state),
        record.exit_code,
        _moment(record.started)[:16].replace("T", " "),
        took,
        *counts,
        error,
    )


def _fields(view: RunView) -> dict[str, Any]:
    record = view.record
    return {
        "run_id": record.run_id,
        "pipeline": record.pipeline,
        "state": str(record.state),
        "alive": view.is_alive,
        "exit_code": record.exit_code,
        "started": _moment(record.started),
        "ended": None if record.ended is None else _moment(record.ended),
        "seconds": None if view.seconds is None else round(view.seconds, 3),
        "from": record.lower,
        "to": record.upper,
        "files": record.files,
        "rows_read": record.rows_read,
        "rows_loaded": record.rows_loaded,
        "rows_rejected": record.rows_rejected,
        "rows_dropped": record.rows_dropped,
        "error": record.error,
        "backfill": record.backfill,
        "pipeline_file": record.pipeline_file,
        "folder": record.folder,
    }


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@runs.command("show")
@click.argument("name", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
@click.option(
    "--html",
    is_flag=False,
    flag_value=_IN_FOLDER,
    metavar="[FILE]",
    default=None,
    help="Write the report as a page into FILE (default: report.html in the run's folder).",
)
def show(name: str, as_json: bool, html: str | None) -> None:
    """Tell what happened in a run: its account, events, failed files, rejects with samples.

    RUN is its id, a beginning of it, or last.
    """
    from ess_dask.observe.runs import tell_run
    from ess_dask.pipelines.run_folder import runs_folder
    from ess_dask.settings import load_settings

    account = tell_run(runs_folder(load_settings()), name)
    if html is not None:
        click.echo(_write_page(account, html))
    elif as_json:
        click.echo(json.dumps(_whole(account), indent=2, ensure_ascii=True))
    else:
        click.echo("\n".join(_told(account)))


def _write_page(account: RunAccount, html: str) -> str:
    from ess_dask.errors import EssError
    from ess_dask.observe.page import NAME, read_story, render_page

    report = _report(account)
    text = render_page(read_story(account.folder, report, account.events))
    path = account.folder / NAME if html == _IN_FOLDER else Path(html)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        hint = "name another file: --html FILE"
        raise EssError(f"cannot write {path}: {error.strerror}", hint=hint) from None
    return str(path)


def _report(account: RunAccount) -> dict[str, Any]:
    """Return the account, or what the journal knows of a run that has none."""
    if account.report:
        return account.report
    fields = _fields(account.view)
    names = ("run_id", "pipeline", "state", "exit_code", "error")
    return {name: fields[name] for name in names}


def _whole(account: RunAccount) -> dict[str, Any]:
    from ess_dask.observe.samples import reject_samples

    events = [
        {"at": _moment(each.at), "event": each.name, "state": each.state, **each.detail}
        for each in account.events
    ]
    samples = [
        {
            "reason": each.group,
            "uri": each.uri,
            "line": each.line,
            "column": each.column,
            "raw": each.raw,
        }
        for each in reject_samples(account.folder)
    ]
    return {
        **_fields(account.view),
        "report": account.report,
        "events": events,
        "reject_samples": samples,
    }


def _told(account: RunAccount) -> list[str]:
    from ess_dask.markup import printable

    view, report = account.view, account.report
    record = view.record
    gone = " (its process is gone)" if view.is_alive is False else ""
    state = report.get("state") or record.state
    lines = [
        f"run       {record.run_id}",
        f"pipeline  {record.pipeline}",
        f"state     {state}{gone}" + (f", exit code {record.exit_code}" * (not gone)),
        f"began     {_moment(record.started)}",
    ]
    lines += [f"took      {view.seconds:.1f} s"] * (view.seconds is not None)
    lines += [f"error     {record.error}"] * bool(record.error)
    lines += _counted(account)
    lines += [f"event     {_moment(e.at)}  {e.name} -> {e.state}" for e in account.events]
    for name in ("rejects", "log.ndjson", "batches.ndjson", "report.html"):
        path = account.folder / name
        is_there = any(path.iterdir()) if path.is_dir() else path.exists()
        lines += [f"{'file':<10}{path}"] * is_there
    return [printable(line) for line in lines]


def _counted(account: RunAccount) -> list[str]:
    from ess_dask.observe.samples import reject_samples

    record, report = account.view.record, account.report
    lines = [
        f"files     {record.files:>12,}",
        f"read      {record.rows_read:>12,}",
        f"loaded    {record.rows_loaded:>12,}",
        f"dropped   {record.rows_dropped:>12,}",
        f"rejected  {record.rows_rejected:>12,}",
    ]
    samples = reject_samples(account.folder)
    for reason, rows in (report.get("reasons") or {}).items():
        lines.append(f"  {rows:>18,}  {reason}")
        first = next((each for each in samples if each.group == reason), None)
        if first is not None:
            lines.append(f"{'':22}{first.uri}:{first.line}: {first.raw[:80]}")
    failed = report.get("failed") or []
    lines += [f"failed    {each['uri']}: {each['error']}" for each in failed[:FAILED_SHOWN]]
    if len(failed) > FAILED_SHOWN:
        lines.append(f"          ... and {len(failed) - FAILED_SHOWN:,} more")
    return lines
