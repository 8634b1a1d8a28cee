"""Lower and upper bounds of a selection: inclusive, ``*`` open, whole periods.

A bound names a period: ``2014``, ``2014-09``, ``2014-09-30``, ``2014-09-30 05``,
``2014-09-30 05:10`` (``T`` in place of the blank, seconds, and ``20140930`` are understood too).
An upper bound reaches to the end of its period, so ``2014-09-30`` takes every hourly file of that
day; a lower bound takes every file whose own period is not over before it, so ``2014-09-30 05``
takes the daily file of the 30th.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import datetime, timedelta

from ess_dask.catalog.dates import DatePattern, FoundDate
from ess_dask.catalog.model import FileDate
from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError

OPEN = "*"
"""The bound that lets everything pass."""

_BOUND = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[ T](\d{2})(?::(\d{2})(?::(\d{2}))?)?)?)?)?")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:[ T]?(\d{2})(?::?(\d{2})(?::?(\d{2}))?)?)?")
_UNITS = ("year", "month", "day", "hour", "minute", "second")
_STARTS = (1, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Both ends of a selection, inclusive; None is open."""

    lower: FileDate | None = None
    upper: FileDate | None = None

    @property
    def is_open(self) -> bool:
        """Whether every file passes, undated ones too."""
        return self.lower is None and self.upper is None

    def covers(self, found: FoundDate | None) -> bool:
        """Whether a file with this date is selected; an undated one only when both are open."""
        if found is None:
            return self.is_open
        return _not_before(found, self.lower) and _not_after(found, self.upper)


def parse_bounds(lower: str, upper: str, pattern: DatePattern) -> Bounds:
    """Return the bounds for files dated by ``pattern``.

    Raises ``UsageError`` for a text that is no date (no id), and when lower is after upper.
    """
    low = parse_bound(lower, pattern.granularity)
    high = parse_bound(upper, pattern.granularity, end=True)
    reversed_ = isinstance(low, int) and isinstance(high, int) and low > high
    if isinstance(low, datetime) and isinstance(high, datetime):
        reversed_ = low > high
    if reversed_:
        raise UsageError(
            f"the lower bound {lower} is after the upper bound {upper}", hint="swap the two"
        )
    return Bounds(low, high)


def parse_bound(text: str, granularity: str, *, end: bool = False) -> FileDate | None:
    """Return one bound: the first moment of its period, or with ``end`` the last microsecond.

    ``granularity`` is that of the files (only ``id`` matters here); None stands for open.
    """
    text = text.strip()
    if text in {OPEN, ""}:
        return None
    if granularity == "id":
        if re.fullmatch(r"\d+", text, re.ASCII):
            return int(text)
        raise UsageError(f"bound {text!r} is not an integer id", hint="this category has ids")
    match = _BOUND.fullmatch(text) or _COMPACT.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        return _period(match, end)
    except ValueError:
        raise UsageError(
            f"bound {text!r} is not a date",
            hint="write * or 2014-09-30, '2014-09-30 05', '2014-09-30 05:10'",
        ) from None


def _period(match: re.Match[str], end: bool) -> datetime:
    given = [int(part) for part in match.groups() if part is not None]
    start = datetime(*given, *_STARTS[len(given) :])  # type: ignore[arg-type]  # noqa: DTZ001
    return _last_moment(start, _UNITS[len(given) - 1]) if end else start


def _last_moment(start: datetime, unit: str) -> datetime:
    """Return the last microsecond of the period that begins at ``start``."""
    end = {"microsecond": 999999, "second": 59, "minute": 59, "hour": 23}
    end["day"] = monthrange(start.year, 12 if unit == "year" else start.month)[1]
    end["month"] = 12
    finer = list(end)[: 6 - _UNITS.index(unit)]
    return start.replace(**{name: end[name] for name in finer})  # type: ignore[arg-type]


def _not_before(found: FoundDate, lower: FileDate | None) -> bool:
    if lower is None:
        return True
    if isinstance(found.value, int) or isinstance(lower, int):
        return isinstance(found.value, int) and isinstance(lower, int) and found.value >= lower
    return found.value >= lower or lower - found.value < _length(found.value, found.granularity)


def _length(start: datetime, granularity: str) -> timedelta:
    """Return how long the period of a name is that begins at ``start``."""
    if granularity not in _UNITS[:2]:
        return timedelta(**{f"{granularity}s": 1})
    # A zone moves the begin of a month or year by less than a day, not out of reach of its first
    # days.
    first = (start + timedelta(days=2)).replace(day=1, hour=0, minute=0)
    return _last_moment(first, granularity) - first + timedelta(microseconds=1)


def _not_after(found: FoundDate, upper: FileDate | None) -> bool:
    if upper is None:
        return True
    if isinstance(found.value, int) or isinstance(upper, int):
        return isinstance(found.value, int) and isinstance(upper, int) and found.value <= upper
    return found.value <= upper
