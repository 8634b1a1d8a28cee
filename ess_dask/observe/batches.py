"""``batches.ndjson`` in a run's folder: one line for each finished batch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ess_dask.catalog.model import shown
from ess_dask.dataclass import dataclass
from ess_dask.engine.model import BatchResult, FileCount

NAME = "batches.ndjson"


@dataclass(frozen=True, slots=True)
class FileWork:
    """What was done to one file: stored bytes, rows, seconds; ``error`` '' when it went well."""

    uri: str
    size: int
    rows_read: int
    rows_kept: int
    rows_rejected: int
    error: str
    seconds: float


@dataclass(frozen=True, slots=True)
class BatchWork:
    """What was done in one batch; ``started`` in seconds since the epoch, ``steps`` are name, rows
    in and rows out."""

    number: int
    worker: str
    started: float
    seconds: float
    files: tuple[FileWork, ...]
    steps: tuple[tuple[str, int, int], ...]


def batch_line(result: BatchResult) -> str:
    """Return the line of a batch, with its end."""
    body = {
        "number": result.number,
        "worker": result.worker,
        "started": round(result.started, 3),
        "seconds": round(result.seconds, 4),
        "files": [_file(count) for count in result.counts],
        "steps": [{"step": name, "rows_in": i, "rows_out": o} for name, i, o in result.steps],
        "reasons": dict(result.reasons),
    }
    return json.dumps(body, ensure_ascii=False) + "\n"


def _file(count: FileCount) -> dict[str, Any]:
    return {
        "uri": shown(count.uri),
        "bytes": count.size,
        "rows_read": count.read,
        "rows_kept": count.kept,
        "rows_rejected": count.rejected,
        "error": count.error,
        "seconds": round(count.seconds, 4),
    }


def read_batches(folder: Path) -> Iterator[BatchWork]:
    """Yield the batches of a run, in order; a last line that was cut off by a crash is no batch."""
    try:
        source = (folder / NAME).open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with source:
        for line in source:
            try:
                yield _batch(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue


def _batch(body: dict[str, Any]) -> BatchWork:
    return BatchWork(
        number=body["number"],
        worker=body["worker"],
        started=body["started"],
        seconds=body["seconds"],
        files=tuple(
            FileWork(
                each["uri"],
                each["bytes"],
                each["rows_read"],
                each["rows_kept"],
                each["rows_rejected"],
                each["error"],
                each["seconds"],
            )
            for each in body["files"]
        ),
        steps=tuple((each["step"], each["rows_in"], each["rows_out"]) for each in body["steps"]),
    )
