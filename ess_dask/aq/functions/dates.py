"""Dates in text to seconds since 1970, and back. The zone of ``TZ`` is the local one."""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Callable

from ess_dask.aq.errors import EvalError, OptionError
from ess_dask.aq.functions.model import Function, Parameter
from ess_dask.aq.functions.strings import whole
from ess_dask.aq.kinds import Type, Value
from ess_dask.aq.tree import Call
from ess_dask.dataclass import dataclass

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ITEM = re.compile(r"%?S(?P<sub>\d)|%?(?P<code>[YymbdHIMSpz])|(?P<skip>\.)|(?P<other>.)", re.DOTALL)
_SOURCES = {
    "Y": r"(?P<Y>\d{1,4})",
    "y": r"(?P<y>\d{1,2})",
    "m": r"(?P<m>\d{1,2})",
    "b": r"(?P<b>[A-Za-z]{3})",
    "d": r"(?P<d>\d{1,2})",
    "H": r"(?P<H>\d{1,2})",
    "I": r"(?P<I>\d{1,2})",
    "M": r"(?P<M>\d{1,2})",
    "S": r"(?P<S>\d{1,2})",
    "p": r"(?P<p>[AaPp][Mm])",
    "z": r"(?P<z>[+-]?\d{2}:?\d{2}|Z)",
}
MAX_DATE = 127
"""Bytes of a formatted date."""


@dataclass(frozen=True, slots=True)
class DateFormat:
    """A compiled format: the pattern to match and the digits after the second to keep."""

    pattern: re.Pattern[str]
    digits: int

    def scan(self, text: str) -> dict[str, str] | None:
        """Return the parts of a date by code; None if ``text`` is not one."""
        match = self.pattern.match(text)
        return {k: v for k, v in match.groupdict().items() if v is not None} if match else None


def parse_format(text: str) -> DateFormat:
    """Return the compiled format; letters count with and without ``%``."""
    parts: list[str] = []
    seen: set[str] = set()
    digits = 0
    for item in _ITEM.finditer(text):
        code = item["code"] or ("S" if item["sub"] else "")
        if code in seen:
            raise OptionError(f"{code} stands twice in date format {text!r}")
        seen.update(code)
        if item["sub"]:
            digits = int(item["sub"])
            parts.append(_SOURCES["S"] + r"(?:\.(?P<f>\d*))?")
        elif item["code"]:
            parts.append(_SOURCES[code])
        elif item["skip"]:
            parts.append(".")
        else:
            parts.append(re.escape(item["other"]))
    return DateFormat(re.compile("".join(parts), re.DOTALL | re.ASCII), digits)


def seconds_of(parts: dict[str, str], *, local: bool) -> int:
    """Return the time of scanned parts; ``EvalError`` for an impossible date."""
    year, month, day = _date(parts)
    hour, minute, second = _hour(parts), int(parts.get("M", 0)), int(parts.get("S", 0))
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        raise EvalError("no such date")
    if day > calendar.monthrange(max(year, 1), month)[1]:
        raise EvalError("no such day in its month")
    fields = (year, month, day, hour, minute, second)
    if zone := parts.get("z"):
        return calendar.timegm((*fields, 0, 0, 0)) - _offset(zone)
    if local:
        try:
            return int(time.mktime((*fields, 0, 0, -1)))
        except (OverflowError, ValueError):
            raise EvalError("date out of range") from None
    return calendar.timegm((*fields, 0, 0, 0))


def _date(parts: dict[str, str]) -> tuple[int, int, int]:
    year = int(parts.get("Y", 1970))
    if "y" in parts:
        year = int(parts["y"]) + (1900 if int(parts["y"]) > 68 else 2000)
    month = int(parts.get("m", 1))
    if "b" in parts:
        name = parts["b"].lower()
        if name not in MONTHS:
            raise EvalError(f"no month {name!r}")
        month = MONTHS.index(name) + 1
    return year, month, int(parts.get("d", 1))


def _hour(parts: dict[str, str]) -> int:
    hour = int(parts.get("H", parts.get("I", 0)))
    if half := parts.get("p", "").lower():
        if hour > 12:
            return hour
        return hour % 12 + (12 if half == "pm" else 0)
    return hour


def _offset(zone: str) -> int:
    if zone == "Z":
        return 0
    digits = zone.lstrip("+-").replace(":", "")
    size = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -size if zone.startswith("-") else size


def _to_time(call: Call) -> Callable[[str], int]:
    form = parse_format(call.constants[0])
    local = not call.function.startswith("Gm")

    def run(text: str) -> int:
        parts = form.scan(text)
        if parts is None:
            return 0
        try:
            seconds = seconds_of(parts, local=local)
        except EvalError:
            return 0
        fraction = (parts.get("f", "") + "0" * form.digits)[: form.digits]
        return seconds * int(f"1{'0' * form.digits}") + int(fraction or 0)

    return run


def _to_date(call: Call) -> Callable[[Value], str]:
    broken_down = time.gmtime if call.function == "TimeToGmDate" else time.localtime
    form = call.constants[0].encode("latin-1").decode("utf-8", "surrogateescape")

    def run(value: Value) -> str:
        try:
            text = time.strftime(form, broken_down(whole(value)))
        except (ValueError, OverflowError, OSError):
            return ""
        return text.encode("utf-8", "surrogateescape").decode("latin-1")[:MAX_DATE]

    return run


def _check_format(call: Call) -> str:
    parse_format(call.constants[0])
    return ""


_PARSE = (Parameter.TEXT, Parameter.CONSTANT)
_PRINT = (Parameter.NUMBER, Parameter.CONSTANT)
FUNCTIONS = (
    Function(
        "DateToTime", "DateToTime(Val, Format)", _PARSE, Type.INT, _to_time, check=_check_format
    ),
    Function(
        "GmDateToTime", "GmDateToTime(Val, Format)", _PARSE, Type.INT, _to_time, check=_check_format
    ),
    Function("TimeToDate", "TimeToDate(Time, Format)", _PRINT, Type.STR, _to_date),
    Function("TimeToGmDate", "TimeToGmDate(Time, Format)", _PRINT, Type.STR, _to_date),
)
