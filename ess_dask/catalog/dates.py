"""Dates in file names: patterns with classes such as ``[:%Y:]``, and what ``auto`` looks for.

A date is searched in the file's name first and in its whole path only when the name holds nothing
that looks like one; of several in the same text the last possible one counts
(``sales_20140901-20140930.gz`` is of the 30th). An impossible date (``20150230``) is none: such a
file is *undated*. Dates are kept as written; only a zone class (``[:%z:]``) moves them, to UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal

from ess_dask.catalog.model import FileDate
from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError

Granularity = Literal["year", "month", "day", "hour", "minute", "second", "id"]
"""What a date names: a period of time that starts there, or ``id``, an integer."""

NO_DATE = datetime(1970, 1, 1)  # noqa: DTZ001 - dates in names are naive, in the lake's own zone
"""The date of every file under ``--dateregex none``."""

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG = ("january", "february", "march", "april", "may", "june", "july", "august", "september",
         "october", "november", "december")  # fmt: skip

_CLASSES = {
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "m": r"\d{2}",
    "d": r"\d{2}",
    "H": r"\d{2}",
    "M": r"\d{2}",
    "S": r"\d{2}",
    "b": f"(?i:{'|'.join(MONTHS)})",
    "B": f"(?i:{'|'.join(_LONG)})",
    "z": r"Z|(?i:UTC|GMT)|[+-]\d{2}:?\d{2}",
    "p": r"(?i:am|pm)",
}
_CLASS = re.compile(r"\[:%(?:([YymdHMSbBzp]):\]|f:\{(\d+),(\d*)\}\]|f:\]\{(\d+),(\d*)\})")
_POSIX = {
    "[:digit:]": "0-9",
    "[:alpha:]": "A-Za-z",
    "[:alnum:]": "A-Za-z0-9",
    "[:upper:]": "A-Z",
    "[:lower:]": "a-z",
    "[:xdigit:]": "0-9A-Fa-f",
    "[:space:]": r"\s",
}
_LETTERS = {
    "Y": "[:%Y:]", "y": "[:%y:]", "M": "(?:[:%m:]|[:%B:]|[:%b:])", "D": "[:%d:]", "h": "[:%H:]",
    "m": "[:%M:]", "s": "[:%S:]", "Z": "[:%z:]", "P": "[:%p:]", "*": ".*",
}  # fmt: skip
_LETTER_OR_WORD = re.compile(r"[a-z]*[a-gi-ln-rt-xz][a-z]*|.", re.DOTALL)

# A run of digits that goes on is an identifier, not a date. Hours follow directly (2014090105),
# after T, or, where a part number would look the same, only together with minutes (_0530); the
# year of a second date (2014-09-01_2014-09-30) is no such time.
_HOUR, _SIXTY = r"(?:[01]\d|2[0-3])", r"[0-5]\d"
_DATE = r"(?:19|20)\d\d(?P<sep2>[-/_.]?)\d\d(?P=sep2)\d\d(?!\d)"
_AUTO = re.compile(
    rf"(?<!\d)(?P<Y>(?:19|20)\d\d)(?P<sep>[-/_.]?)(?P<m>\d\d)(?P=sep)(?P<d>\d\d)"
    rf"(?:T?(?P<H1>{_HOUR})(?:[:._-]?(?P<M1>{_SIXTY})(?:[:._-]?(?P<S1>{_SIXTY}))?)?(?!\d)"
    rf"|[ _.-](?!{_DATE})(?P<H2>{_HOUR})[:._-]?(?P<M2>{_SIXTY})(?:[:._-]?(?P<S2>{_SIXTY}))?(?!\d)"
    rf"|/(?P<H3>{_HOUR})(?=/)"
    rf"|(?!\d))"
)
_AUTO_GROUPS = ("Y", "m", "d", "H1", "M1", "S1", "H2", "M2", "S2", "H3")


@dataclass(frozen=True, slots=True)
class FoundDate:
    """A date in a name: the first moment of the period it names, or an integer id."""

    value: FileDate
    granularity: Granularity


@dataclass(frozen=True, slots=True)
class DatePattern:
    """A compiled ``--dateregex``: ``auto``, ``none`` or a regular expression with classes.

    ``granularity`` is the finest class of the pattern, or ``auto``, ``none``.
    """

    text: str
    granularity: Granularity | Literal["auto", "none"]
    regex: re.Pattern[str]
    groups: tuple[str, ...] = ()
    """Names of the groups that hold a class; the class's letter is in ``letters``."""
    letters: tuple[str, ...] = ()

    def find(self, path: str) -> FileDate | None:
        """Return the date (naive) or id in a file's path; None when there is no possible one."""
        found = self.locate(path)
        return None if found is None else found.value

    def locate(self, path: str) -> FoundDate | None:
        """Return the date in a file's path with its granularity, or None."""
        if self.granularity == "none":
            return FoundDate(NO_DATE, "day")
        for text in (path[path.rfind("/") + 1 :], path):
            matches = list(self.regex.finditer(text))
            if matches:
                return next(filter(None, map(self._read, reversed(matches))), None)
        return None

    def _read(self, match: re.Match[str]) -> FoundDate | None:
        return _to_date(self.letters, match.group(0, *self.groups)[1:])


@lru_cache(maxsize=256)
def compile_dates(text: str) -> DatePattern:
    """Compile ``auto``, ``none`` or a regular expression with classes (SPEC 2.2).

    The expression is searched, not matched whole. Raises ``UsageError`` when it is not valid or
    holds neither a year nor an id class.
    """
    if text in {"", "auto"}:
        return DatePattern("auto", "auto", _AUTO, _AUTO_GROUPS, tuple(g[0] for g in _AUTO_GROUPS))
    if text == "none":
        return DatePattern("none", "none", re.compile(r"(?!)"))
    classes: list[str] = []
    body = "".join(_expand(text, classes))
    try:
        regex = re.compile(body, re.DOTALL)
    except re.error as error:
        raise UsageError(f"date pattern {text!r} is not a regular expression: {error}") from None
    groups = tuple(f"_{number}" for number in range(len(classes)))
    return DatePattern(text, _granularity(text, set(classes)), regex, groups, tuple(classes))


def dateregex_of_format(text: str) -> str:
    """Translate the deprecated ``--dateformat`` letters ``Y y M D h m s Z P #`` to a dateregex.

    Every other character stands for itself, also ``y h m s`` within a word in small letters
    (``.csv``), ``*`` for any text; ``#`` is an integer id when there is no year, otherwise any
    number.
    """
    if text in {"auto", "none"}:
        return text
    pieces = _LETTER_OR_WORD.findall(text)
    number = r"\d+" if {"Y", "y"} & set(pieces) else "[:%f:{1,}]"
    return "".join(number if p == "#" else _LETTERS.get(p) or re.escape(p) for p in pieces)


def _expand(text: str, classes: list[str]) -> Iterator[str]:
    """Yield the pieces of a Python expression; group ``_N`` is the N-th class."""
    end = 0
    for match in _CLASS.finditer(text):
        yield _posix(text[end : match.start()])
        end = match.end()
        group = f"_{len(classes)}"
        if match[1]:
            classes.append(match[1])
            yield f"(?P<{group}>{_CLASSES[match[1]]})"
        else:
            low, high = (match[2], match[3]) if match[2] else (match[4], match[5])
            classes.append("f")
            yield rf"(?<!\d)(?P<{group}>\d{{{low},{high}}})"
    rest = text[end:]
    if "[:%" in rest:
        raise UsageError(
            f"date pattern {text!r}: unknown class at {rest[rest.index('[:%') :]!r}",
            hint="classes are [:%Y:] y m d H M S b B z p and [:%f:{min,max}]",
        )
    yield _posix(rest)


def _posix(text: str) -> str:
    for name, characters in _POSIX.items():
        text = text.replace(name, characters)
    return text


def _granularity(text: str, classes: set[str]) -> Granularity:
    if classes == {"f"}:
        return "id"
    if "f" in classes or not classes & {"Y", "y"}:
        raise UsageError(
            f"date pattern {text!r} needs a year class, or an id class alone",
            hint="for example [:%Y:]-[:%m:]-[:%d:], or [:%f:{1,}] for an integer id",
        )
    month = bool(classes & {"m", "b", "B"})
    steps: list[tuple[Granularity, bool]] = [
        ("month", month), ("day", "d" in classes), ("hour", "H" in classes),
        ("minute", "M" in classes), ("second", "S" in classes),
    ]  # fmt: skip
    present = [there for _, there in steps]
    if present != sorted(present, reverse=True):
        raise UsageError(f"date pattern {text!r} leaves out a part: year, month, day, hour, ...")
    finest: Granularity = "year"
    for step, there in steps:
        finest = step if there else finest
    return finest


# Many files share a date.
@lru_cache(maxsize=4096)
def _to_date(letters: tuple[str, ...], values: tuple[str | None, ...]) -> FoundDate | None:
    parts = {letter: value for letter, value in zip(letters, values, strict=True) if value}
    if "f" in parts:
        return FoundDate(int(parts["f"]), "id")
    try:
        value = datetime(  # noqa: DTZ001 - dates in names are naive, in the lake's own zone
            _year(parts),
            _month(parts) or 1,
            int(parts.get("d", 1)),
            _hour(parts),
            int(parts.get("M", 0)),
            int(parts.get("S", 0)),
        )
        value = value - _offset(parts.get("z", "Z"))
    except (ValueError, OverflowError):
        return None
    return FoundDate(value, _finest(parts))


def _finest(parts: dict[str, str]) -> Granularity:
    if "S" in parts:
        return "second"
    if "M" in parts:
        return "minute"
    if "H" in parts:
        return "hour"
    if "d" in parts:
        return "day"
    return "month" if _month(parts) else "year"


def _year(parts: dict[str, str]) -> int:
    if "Y" in parts:
        return int(parts["Y"])
    short = int(parts["y"])
    return short + (2000 if short < 69 else 1900)


def _month(parts: dict[str, str]) -> int:
    if "m" in parts:
        return int(parts["m"]) or 13  # month 00 is as impossible as 13
    name = parts.get("b") or parts.get("B")
    return MONTHS.index(name[:3].lower()) + 1 if name else 0


def _hour(parts: dict[str, str]) -> int:
    hour = int(parts.get("H", 0))
    if "p" not in parts:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError(hour)
    return hour % 12 + (12 if parts["p"].lower() == "pm" else 0)


def _offset(zone: str) -> timedelta:
    if zone[0] not in "+-":
        return timedelta()
    digits = zone[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -offset if zone[0] == "-" else offset
