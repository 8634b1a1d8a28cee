"""What is remembered of backfills: a record each, in the catalogue; their runs are in the journal.

What a run could not read or load for good stands in its folder (``unloaded.json``), by version: a
later backfill leaves it alone until it is told to try again, or until the file is another one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from ess_dask.dataclass import dataclass
from ess_dask.errors import RejectLimitError
from ess_dask.pipelines.backfill.chunks import Chunk, ChunkSize, Reprocess
from ess_dask.runs.journal import Journal
from ess_dask.runs.model import RunRecord, State, new_run_id

_FILE = "unloaded.json"

RUNNING, DONE, FAILED, INTERRUPTED = "running", "done", "failed", "interrupted"
"""States of a backfill; all but ``done`` are gone on with by the same command."""

Version = tuple[str, str]
"""Uri and etag of a file."""


@dataclass(frozen=True, slots=True)
class BackfillOrder:
    """What a backfill is to do: two with equal orders are one that goes on.

    ``pipeline_file`` is a file or a shipped name, ``lower`` and ``upper`` bounds as they are
    written for a run, ``overrides`` the ``--set`` values.
    """

    pipeline_file: str
    lower: str
    upper: str
    chunk: ChunkSize = "day"
    reprocess: Reprocess = "none"
    overrides: tuple[str, ...] = ()


_SAME = " and ".join(
    f"{name} = ?"
    for name in ("pipeline", "pipeline_file", "lower", "upper", "chunk", "reprocess", "overrides")
)


def unfinished(journal: Journal, pipeline: str, order: BackfillOrder) -> str:
    """Return the id of the last backfill with this order when it is not done, else ''."""
    query = f"select id, state from backfills where {_SAME} order by rowid desc limit 1"  # noqa: S608
    row = journal.connection.execute(query, _key(pipeline, order)).fetchone()
    return "" if row is None or row[1] == DONE else str(row[0])


def begin(journal: Journal, number: str, pipeline: str, order: BackfillOrder) -> None:
    """Write that a backfill begins, or goes on."""
    with journal.transaction() as run:
        run(
            "insert into backfills (id, pipeline, pipeline_file, lower, upper, chunk, reprocess,"
            " overrides, started, ended, state) values (?, ?, ?, ?, ?, ?, ?, ?, ?, null, ?)"
            " on conflict (id) do update set ended = null, state = excluded.state",
            (number, *_key(pipeline, order), time.time(), RUNNING),
        )


def end(journal: Journal, number: str, state: str) -> None:
    """Write how a backfill ended."""
    with journal.transaction() as run:
        run("update backfills set ended = ?, state = ? where id = ?", (time.time(), state, number))


def new_id() -> str:
    """Return a name for a backfill that sorts by time (UTC)."""
    return f"backfill-{new_run_id()}"


def done_chunks(journal: Journal, number: str) -> frozenset[tuple[str, str]]:
    """Return the bounds of the chunks that a backfill has done."""
    if not number:
        return frozenset()
    found = journal.records(backfill=number)
    return frozenset((run.lower, run.upper) for run in found if run.state is State.DONE)


def run_of(journal: Journal, number: str, chunk: Chunk) -> RunRecord | None:
    """Return the last run of a chunk by a backfill."""
    bounds = (chunk.lower, chunk.upper)
    found = journal.records(backfill=number)
    return next((run for run in found if (run.lower, run.upper) == bounds), None)


def keep_unloaded(folder: Path, versions: Iterable[Version], code: int, limit: str) -> None:
    """Write into a run's folder which versions it could not load, with the exit code for that and
    the limit of rejects that was in force."""
    files = [list(version) for version in versions]
    text = json.dumps({"exit_code": code, "limit": limit, "files": files})
    # Without it they are tried again by the next backfill: no reason to fail this one.
    with suppress(OSError, UnicodeEncodeError):
        (folder / _FILE).write_text(text, encoding="utf-8")


def unloaded(journal: Journal, pipeline: str, digest: str, limit: str) -> Mapping[Version, int]:
    """Return the versions that backfills of a pipeline, as it is now, could not load for good, each
    with its exit code. Too many rejects were too many under the same ``limit`` only."""
    query = (
        "select folder from runs where pipeline = ? and digest = ? and backfill != ''"
        " and exit_code in (3, 4) order by id"
    )
    found: dict[Version, int] = {}
    for (folder,) in journal.connection.execute(query, (pipeline, digest)):
        with suppress(OSError, ValueError, KeyError):
            kept = json.loads((Path(folder) / _FILE).read_bytes())
            code = int(kept["exit_code"])
            if code != RejectLimitError.exit_code or kept["limit"] == limit:
                found |= dict.fromkeys((tuple(version) for version in kept["files"]), code)
    return found


def _key(pipeline: str, order: BackfillOrder) -> tuple[str, ...]:
    return (
        pipeline,
        order.pipeline_file,
        order.lower,
        order.upper,
        order.chunk,
        order.reprocess,
        json.dumps(list(order.overrides)),
    )
