"""``--set path=value``: changes a pipeline's document before it is checked."""

from __future__ import annotations

from collections.abc import Sequence as Items

from ess_dask.documents.yaml import Map, Node, Place, Scalar, Sequence, parse
from ess_dask.errors import UsageError


def apply_overrides(document: Map, overrides: Items[str]) -> Map:
    """Return the document with each ``a.b.0.c=VALUE`` set; the given one is left as it is.

    The value is read as YAML (``load.key=[userID]``), so it gets the type of the field. Sections
    that are missing are made; a key that is not known is told when the document is checked.
    Raises ``UsageError`` when the path leads into something that has no such entry.
    """
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not all(path.split(".")):
            hint = "write it like --set load.mode=replace or --set clean.0.sql='select ...'"
            raise UsageError(f"--set {override}: not of the form PATH=VALUE", hint=hint)
        place = Place(f"--set {path}")
        changed = _with(document, path.split("."), _value(text, place), place)
        assert isinstance(changed, Map)
        document = changed
    return document


def _value(text: str, place: Place) -> Node:
    # An alias has nothing here that it could stand for: a leading * is that of a glob pattern.
    if text.startswith("*"):
        return Scalar(text, place)
    return parse(text.encode(), place)


def _with(node: Node, parts: list[str], value: Node, place: Place) -> Node:
    """Return a copy of ``node`` in which the entry at ``parts`` is ``value``."""
    if not parts:
        return value
    if isinstance(node, Map):
        return _with_key(node, parts, value, place)
    if isinstance(node, Sequence):
        number = _index(parts[0], len(node), place)
        items = list(node)
        items[number] = _with(items[number], parts[1:], value, place)
        return Sequence(node.place, items)
    what = f"{place}: '{parts[0]}' leads into a single value, written at {node.place}"
    raise UsageError(what, hint="set the whole value instead")


def _with_key(node: Map, parts: list[str], value: Node, place: Place) -> Map:
    result = Map(node.place)
    for key, item in node.items():
        result.put(key, item, node.key_places[key])
    inner = node.get(parts[0])
    if inner is None or (isinstance(inner, Scalar) and inner.is_null):
        inner = Map(place)
    result.put(parts[0], _with(inner, parts[1:], value, place), place)
    return result


def _index(text: str, length: int, place: Place) -> int:
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) < length:
        return int(text)
    entries = "1 entry, number 0" if length == 1 else f"{length} entries, numbers 0 to {length - 1}"
    raise UsageError(f"{place}: there is no entry '{text}'", hint=f"the list has {entries}")
