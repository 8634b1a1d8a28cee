"""The report of a run as one HTML page that needs nothing else: no script, no file, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.markup import count, document, facts, note, section, show_bytes, table
from ess_dask.observe import charts
from ess_dask.observe.logs import without_secrets
from ess_dask.observe.samples import RejectSample, reject_samples
from ess_dask.observe.summary import FAILED, Work, summarise
from ess_dask.runs.model import RunEvent

NAME = "report.html"

ERROR_SHOWN = 500
EVENTS_SHOWN = 200

STYLE = """
:root{--ink:#1b1f24;--dim:#57606a;--paper:#fff;--rule:#d0d7de;--a:#0969da;--b:#1a7f37;--r:#cf222e}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9198a1;--paper:#0d1117;--rule:#3d444d;
--a:#58a6ff;--b:#3fb950;--r:#ff7b72}}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1040px;margin:0 auto;padding:1.5rem}
h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}
table{border-collapse:collapse;margin:.5rem 0}caption{text-align:left;color:var(--dim)}
th,td{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0;
border-bottom:1px solid var(--rule);overflow-wrap:anywhere}
td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}figure{margin:.5rem 0 1.5rem}figcaption{color:var(--dim)}
svg{width:100%;height:auto;display:block}svg text{fill:var(--ink);font-size:13px}
svg line{stroke:var(--rule)}.a{fill:var(--a)}.b{fill:var(--b)}.r{fill:var(--r)}
.p{fill:var(--a);fill-opacity:.55}
@media print{:root{--ink:#000;--dim:#444;--paper:#fff;--rule:#bbb;--a:#0969da;--b:#1a7f37;
--r:#cf222e}main{max-width:none;padding:0}figure,tr{break-inside:avoid}h2{break-after:avoid}
svg,rect,circle{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


@dataclass(frozen=True, slots=True)
class Story:
    """All that a page tells of a run: its account as JSON values, its work, samples of its rejects,
    the events of its journal (those may be none)."""

    report: Mapping[str, Any] = field(hash=False)
    work: Work
    samples: tuple[RejectSample, ...] = ()
    events: tuple[RunEvent, ...] = ()


def read_story(folder: Path, report: Mapping[str, Any], events: Sequence[RunEvent] = ()) -> Story:
    """Return what is known of a run from its folder, and from its journal."""
    return Story(report, summarise(folder), tuple(reject_samples(folder)), tuple(events))


def render_page(story: Story) -> str:
    """Return the page. Its size does not grow with the number of files."""
    report, work = _shown(story.report), story.work
    story = replace(story, report=report)
    title = f"{report.get('pipeline', '')}: {report.get('state', 'unfinished')}"
    return document(
        title,
        STYLE,
        _facts(report, work),
        note(str(report.get("error") or "")),
        section("Rows", _funnel(story)),
        section("Time", *_times(work)),
        section("Slowest files", _slowest(work)),
        section("Failed files", *_failed(report, work)),
        section("Rejected rows", *_rejects(story)),
        section("Events", *_events(story.events)),
    )


def _shown(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report with no more failed files than are shown, cut, and without secrets."""
    failed = report.get("failed") or ()
    first = [{name: _cut(str(each[name])) for name in ("uri", "error")} for each in failed[:FAILED]]
    shown: dict[str, Any] = without_secrets({**report, "failed": first})
    return {**shown, "failed_files": len(failed)}


def _facts(report: Mapping[str, Any], work: Work) -> str:
    done = report.get("files_done") or 0
    loaded = report.get("files", work.files - work.failed_files)
    places = [str(report[name]) for name in ("table", "memory") if report.get(name)]
    seconds = report.get("seconds") or work.seconds
    return facts(
        {
            "run": report.get("run_id", ""),
            "exit code": report.get("exit_code", ""),
            "took": charts.show_time(float(seconds)) if seconds else "",
            "files": f"{loaded:,} (and {done:,} that were done before)",
            "stored bytes": show_bytes(work.size) if work.size else "",
            "rows read": f"{report.get('rows_read', work.rows_read):,}",
            "store": report.get("store", ""),
            "warehouse": report.get("warehouse", ""),
            "loaded into": " and ".join(places),
            "rejects": report.get("rejects", ""),
        }
    )


def _funnel(story: Story) -> str:
    """Rows from the reader through each step to where they went."""
    report, work = story.report, story.work
    steps = [(s["step"], s["rows_in"], s["rows_out"]) for s in report.get("steps") or ()]
    steps = steps or list(work.steps)
    read = int(report.get("rows_read", work.rows_read))
    rows = [("read", read)]
    # A file that is cleaned in parts is read in parts, too: what goes in is what is left so far.
    rows += [(f"{number}. {name}", out) for number, (name, _, out) in enumerate(steps, 1)]
    rows.append(("loaded", int(report.get("rows_loaded", work.rows_kept))))
    aside = [
        ("rejected", int(report.get("rows_rejected", work.rows_rejected))),
        ("dropped by cleaning", max(0, int(report.get("rows_dropped") or 0))),
    ]
    return charts.funnel(rows, aside, "Rows through each step") if read else ""


def _times(work: Work) -> list[str]:
    if not work.spans:
        return []
    return [charts.timeline(work), charts.speed(work), charts.sizes(work.points)]


def _slowest(work: Work) -> str:
    rows = [
        (
            file.uri,
            round(file.seconds, 3),
            show_bytes(file.size),
            file.rows_read,
            file.rows_rejected,
        )
        for file in work.slowest
    ]
    caption = f"The {len(rows)} that took longest, of {count(work.files, 'file', 'files')}"
    return table(caption, ("file", "seconds", "stored", "rows read", "rejected"), rows)


def _failed(report: Mapping[str, Any], work: Work) -> list[str]:
    told = [(each["uri"], each["error"]) for each in report["failed"]]
    rows = told or [(file.uri, without_secrets(_cut(file.error))) for file in work.failed]
    number = report["failed_files"] or work.failed_files
    caption = "Nothing of these is published"
    more = f"... and {number - len(rows):,} more" if number > len(rows) else ""
    return [table(caption, ("file", "error"), rows), note(more)]


def _rejects(story: Story) -> list[str]:
    reasons = list((story.report.get("reasons") or {}).items())
    shown = [(reason, rows) for reason, rows in reasons[:FAILED]]
    more = len(reasons) - len(shown)
    samples = [(each.group, each.uri, each.line, each.column, each.raw) for each in story.samples]
    return [
        table("How many rows, and why", ("reason", "rows"), shown),
        note(f"... and {more:,} more reasons" if more else ""),
        table("Some of them", ("reason", "file", "line", "column", "text"), samples),
    ]


def _events(events: Sequence[RunEvent]) -> list[str]:
    rows = [
        (_moment(each.at), each.name, str(each.state), _cut(_detail(each)))
        for each in events[:EVENTS_SHOWN]
    ]
    return [table("Times are UTC", ("time", "event", "state", "detail"), rows)]


def _detail(event: RunEvent) -> str:
    return ", ".join(f"{name}: {value}" for name, value in event.detail.items())


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]


def _cut(text: str) -> str:
    return text if len(text) <= ERROR_SHOWN else f"{text[: ERROR_SHOWN - 1]}…"
