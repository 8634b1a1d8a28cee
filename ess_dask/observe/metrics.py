"""The last run of each pipeline as metrics of Prometheus, in a file that a node exporter reads.

Several pipelines may share the file: what is there of others is kept, under a lock of the folder.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ess_dask.observe.model import Beginning, Ending

STATES = ("done", "nothing new", "failed files", "failed", "interrupted", "too many rejects")
"""States that are told apart; what is no other is failed."""

_SUCCESS = "ess_last_success_time_seconds"

FAMILIES: Mapping[str, str] = {
    "ess_run_state": "State of the pipeline's last run: 1 for the one that is true.",
    "ess_run_exit_code": "Exit code of the last run.",
    "ess_run_start_time_seconds": "When the last run began, in seconds since the epoch.",
    "ess_run_end_time_seconds": "When the last run ended, in seconds since the epoch.",
    "ess_run_duration_seconds": "How long the last run took.",
    "ess_run_files": "Files of the last run: loaded, done before, failed.",
    "ess_run_rows": "Rows of the last run: read, loaded, rejected, dropped.",
    "ess_run_rejected_rows": "Rejected rows of the last run, by reason.",
    _SUCCESS: "When the last run that did all it was to do ended.",
}
"""Metric: what it means. All are gauges."""

_SAMPLE = re.compile(r'(\w+)\{pipeline="([^"\\]*)"[^\n]*\} (\S+)')

Sample = tuple[str, tuple[tuple[str, str], ...], float]


def samples(beginning: Beginning, ending: Ending) -> Iterator[Sample]:
    """Yield metric, labels behind ``pipeline``, and value of one run."""
    state = ending.state if ending.state in STATES else "done" if ending.is_good else "failed"
    for each in STATES:
        yield "ess_run_state", (("state", each),), float(each == state)
    yield "ess_run_exit_code", (), ending.exit_code
    yield "ess_run_start_time_seconds", (), beginning.started
    yield "ess_run_end_time_seconds", (), ending.at
    yield "ess_run_duration_seconds", (), max(0.0, ending.at - beginning.started)
    failed = ending.report.get("failed") or ()
    files = {"loaded": ending.number("files"), "done_before": ending.number("files_done")}
    for kind, number in (files | {"failed": len(failed)}).items():
        yield "ess_run_files", (("kind", kind),), number
    for kind in ("read", "loaded", "rejected", "dropped"):
        yield "ess_run_rows", (("kind", kind),), ending.number(f"rows_{kind}")
    for reason, number in (ending.report.get("reasons") or {}).items():
        yield "ess_run_rejected_rows", (("reason", reason),), number
    if ending.is_good:
        yield _SUCCESS, (), ending.at


def write_metrics(path: Path, beginning: Beginning, ending: Ending) -> None:
    """Put a run's metrics into the file, in place of those of the pipeline's run before.

    Replaced by one rename: who reads sees the old file or the new one. Raises ``OSError``.
    """
    pipeline = beginning.pipeline
    with _locked(path.absolute().parent):
        known = list(_lines(path))
        kept = [(name, line) for name, whose, line in known if whose != pipeline]
        own = [(name, _line(name, pipeline, labels, v)) for name, labels, v in
               samples(beginning, ending)]  # fmt: skip
        if not ending.is_good:
            own += [(n, line) for n, whose, line in known if whose == pipeline and n == _SUCCESS]
        part = path.with_name(f".{path.name}.part")
        part.write_text(_page([*kept, *own]), encoding="utf-8")
        part.rename(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder: the file itself is replaced, so that its lock would be of the old one."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _lines(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield metric, pipeline and line of the samples that are there and ours."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        match = _SAMPLE.fullmatch(line)
        if match and match[1] in FAMILIES:
            yield match[1], match[2], line


def _page(lines: Iterable[tuple[str, str]]) -> str:
    by_name: dict[str, list[str]] = {name: [] for name in FAMILIES}
    for name, line in lines:
        by_name[name].append(line)
    return "".join(
        f"# HELP {name} {FAMILIES[name]}\n# TYPE {name} gauge\n" + "".join(f"{e}\n" for e in each)
        for name, each in by_name.items()
        if each
    )


def _line(name: str, pipeline: str, labels: tuple[tuple[str, str], ...], value: float) -> str:
    shown = ",".join(f'{k}="{_escaped(v)}"' for k, v in (("pipeline", pipeline), *labels))
    return f"{name}{{{shown}}} {_number(value)}"


def _escaped(text: str) -> str:
    clean = text.encode("utf-8", "backslashreplace").decode()
    clean = "".join(each if each == "\n" or each.isprintable() else "?" for each in clean)
    return clean.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else f"{value:.3f}"
