"""Which dates a task asks for: from Airflow's data interval to the two bounds of ``ess``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ess_dask.airflow.setup import SetupError

Unit = Literal["hour", "day", "month"]

FORMATS: Mapping[str, str] = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}
"""How a bound of each unit is written."""

OPEN = "*"
"""The bound that lets every file pass."""

_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """Two inclusive bounds as ``ess`` takes them; ``*`` is open."""

    lower: str = OPEN
    upper: str = OPEN

    def __str__(self) -> str:
        return self.lower if self.lower == self.upper else f"{self.lower} to {self.upper}"


def window_of(start: datetime, end: datetime, unit: Unit, zone: tzinfo) -> Window:
    """Return the first and the last unit that the interval ``start <= t < end`` touches.

    Units begin in ``zone``. An interval without length, as Airflow 3 gives it by default, stands
    for the last whole unit before ``end``: a daily task at midnight asks for the day that has just
    ended, in both majors.
    """
    if start < end:
        lower, upper = start.astimezone(zone), (end - _MOMENT).astimezone(zone)
    else:
        lower = upper = _begin(end.astimezone(zone), unit) - _MOMENT
    return Window(lower.strftime(FORMATS[unit]), upper.strftime(FORMATS[unit]))


def window_of_context(context: Mapping[str, Any], unit: Unit, zone: tzinfo) -> Window:
    """Return the window of a task's data interval; raise ``LookupError`` when there is none."""
    run = context.get("dag_run")
    end = context.get("data_interval_end") or getattr(run, "run_after", None)
    if end is None:
        raise LookupError("this DAG run has no data interval")
    return window_of(context.get("data_interval_start") or end, end, unit, zone)


def chosen_window(
    context: Mapping[str, Any], given: tuple[str | None, str | None], unit: Unit, zone: str | None
) -> Window:
    """Return the bounds that are given, and for those that are not the data interval's.

    ``zone`` is a name like ``Europe/Berlin``, None is the DAG's. Raises ``SetupError`` when there
    is neither a bound nor an interval, and for names that are not known.
    """
    lower, upper = given
    if lower and upper:
        return Window(lower, upper)
    if unit not in FORMATS:
        raise SetupError(f"unknown unit {unit!r}\n  hint: known are: {', '.join(FORMATS)}")
    try:
        found = window_of_context(context, unit, _zone(context, zone))
    except ZoneInfoNotFoundError:
        raise SetupError(f"unknown time zone {zone!r}\n  hint: write it like UTC") from None
    except LookupError as error:
        raise SetupError(f"{error}\n  hint: give date_from and date_to") from None
    return Window(lower or found.lower, upper or found.upper)


def _zone(context: Mapping[str, Any], name: str | None) -> tzinfo:
    if name:
        return ZoneInfo(name)
    own: tzinfo | None = getattr(context.get("dag"), "timezone", None)
    return own or UTC


def _begin(moment: datetime, unit: Unit) -> datetime:
    """Return the beginning of the unit, as the clock on the wall shows it."""
    begin = moment.replace(tzinfo=None, minute=0, second=0, microsecond=0)
    if unit == "hour":
        return begin
    begin = begin.replace(hour=0)
    return begin if unit == "day" else begin.replace(day=1)
