"""Which dates a scheduler asks for, as bounds: ``yesterday``, ``last-success``, a moment.

Dates in file names are in the lake's own zone. Only what depends on the clock needs to know it: the
zone is given, and never the machine's. Whatever the range, a run reads the files of it that the
ledger lacks, late ones for old dates too: no bound is a high-water mark.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo

from ess_dask.catalog.bounds import OPEN
from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError
from ess_dask.pipelines.execution import Window
from ess_dask.runs.lock import LockKey

LAST_SUCCESS = "last-success"


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, as typed; '' and ``*`` are nothing.

    ``since`` is ``today``, ``yesterday``, ``last-success``, or a date or time (ISO 8601), ``date``
    the same without ``last-success``; ``timezone`` an IANA name.
    """

    lower: str = OPEN
    upper: str = OPEN
    since: str = ""
    date: str = ""
    timezone: str = "UTC"


def window_of(
    asked: Asked, last_success: Callable[[], float | None], now: float | None = None
) -> Window:
    """Return the bounds. ``last_success`` tells when the last run began that was done and took all
    there was (seconds since 1970; None: there was none, and all dates are taken).

    Raises ``UsageError`` for words that exclude each other and for an unknown zone.
    """
    _check(asked)
    zone = _zone(asked.timezone)
    today = datetime.fromtimestamp(time.time() if now is None else now, zone)
    if asked.date:
        day = _bound(asked.date, today, zone)
        return Window(day, day)
    if asked.since == LAST_SUCCESS:
        began = last_success()
        lower = OPEN if began is None else f"{datetime.fromtimestamp(began, zone):%Y-%m-%d}"
        return Window(lower, asked.upper)
    if asked.since:
        return Window(_bound(asked.since, today, zone), asked.upper)
    return Window(asked.lower, asked.upper)


def last_success(key: LockKey) -> float | None:
    """Return when the last run of a pipeline began that was done and took all there was."""
    from ess_dask.runs.journal import open_journal

    with open_journal() as journal:
        return journal.last_success(key.pipeline, key.target)


def _check(asked: Asked) -> None:
    given = {
        "--from": asked.lower != OPEN,
        "--to": asked.upper != OPEN,
        "--since": bool(asked.since),
        "--date": bool(asked.date),
    }
    wrong = [("--date", other) for other in ("--from", "--to", "--since")]
    for one, other in (*wrong, ("--since", "--from")):
        if given[one] and given[other]:
            raise UsageError(f"{one} and {other} exclude each other", hint=f"leave out {other}")


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"unknown time zone {name!r}", hint="an IANA name, such as UTC or Europe/Berlin"
        ) from None


def _bound(text: str, now: datetime, zone: tzinfo) -> str:
    """Return a bound: a day by its name, a moment with an offset in the zone, all else as it is."""
    days = {"today": 0, "yesterday": 1}
    if text in days:
        return f"{now.date() - timedelta(days=days[text]):%Y-%m-%d}"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    if moment.tzinfo is None:
        return text
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"
