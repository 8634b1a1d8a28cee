"""Essentia's column specification: ``S:userID I,trm:articleID X X:skipped "f:price"``.

Letters are case insensitive: S string, F float64, L uint64, LS int64, I uint32, IS int32, IP
address, X skipped (``X[S]``: skipped, with a type nobody needs). Attributes stay with the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError
from ess_dask.records.spec import Column, DataType

LETTERS = {
    "S": "string",
    "F": "float64",
    "L": "uint64",
    "LS": "int64",
    "I": "uint32",
    "IS": "int32",
    "IP": "ip",
    "X": "skip",
}
MAX_COLUMNS = 2048
MAX_NAME = 31

_TOKEN = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
_ITEM = re.compile(
    r"(?P<letter>[A-Za-z]+)(?:\[[A-Za-z]*\])?(?P<attributes>(?:,[^:,]*)*)(?::(?P<name>.*))?",
    re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class SpecItem:
    """One column as written: the upper-case letter, its attributes in order, the name or ''."""

    letter: str
    attributes: tuple[str, ...]
    name: str


def parse_items(text: str) -> tuple[SpecItem, ...]:
    """Return the columns of ``text`` with attributes; ``ConfigError`` names the bad one."""
    rest = _TOKEN.sub("", text).strip()
    if rest:
        raise ConfigError(f"unbalanced quote in column spec {text!r}", hint="close the quote")
    items = tuple(_item(part) for token in _TOKEN.findall(text) for part in _unquote(token).split())
    if not items:
        raise ConfigError("empty column spec", hint='write one such as "S:userID I:articleID"')
    if len(items) > MAX_COLUMNS:
        raise ConfigError(
            f"{len(items)} columns in one column spec, {MAX_COLUMNS} are possible",
            hint="a pipeline (ess init), or a query of 'FILE.csv', takes more",
        )
    _refuse_duplicates(items)
    return items


def parse_columnspec(text: str) -> tuple[Column, ...]:
    """Return the columns of ``text``, skipped ones with type ``skip`` (their name may be '')."""
    return tuple(Column(item.name, DataType(LETTERS[item.letter])) for item in parse_items(text))


def _unquote(token: str) -> str:
    return token.replace('"', "").replace("'", "")


def _item(text: str) -> SpecItem:
    match = _ITEM.fullmatch(text)
    letter = match["letter"].upper() if match else ""
    if match is None or letter not in LETTERS:
        raise ConfigError(
            f"bad column {text!r} in column spec",
            hint="write TYPE[,attribute..]:name with TYPE one of " + " ".join(LETTERS),
        )
    name = match["name"] or ""
    if (name or letter != "X") and (not _NAME.fullmatch(name) or len(name) > MAX_NAME):
        raise ConfigError(
            f"bad column name {name!r} in column spec item {text!r}",
            hint=f"1 to {MAX_NAME} letters, digits or _, not starting with a digit",
        )
    return SpecItem(letter, tuple(match["attributes"].split(",")[1:]), name)


def _refuse_duplicates(items: tuple[SpecItem, ...]) -> None:
    seen: set[str] = set()
    for item in items:
        folded = item.name.casefold()
        if item.letter == "X" or not folded:
            continue
        if folded in seen:
            raise ConfigError(
                f"column {item.name!r} stands twice in the column spec",
                hint="names are case insensitive; rename one or skip it with X",
            )
        seen.add(folded)


def spec_names(titles: Sequence[str]) -> list[str]:
    """Return column names for titles: letters, digits and _, none twice, at most 31 long."""
    names: list[str] = []
    seen: set[str] = set()
    for number, title in enumerate(titles, 1):
        name = re.sub(r"[^A-Za-z0-9_]", "_", title)[:MAX_NAME] or f"Col_{number}"
        name = f"_{name}"[:MAX_NAME] if name[0].isdigit() else name
        if name.casefold() in seen:
            tail = f"_{number}"
            name = name[: MAX_NAME - len(tail)] + tail
        seen.add(name.casefold())
        names.append(name)
    return names
