"""A calendar whose days are the darker the more there is: where there is nothing, one sees it.

Up to ``DAY_YEARS`` years are drawn day by day, a week being a column; more years month by month.
Days between the first and the last one on which there is nothing are outlined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta

from ess_dask.dataclass import dataclass
from ess_dask.drawing.shapes import cell, label, level, picture, plain, short

DAY_YEARS = 4
"""Years with something in them that are drawn day by day."""
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS = ("Mon", "", "Wed", "", "Fri", "", "")
_SHADES, _SHADES_ASCII = "·░▒▓█", ".-+*#"
_STEP, _BOX, _LEFT, _TOP = 13, 11, 34, 14
_LEFT_TEXT = 5

Days = Mapping[date, float]
Show = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class _Block:
    """A stretch of one year: ``first`` to ``last``, in weeks from Monday on."""

    first: date
    last: date

    def days(self) -> Iterator[tuple[date, int, int]]:
        """Yield each day with its week (from 0) and weekday."""
        start = self.first.toordinal() - self.first.weekday()
        for number in range(self.first.toordinal(), self.last.toordinal() + 1):
            week, weekday = divmod(number - start, 7)
            yield date.fromordinal(number), week, weekday

    @property
    def weeks(self) -> int:
        """Number of columns."""
        return (self.last.toordinal() - self.first.toordinal() + self.first.weekday()) // 7 + 1


def calendar_svg(
    days: Days, title: str, show: Show = short, *, tell: Callable[[date], str] | None = None
) -> str:
    """Return a heat map of values (not negative) by day as a self-contained SVG; '' for no day.

    ``show`` writes a value under the pointer; ``tell`` in its place what there is on a day.
    """
    if not days:
        return ""
    years = sorted({day.year for day in days})
    if len(years) > DAY_YEARS:
        return _months_svg(days, years, title, show)
    most = max(days.values())
    parts: list[str] = []
    y = 0.0
    widest = 0
    for block in _blocks(days, years):
        parts.append(label(0, y + 10, str(block.first.year)))
        parts += [
            label(_LEFT - 6, y + _TOP + number * _STEP + 9, name, "end")
            for number, name in enumerate(_WEEKDAYS)
            if name
        ]
        month = 0
        for day, week, weekday in block.days():
            x = _LEFT + week * _STEP
            if day.month != month and (not month or day.day == 1):
                parts.append(label(x, y + 10, MONTHS[day.month - 1]))
            month = day.month
            value = days.get(day, 0)
            there = (tell(day) if tell else show(value)) if value else "none"
            said = f"{day}: {there}"
            parts.append(
                cell(x, y + _TOP + weekday * _STEP, (_BOX, _BOX), level(value, most), said)
            )
        widest = max(widest, block.weeks)
        y += _TOP + 7 * _STEP + 8
    return picture(_LEFT + max(widest, 6) * _STEP, y, title, parts)


def calendar_text(
    days: Days, width: int = 80, *, ascii_only: bool = False, show: Show = short
) -> list[str]:
    """Return a heat map of values by day as lines of at most ``width`` columns (30 at least)."""
    if not days:
        return []
    shades = _SHADES_ASCII if ascii_only else _SHADES
    most = max(days.values())
    years = sorted({day.year for day in days})
    if len(years) > DAY_YEARS:
        lines = _months_text(days, years, shades, width)
        most = max(_by_month(days).values())
    else:
        room = max(width, 30) - _LEFT_TEXT
        lines = []
        for block in _blocks(days, years):
            for part in _cut(block, room):
                lines += [*_block_text(part, days, shades, most), ""]
    legend = f"{shades[0]} none  {shades[1:]} up to {show(most)}"
    return [*lines, plain(legend, ascii_only=ascii_only)]


def _blocks(days: Days, years: list[int]) -> Iterator[_Block]:
    first, last = min(days), max(days)
    for year in years:
        yield _Block(max(first, date(year, 1, 1)), min(last, date(year, 12, 31)))


def _cut(block: _Block, weeks: int) -> Iterator[_Block]:
    """Yield pieces of a block that are at most so many weeks wide."""
    first = block.first
    while first <= block.last:
        monday = first.toordinal() - first.weekday()
        last = date.fromordinal(min(monday + 7 * weeks - 1, block.last.toordinal()))
        yield _Block(first, last)
        if last == block.last:
            return
        first = last + timedelta(days=1)


def _block_text(block: _Block, days: Days, shades: str, most: float) -> list[str]:
    rows = [[" "] * block.weeks for _ in range(7)]
    title = [" "] * max(block.weeks, 3)
    free = month = 0
    for day, week, weekday in block.days():
        rows[weekday][week] = shades[level(days.get(day, 0), most)]
        if day.month != month and free <= week <= len(title) - 3:
            title[week : week + 3] = MONTHS[day.month - 1]
            free = week + 4
        month = day.month
    head = f"{block.first.year:<{_LEFT_TEXT}}{''.join(title)}".rstrip()
    names = (f"{name:<{_LEFT_TEXT}}" for name in _WEEKDAYS)
    return [head, *((name + "".join(row)).rstrip() for name, row in zip(names, rows, strict=True))]


def _by_month(days: Days) -> dict[tuple[int, int], float]:
    months: dict[tuple[int, int], float] = {}
    for day, value in days.items():
        months[day.year, day.month] = months.get((day.year, day.month), 0) + value
    return months


def _months_text(days: Days, years: list[int], shades: str, width: int) -> list[str]:
    months = _by_month(days)
    most = max(months.values())
    wide = 3 if width >= _LEFT_TEXT + 12 * 4 - 1 else 1
    lines = [" " * _LEFT_TEXT + " ".join(name[:wide] for name in MONTHS)]
    for year in years:
        row = (shades[level(months.get((year, month), 0), most)] * wide for month in range(1, 13))
        lines.append(f"{year:<{_LEFT_TEXT}}{' '.join(row)}")
    return [*lines, ""]


def _months_svg(days: Days, years: list[int], title: str, show: Show) -> str:
    months = _by_month(days)
    most = max(months.values())
    wide = 3 * _STEP
    parts = [label(_LEFT + number * wide, 10, name) for number, name in enumerate(MONTHS)]
    for row, year in enumerate(years):
        y = _TOP + row * _STEP
        parts.append(label(0, y + 9, str(year)))
        for month in range(1, 13):
            value = months.get((year, month), 0)
            said = f"{year:04}-{month:02}: {show(value) if value else 'none'}"
            x = _LEFT + (month - 1) * wide
            parts.append(cell(x, y, (wide - 2, _BOX), level(value, most), said))
    return picture(_LEFT + 12 * wide, _TOP + len(years) * _STEP, title, parts)
