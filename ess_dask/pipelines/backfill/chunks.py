"""Days, weeks (from Monday) and months: the pieces in which a long range is run. No I/O."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Literal

from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError

ChunkSize = Literal["day", "week", "month"]
Reprocess = Literal["none", "failed", "all"]


@dataclass(frozen=True, slots=True, order=True)
class Chunk:
    """A piece of the range, both days inclusive."""

    first: date
    last: date

    @property
    def lower(self) -> str:
        """The first day as a bound: ``2014-09-01``."""
        return self.first.isoformat()

    @property
    def upper(self) -> str:
        """The last day as a bound."""
        return self.last.isoformat()

    def __str__(self) -> str:
        """Return ``2014-09-01``, or the first day and the last."""
        return self.lower if self.first == self.last else f"{self.lower} to {self.upper}"


@dataclass(frozen=True, slots=True)
class Calendar:
    """Cuts days into chunks; the ends of the range cut the first and the last one."""

    size: ChunkSize
    lower: date = date.min
    upper: date = date.max

    def chunk(self, day: date) -> Chunk:
        """Return the chunk of a day; one outside the range counts as the end next to it.

        The file of a month, selected by a day in the middle of it, is dated by its first day.
        """
        day = min(max(day, self.lower), self.upper)
        first, last = _period(day, self.size)
        return Chunk(max(first, self.lower), min(last, self.upper))

    def chunks(self, first: date, last: date) -> Iterator[Chunk]:
        """Yield all chunks from the one of ``first`` to the one of ``last``, in order."""
        chunk = self.chunk(first)
        while chunk.first <= last:
            yield chunk
            if chunk.last >= self.upper:
                return
            chunk = self.chunk(chunk.last + timedelta(days=1))


def calendar(
    size: ChunkSize, lower: datetime | int | None, upper: datetime | int | None
) -> Calendar:
    """Return the calendar of a range, None is open; raises ``UsageError`` for ids."""
    if isinstance(lower, int) or isinstance(upper, int):
        raise UsageError(
            "the files of this pipeline have ids, and a backfill goes by dates",
            hint="ess run --from ID --to ID",
        )
    return Calendar(size, lower.date() if lower else date.min, upper.date() if upper else date.max)


def _period(day: date, size: ChunkSize) -> tuple[date, date]:
    if size == "day":
        return day, day
    if size == "week":
        monday = day.toordinal() - day.weekday()
        return date.fromordinal(monday), date.fromordinal(min(monday + 6, date.max.toordinal()))
    return day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1])
