"""Column specifications: ``TYPE[,attribute..]:name[:key]``, and the separators between them."""

from __future__ import annotations

import re

from ess_dask.aq.errors import OptionError
from ess_dask.aq.kinds import Kind
from ess_dask.dataclass import dataclass

MAX_COLUMNS = 2048
MAX_NAME = 31
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SPEC = re.compile(
    r"(?P<type>[A-Za-z]+(?:\[[A-Za-z]*\])?)(?P<rest>(?:,[^:]*)?(?:@\d+)?)(?::(?P<name>.*))?",
    re.DOTALL,
)
_KIND_NAMES = {kind.value: kind for kind in Kind}
_FLAGS = frozenset(("esc", "clf", "hex", "trm", "lo", "up"))
_KEY_FLAGS = frozenset(
    (
        "key",
        "cmb",
        "pkey",
        "tkey",
        "hash",
        "+key",
        "+first",
        "+last",
        "+add",
        "+bor",
        "+min",
        "+max",
        "+nozero",
    )
)


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column as written. ``kind`` is None for a skipped one (X), whose name may be ''.

    ``length`` is its exact size in bytes (0: none given), ``key`` the path of a key extraction
    (None: none given), ``position`` its 1-based place (0: the next).
    """

    kind: Kind | None
    name: str
    flags: frozenset[str] = frozenset()
    length: int = 0
    key: str | None = None
    position: int = 0

    @property
    def folded(self) -> str:
        """The name as it is compared."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Separator:
    """Literal bytes between two columns of a ``div`` input."""

    text: str


SpecItem = ColumnSpec | Separator


def check_name(name: str, where: str) -> str:
    """Return ``name`` if it may name a column; raise ``OptionError`` otherwise."""
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise OptionError(
            f"bad column name {name!r} in {where!r}",
            hint=f"1 to {MAX_NAME} letters, digits or _, not starting with a digit",
        )
    return name


def is_name(text: str) -> bool:
    """Whether ``text`` could be the name of a column."""
    return bool(_NAME.fullmatch(text))


def looks_like_column(text: str) -> bool:
    """Whether ``text`` reads as a column specification rather than as a file."""
    match = _SPEC.fullmatch(text)
    if match is None:
        return False
    letter = _letter(match["type"])
    if match["name"] is None:
        return letter == "X"
    return letter == "X" or letter in _KIND_NAMES


def _letter(text: str) -> str:
    # A skipped column may tell its type, XI or X[I].
    letter = text.partition("[")[0].upper()
    return "X" if letter[:1] == "X" and letter[1:] in ("", *_KIND_NAMES) else letter


def parse_column(text: str, *, keyed: bool = False, nameless: bool = False) -> ColumnSpec:
    """Return the column that ``text`` specifies.

    ``keyed``: the name is followed by ``:key`` (JSON, XML); ``nameless``: the name may be ''.
    """
    match = _SPEC.fullmatch(text)
    letter = _letter(match["type"]) if match else ""
    if match is None or (letter != "X" and letter not in _KIND_NAMES):
        raise OptionError(
            f"bad column specification {text!r}",
            hint="write TYPE[,attribute..]:name with TYPE one of S F L LS I IS IP X",
        )
    name, key = match["name"] or "", None
    if keyed:
        name, colon, path = name.partition(":")
        key = path if colon else name
    flags, length, position = _attributes(match["rest"], text)
    kind = _inner_kind(match["type"]) if letter == "X" else _KIND_NAMES[letter]
    if letter == "X":
        name = name if is_name(name) else ""
        return ColumnSpec(None, name, flags | _typed(kind), length, key, position)
    if name or not nameless:
        check_name(name, text)
    return ColumnSpec(kind, name, flags, length, key, position)


def _inner_kind(text: str) -> Kind | None:
    inner = text[1:].strip("[]").upper()
    return _KIND_NAMES.get(inner)


def _typed(kind: Kind | None) -> frozenset[str]:
    return frozenset((f"type={kind.value}",)) if kind else frozenset()


def _attributes(text: str, where: str) -> tuple[frozenset[str], int, int]:
    flags, length, position = set(), 0, 0
    at = re.search(r"@(\d{1,9})$", text)
    if at:
        position, text = int(at[1]), text[: at.start()]
    for attribute in filter(None, text.split(",")):
        folded = attribute.lower()
        if size := re.fullmatch(r"n=(\d{1,9})", folded):
            length = int(size[1])
        elif folded in _FLAGS or folded in _KEY_FLAGS:
            flags.add(folded)
        else:
            raise OptionError(
                f"unknown attribute {attribute!r} in column specification {where!r}",
                hint="the attributes are n=LEN " + " ".join(sorted(_FLAGS)),
            )
    return frozenset(flags), length, position


def parse_columns(texts: list[str], *, keyed: bool = False) -> tuple[SpecItem, ...]:
    """Return the columns and separators of a ``-d``; names must be unique."""
    items: list[SpecItem] = []
    seen: set[str] = set()
    for text in texts:
        if text[:4].lower() == "sep:":
            items.append(Separator(text[4:]))
            continue
        column = parse_column(text, keyed=keyed)
        if column.kind and column.folded in seen:
            raise OptionError(f"column {column.name!r} stands twice", hint="names ignore case")
        seen.add(column.folded)
        items.append(column)
    count = sum(isinstance(item, ColumnSpec) and item.kind is not None for item in items)
    if count > MAX_COLUMNS:
        raise OptionError(f"{count} columns are too many", hint=f"at most {MAX_COLUMNS}")
    return tuple(items)
