"""RT extraction rules: ``literal%*%%name:@class:[chars]:min-max,brks%%`` over the whole value.

The greed of an extraction is not documented. Here one that is limited (by class, characters,
length or breaks) takes as much as it may; an unlimited one takes as little as the rest allows, so
that ``%%a%%-%%b%%`` cuts at the first dash.
"""

from __future__ import annotations

import re
import string
from functools import lru_cache

from ess_dask.aq.errors import OptionError
from ess_dask.aq.text import SEQUENCES
from ess_dask.dataclass import dataclass

_CLASSES = {
    "n": string.digits,
    "a": string.ascii_lowercase,
    "b": string.ascii_uppercase,
    "c": "".join(map(chr, range(32, 127))),
    "x": "".join(chr(c) for c in range(256) if not 32 <= c < 127),
    "s": " \t\n\r\f\v",
    "g": "{}[]()",
    "q": "'\"`",
}
_VARIABLE = re.compile(
    r"%%(?P<name>\*|[A-Za-z_]\w*)(?P<limits>(?::@[a-z]+|:\[\]?[^\]]*\]|:\d{1,9}(?:-\d{0,9})?)*)"
    r"(?:,(?P<brks>.*?))?%%",
    re.DOTALL | re.ASCII,
)
_LIMIT = re.compile(
    r":@(?P<cls>[a-z]+)|:\[(?P<chars>\]?[^\]]*)\]|:(?P<min>\d{1,9})(?P<range>-(?P<max>\d{0,9}))?"
)


@dataclass(frozen=True, slots=True)
class Extraction:
    """A compiled rule: ``pattern`` must match whole; ``names`` are its variables by group."""

    pattern: re.Pattern[str]
    names: tuple[str, ...]


@lru_cache(maxsize=256)
def compile_extraction(rule: str, *, ncas: bool = False) -> Extraction:
    """Return the compiled ``rule``; raise ``OptionError`` quoting a wrong one."""
    names: list[str] = []
    parts: list[str] = []
    insensitive, at = ncas, 0
    while at < len(rule):
        if match := _VARIABLE.match(rule, at):
            parts.append(_variable(match, names, rule))
            at = match.end()
            continue
        piece, at, toggles = _piece(rule, at)
        if toggles:
            insensitive = not insensitive
        elif piece:
            parts.append(f"(?i:{piece})" if insensitive and piece.isascii() else piece)
    return Extraction(re.compile("".join(parts), re.ASCII | re.DOTALL), tuple(names))


def _piece(rule: str, at: int) -> tuple[str, int, bool]:
    """Return (regular expression, next position, whether case sensitivity toggles)."""
    two = rule[at : at + 2]
    if two == "%*":
        return ".*?", at + 2, False
    if two == "%?":
        return ".", at + 2, False
    if two == "%=":
        return "", at + 2, True
    if two == "%%":
        raise OptionError(f"bad variable at {rule[at:]!r} in extraction rule {rule!r}")
    if rule[at] == "\\" and len(two) == 2:
        char = two[1]
        if char == "x" and re.match("[0-9A-Fa-f]{2}", rule[at + 2 :]):
            return re.escape(chr(int(rule[at + 2 : at + 4], 16))), at + 4, False
        return re.escape("%" if char == "%" else SEQUENCES.get(char, two)), at + 2, False
    return re.escape(rule[at]), at + 1, False


def _variable(match: re.Match[str], names: list[str], rule: str) -> str:
    allowed: set[str] | None = None
    low, high, counted = 0, "", False
    for limit in _LIMIT.finditer(match["limits"]):
        if limit["min"]:
            counted = True
            low, high = int(limit["min"]), limit["max"] or ""
            if high and int(high) < low:
                raise OptionError(f"bad lengths {limit[0]!r} in extraction rule {rule!r}")
        else:
            allowed = (allowed or set()) | _characters(limit, rule)
    breaks = match["brks"] or ""
    limited = allowed is not None or counted or bool(breaks)
    one = _one_of(allowed, breaks)
    body = f"{one}{{{low},{high}}}" + ("" if limited else "?")
    if match["name"] == "*":
        return f"(?:{body})"
    names.append(match["name"])
    return f"({body})"


def _characters(limit: re.Match[str], rule: str) -> set[str]:
    if limit["chars"] is not None:
        return set(limit["chars"])
    unknown = set(limit["cls"]) - set(_CLASSES)
    if unknown:
        raise OptionError(
            f"unknown class {sorted(unknown)[0]!r} in extraction rule {rule!r}",
            hint="the classes are " + " ".join(_CLASSES),
        )
    return set().union(*(_CLASSES[letter] for letter in limit["cls"]))


def _one_of(allowed: set[str] | None, breaks: str) -> str:
    if allowed is None:
        return f"[^{re.escape(breaks)}]" if breaks else "."
    chosen = "".join(re.escape(char) for char in sorted(allowed - set(breaks)))
    return f"[{chosen}]" if chosen else "(?!)"
