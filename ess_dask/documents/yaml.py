"""YAML with positions: every value knows its ``file:line:column`` and is kept as written.

Scalars stay text (``no``, ``010``, ``12:30:45``); the field that takes a value decides what it
means (``documents.fields``). Built from parser events, so nothing in a file can construct an
object, and depth, aliases and size are bounded while reading. Every fault is a ``ConfigError``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 20_000
MAX_ALIASES = 100

_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./*-]*")
_WORDS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_CORE_TAGS = re.compile(r"tag:yaml\.org,2002:(str|int|float|bool|null|seq|map)$")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written: ``file:line:column`` (from 1), or only a source's name."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value as written. Equal when the texts are equal.

    ``written`` is the text before variables were filled in: the one that may be shown.
    """

    text: str
    place: Place = field(default=Place("value"), compare=False)
    plain: bool = field(default=False, compare=False, repr=False)
    written: str = field(default="", compare=False, repr=False)

    def __repr__(self) -> str:
        return f"Scalar({self.shown!r})"

    @property
    def shown(self) -> str:
        """The text for messages: never what an environment variable held."""
        return self.written or self.text

    @property
    def is_null(self) -> bool:
        """Whether nothing was written (or ``null``, ``~``)."""
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


class Map(dict[str, Any]):
    """A mapping of key to node; ``place`` is its own, ``key_places`` those of its keys."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.key_places: dict[str, Place] = {}

    def put(self, key: str, value: Node, place: Place) -> None:
        """Set one key and remember where it was written."""
        self[key] = value
        self.key_places[key] = place


class Sequence(list[Any]):
    """A list of nodes with its place."""

    def __init__(self, place: Place, items: list[Node]) -> None:
        super().__init__(items)
        self.place = place


Node = Scalar | Map | Sequence


def fault(place: Place, what: str, hint: str = "") -> ConfigError:
    """Return the error ``place: what`` with its hint."""
    return ConfigError(f"{place}: {what}", hint=hint)


def load_file(path: str | Path) -> Map:
    """Read one YAML file whose top level is a mapping (an empty file is an empty mapping).

    Raises ``ConfigError`` naming ``file:line:column`` for anything wrong in it.
    """
    return load(read_bytes(path), str(path))


def read_bytes(path: str | Path) -> bytes:
    """Return a file's bytes, at most one more than ``load`` takes; ``ConfigError`` if it cannot."""
    try:
        with Path(path).open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None


def load(data: bytes, name: str) -> Map:
    """Read YAML bytes (at most 1 MiB); ``name`` stands for the file in messages."""
    node = parse(data, Place(name, 1, 1))
    if isinstance(node, Scalar) and node.is_null:
        return Map(node.place)
    if not isinstance(node, Map):
        raise fault(node.place, "the file must hold `key: value` lines", "see `ess init`")
    return node


def parse(data: bytes, start: Place) -> Node:
    """Read any one YAML document; a ``start`` without a line makes it the place of every node."""
    text = _decode(data, start)
    return _Builder(text, start).document()


def _decode(data: bytes, start: Place) -> str:
    if len(data) > MAX_BYTES:
        raise fault(start, f"larger than {MAX_BYTES} bytes", "is this the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _at(start, data[: error.start].decode("utf-8-sig", errors="replace"))
        what = f"not UTF-8 (byte 0x{data[error.start]:02x})"
        raise fault(place, what, "save the file as UTF-8") from None


def _at(start: Place, before: str) -> Place:
    line = before.count("\n") + 1
    return (
        replace(start, line=line, column=len(before) - before.rfind("\n")) if start.line else start
    )


class _Builder:
    """Builds nodes from parser events."""

    def __init__(self, text: str, start: Place) -> None:
        self.text = text
        self.start = start
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.nodes = 0
        self.aliases = 0

    def document(self) -> Node:
        """Return the only document's node."""
        from ruamel.yaml.error import MarkedYAMLError
        from ruamel.yaml.reader import ReaderError

        try:
            return self._document(self._events())
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise fault(self._place(mark), *_syntax(error)) from None
        except ReaderError as error:
            what = f"character U+{ord(self.text[error.position]):04X} is not allowed in YAML"
            raise fault(_at(self.start, self.text[: error.position]), what) from None

    def _events(self) -> Iterator[Any]:
        from ruamel.yaml import YAML

        yield from YAML(typ="safe", pure=True).parse(self.text)

    def _document(self, events: Iterator[Any]) -> Node:
        node: Node = Scalar("", self.start, plain=True)
        documents = 0
        for event in events:
            kind = _kind(event)
            if kind == "DocumentStart":
                documents += 1
                if documents > 1:
                    what = "a second document begins here"
                    raise fault(self._place(event.start_mark), what, "keep one document a file")
            elif kind not in ("StreamStart", "StreamEnd", "DocumentEnd"):
                node = self._node(event, events, 0)
        return node

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        place = self._place(event.start_mark)
        if _kind(event) == "Alias":
            return self._alias(event.anchor, place)
        self._count(1, place)
        if depth > MAX_DEPTH:
            raise fault(place, f"nested deeper than {MAX_DEPTH} levels")
        _refuse_tag(event, place)
        before = self.nodes
        node = self._content(event, events, place, depth)
        if event.anchor:
            self.anchors[event.anchor] = node, self.nodes - before + 1
        return node

    def _content(self, event: Any, events: Iterator[Any], place: Place, depth: int) -> Node:
        if _kind(event) == "MappingStart":
            return self._mapping(events, place, depth)
        if _kind(event) == "SequenceStart":
            items: list[Node] = []
            while _kind(event := next(events)) != "SequenceEnd":
                items.append(self._node(event, events, depth + 1))
            return Sequence(place, items)
        return Scalar(event.value, place, plain=event.style is None)

    def _mapping(self, events: Iterator[Any], place: Place, depth: int) -> Map:
        result = Map(place)
        while _kind(event := next(events)) != "MappingEnd":
            where = self._place(event.start_mark)
            if _kind(event) != "Scalar":
                raise fault(where, "a key must be plain text", "put the key in quotes")
            self._count(1, where)
            _refuse_tag(event, where)
            key = event.value
            if key in result:
                what = f"duplicate key '{key}'"
                raise fault(where, what, f"it stands first at {result.key_places[key]}; keep one")
            value = self._node(next(events), events, depth + 1)
            if isinstance(value, Scalar) and value.plain and not value.text:
                # The parser places what is not written at the next thing that is.
                value = replace(value, place=where)
            result.put(key, value, where)
        return result

    def _alias(self, name: str, place: Place) -> Node:
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise fault(place, f"more than {MAX_ALIASES} aliases", "write the values out")
        if name not in self.anchors:
            raise fault(place, f"alias '*{name}' has no complete anchor before it")
        node, size = self.anchors[name]
        self._count(size, place)
        return node

    def _count(self, nodes: int, place: Place) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            what = f"more than {MAX_NODES} values once aliases are filled in"
            raise fault(place, what, "write fewer aliases of aliases, or a smaller file")

    def _place(self, mark: Any) -> Place:
        if mark is None or not self.start.line:
            return self.start
        return replace(self.start, line=mark.line + 1, column=mark.column + 1)


def _kind(event: Any) -> str:
    return type(event).__name__.removesuffix("Event")


def _refuse_tag(event: Any, place: Place) -> None:
    tag = str(event.tag) if event.tag else ""
    if not tag or tag == "!" or _CORE_TAGS.match(tag):
        return
    shown = tag.replace("tag:yaml.org,2002:", "!!")
    raise fault(place, f"the tag {shown} is not allowed", "write the plain value, without a tag")


def _syntax(error: Any) -> tuple[str, str]:
    what = str(error.problem or error.context)
    if "'\\t'" in what:
        return "a tab stands where YAML allows only blanks", "indent with blanks"
    if error.context and str(error.context).startswith("while "):
        what = f"{what} {error.context}"
    if "mapping values are not allowed" in what:
        return what, "put a value that holds ': ' in quotes"
    if "cannot start any token" in what:
        return what, "put the value in quotes"
    return what, ""


def quote(text: str, *, is_key: bool = False) -> str:
    """Return ``text`` as YAML on one line that reads back as the same text.

    In a value ``${`` and ``$$`` are escaped, so that ``variables.expand`` gives the text again.
    """
    if not is_key:
        text = re.sub(r"\$(?=[${])", "$$", text)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(_escape(each) for each in text) + '"'


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\U{ord(character):08x}"
