"""The names after FROM that are Essentia's: ``category:start:end`` and ``database:table``.

They are quoted before DuckDB reads the statement; places in messages are those of the text as it
was written.
"""

from __future__ import annotations

import re

from ess_dask.clean.sqltree import place_of
from ess_dask.dataclass import dataclass

_DAY = r"\d{4}(?:-\d\d(?:-\d\d(?:[ T]\d\d(?::\d\d(?::\d\d)?)?)?)?)?(?![\d-])"
_BOUND = rf"""(?:\*|"[^"]*"|'[^']*'|{_DAY}|[\w.-]+)"""
_NAME = r"[A-Za-z_][\w-]*"
_SOURCE = rf"(?P<source>{_NAME}:(?!:)(?:{_BOUND}:{_BOUND}|{_NAME}))"
_TAG = r"(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?"
_TEXT = r"""(?<!\w)e'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'"""
_DOLLARS = rf"(?<!\w)\$(?P<tag>{_TAG})\$.*?\$(?P=tag)\$"
_SKIPPED = rf"""{_TEXT}|{_DOLLARS}|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/"""
_TOKENS = re.compile(
    rf"(?P<skip>{_SKIPPED})|(?P<lead>(?<!\w)(?:from|join)\s+(?:\(\s*)*){_SOURCE}",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
_MORE = re.compile(
    rf"(?P<lead>\s*(?:(?:as\s+)?{_NAME}\s*)?,\s*){_SOURCE}", re.IGNORECASE | re.ASCII
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A statement: ``text`` for DuckDB, ``written`` by the user. ``quotes`` are the bytes of
    ``text`` that were added, ``names`` what stands in them."""

    text: str
    written: str
    quotes: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    def place(self, offset: int) -> str:
        """`` line L column C`` of a byte of ``text``; nothing for DuckDB's 'unknown'."""
        if offset > len(self.text.encode()):
            return ""
        return place_of(self.written, offset - sum(1 for at in self.quotes if at < offset))


def spoken(text: str) -> Spoken:
    """Return a statement with its sources quoted."""
    made: list[str] = []
    quotes: list[int] = []
    names: list[str] = []
    size = at = 0

    def add(piece: str) -> None:
        nonlocal size
        made.append(piece)
        size += len(piece.encode())

    while at < len(text):
        more = _MORE.match(text, at) if quotes and made and made[-1] == '"' else None
        match = more or _TOKENS.search(text, at)
        if match is None:
            break
        if match.groupdict().get("skip"):
            add(text[at : match.end()])
        else:
            add(text[at : match.start("source")])
            source = match["source"]
            inside = source.replace('"', "'")
            names.append(inside)
            quotes.append(size)
            add('"')
            add(inside)
            quotes.append(size)
            add('"')
        at = match.end()
    add(text[at:])
    return Spoken("".join(made), text, tuple(quotes), tuple(names))
