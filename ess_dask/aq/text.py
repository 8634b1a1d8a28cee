"""String constants, escape sequences and the words of an expression."""

from __future__ import annotations

import re

from ess_dask.aq.errors import OptionError
from ess_dask.dataclass import dataclass

SEQUENCES = {
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "0": "\0",
    "\\": "\\",
    '"': '"',
    "\n": "",
}
"""What follows a backslash, and what the two stand for; ``\\xHH`` besides."""

_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_CONSTANT = re.compile(r'"((?:[^"\\]|\\.)*)"|' + r"'([^']*)'", re.DOTALL)
_WORD = re.compile(
    r"""\s*(?:
      (?P<string>["'])
    | (?P<ip>\d{1,3}(?:\.\d{1,3}){3}(?![\w.])
        | (?=[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]+(?:(?:\.\d{1,3}){3})?(?!\w))
    | (?P<number>0[xX][0-9A-Fa-f]+ | (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<name>\$?[A-Za-z_]\w*(?:\.[A-Za-z_*+]\w*)?)
    | (?P<op>&&|\|\||!~=|!&=|!=|!&|~==|~>=|~<=|~>|~<|==|>=|<=|&=|[-+*/%&|^!<>(),=])
    | (?P<other>[?;:@\#~.])
    )""",
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an expression: its kind, its text (a constant's decoded), where it starts.

    ``other`` words mean nothing but within a list of attributes.
    """

    kind: str
    text: str
    at: int


WRAPPED_DIGITS = 64
"""Decimal digits that decide what an integer is in 64 bits: 10**64 is a multiple of 2**64."""


def whole_number(text: str) -> int | None:
    """Return the number that up to 18 digits write; None for any other text."""
    return int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else None


def unescape(text: str, extra: str = "") -> str:
    """Decode backslash sequences; those that mean nothing stay as they are.

    ``extra`` are characters that a backslash also makes literal.
    """

    def decode(match: re.Match[str]) -> str:
        body = match[1]
        if len(body) == 3:
            return chr(int(body[1:], 16))
        if body in extra:
            return body
        return SEQUENCES.get(body, match[0])

    return _ESCAPE.sub(decode, text) if "\\" in text else text


def string_constant(text: str, at: int = 0) -> tuple[str, int]:
    """Return the value of the constant at ``at`` and where it ends; neighbours are joined."""
    parts = []
    while match := _CONSTANT.match(text, at):
        parts.append(unescape(match[1]) if match[1] is not None else match[2])
        at = match.end()
    if not parts:
        raise OptionError(
            f"unbalanced quote in {text!r}",
            hint='close the string; inside ".." write \\" for a quote',
        )
    return "".join(parts), at


def words(text: str) -> tuple[Word, ...]:
    """Split an expression into words, an ``end`` word last; raise ``OptionError`` otherwise."""
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _WORD.match(text, at)
        if match is None:
            raise OptionError(
                f"cannot read {text[at:].strip()[:20]!r} in expression {text!r}",
                hint="strings are quoted, names are letters, digits and _",
            )
        kind = str(match.lastgroup)
        start = match.start(kind)
        if kind == "string":
            value, at = string_constant(text, start)
            found.append(Word("string", value, start))
        else:
            at = match.end()
            found.append(Word(kind, match[kind], start))
    found.append(Word("end", "", end))
    return tuple(found)
