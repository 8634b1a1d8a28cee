"""The runs that were: listed, and each told with its account, its events and where things are.

The journal knows them; of runs that are in no journal (it was made anew, or a folder was copied)
what their folders say counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError, UsageError
from ess_dask.locks import is_held
from ess_dask.runs.model import RunEvent, RunRecord, State

if TYPE_CHECKING:
    from ess_dask.runs.journal import Journal

LAST = "last"
"""Stands for the newest run."""

_RUN_ID = re.compile(r"(\d{8}T\d{6})-[0-9a-f]{8}")
_AGE = re.compile(r"(\d{1,5})\s*([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Which:
    """Which runs to list: of a pipeline, in a state, begun ``since`` (seconds since 1970), at most
    so many of the newest ones."""

    pipeline: str = ""
    state: str = ""
    since: float | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as it is listed. ``is_alive`` is None once it has ended."""

    record: RunRecord
    is_alive: bool | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took, None when nobody saw its end."""
        record = self.record
        return None if record.ended is None else max(0.0, record.ended - record.started)


@dataclass(frozen=True, slots=True)
class RunAccount:
    """All that is known of a run: ``report`` is its account as JSON values, {} when it ended before
    it had one."""

    view: RunView
    folder: Path
    report: dict[str, Any] = field(hash=False)
    events: tuple[RunEvent, ...] = ()


def list_runs(runs: Path, which: Which) -> list[RunView]:
    """Return runs, the newest first; ``runs`` is the folder of their folders.

    Those of the journal come in its order, whatever the clock said when they began. No more of them
    are read than are shown.
    """
    from ess_dask.runs.journal import open_journal

    with open_journal() as journal:
        known = journal.ids()
        others = [folder for folder in _folders(runs) if folder.name not in known]
        found = _merged(journal.each(which.pipeline, since=which.since), others)
        wanted = (record for record in found if _is_wanted(record, which))
        return [view_of(record) for record in islice(wanted, which.limit)]


def _merged(known: Iterable[RunRecord], others: Iterable[Path]) -> Iterator[RunRecord]:
    """Put runs that are only folders between those of the journal, by when they began."""
    waiting = sorted(others, key=lambda folder: (_begun(folder.name), folder.name))
    for record in known:
        while waiting and _begun(waiting[-1].name) > record.started:
            yield _of_folder(waiting.pop())
        yield record
    yield from (_of_folder(folder) for folder in reversed(waiting))


def _is_wanted(record: RunRecord, which: Which) -> bool:
    return (
        which.pipeline in ("", record.pipeline)
        and which.state in ("", record.state)
        and (which.since is None or record.started >= which.since)
    )


def view_of(record: RunRecord) -> RunView:
    """Return a run with whether its process lives."""
    from ess_dask.runs.lock import is_gone

    if record.state.is_final:
        return RunView(record)
    return RunView(record, not is_gone(record.pid, record.host, record.beat, record.folder))


def tell_run(runs: Path, name: str) -> RunAccount:
    """Return what is known of a run: by its id, a beginning of it that is no other's, or ``last``.

    Raises ``ConfigError`` for one that is not known.
    """
    from ess_dask.runs.journal import open_journal

    with open_journal() as journal:
        record = _find(journal, runs, name)
        events = tuple(journal.events(record.run_id))
    folder = Path(record.folder) if record.folder else runs / record.run_id
    return RunAccount(view_of(record), folder, saved_report(folder), events)


def _find(journal: Journal, runs: Path, name: str) -> RunRecord:
    if name == LAST:
        views = list_runs(runs, Which(limit=1))
        if not views:
            raise ConfigError("there is no run yet", hint="begin one: ess run PIPELINE")
        return views[0].record
    try:
        return journal.record(name)
    except ConfigError:
        found = [folder for folder in _folders(runs) if name and folder.name.startswith(name)]
        exact = [folder for folder in found if folder.name == name]
        if len(exact or found) != 1:
            raise
        return _of_folder((exact or found)[0])


def _folders(runs: Path) -> Iterator[Path]:
    try:
        yield from (path for path in runs.iterdir() if _RUN_ID.fullmatch(path.name))
    except FileNotFoundError:
        return


def _of_folder(folder: Path) -> RunRecord:
    """Return what a run's folder says of it."""
    report = saved_report(folder)
    started = _begun(folder.name)
    code = report.get("exit_code")
    return RunRecord(
        run_id=folder.name,
        pipeline=str(report.get("pipeline") or ""),
        state=_state(folder, report),
        started=started,
        ended=started + float(report.get("seconds") or 0) if report else None,
        exit_code=code if isinstance(code, int) else None,
        folder=str(folder),
        files=int(report.get("files") or 0),
        rows_read=int(report.get("rows_read") or 0),
        rows_loaded=int(report.get("rows_loaded") or 0),
        rows_rejected=int(report.get("rows_rejected") or 0),
        rows_dropped=int(report.get("rows_dropped") or 0),
    )


def _state(folder: Path, report: dict[str, Any]) -> State:
    if not report:
        return State.RUNNING if is_held(folder / "lock") else State.INTERRUPTED
    return {0: State.DONE, 130: State.INTERRUPTED}.get(report.get("exit_code", 0), State.FAILED)


def _begun(run_id: str) -> float:
    match = _RUN_ID.fullmatch(run_id)
    try:
        moment = datetime.strptime(match[1] if match else "", "%Y%m%dT%H%M%S")  # noqa: DTZ007
    except ValueError:
        return 0.0
    return moment.replace(tzinfo=UTC).timestamp()


def saved_report(folder: Path) -> dict[str, Any]:
    """Return the account in a run's folder as JSON values, {} when there is none."""
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def parse_since(text: str, now: datetime | None = None) -> float:
    """Return a moment in seconds since 1970: an ISO date or time (UTC unless it says its zone), or
    an age such as ``90m``, ``12h``, ``7d``, ``2w``.

    Raises ``UsageError`` for anything else.
    """
    now = now or datetime.now(UTC)
    if match := _AGE.fullmatch(text.strip()):
        return (now - timedelta(**{_UNITS[match[2]]: int(match[1])})).timestamp()
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"'{text}' is no moment", hint="write 2026-11-27, 2026-11-27T03:00+01:00, 12h or 7d"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
