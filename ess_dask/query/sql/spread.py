"""How a FROM or a query is spread over partitions, and by which keys its rows lie together."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ess_dask.dataclass import dataclass
from ess_dask.query.sql.tree import Node

Key = tuple[tuple[str, str], ...]
"""Columns (alias of the table, name), lower case: rows that agree in them share a partition."""


class UnsplitError(Exception):
    """The statement, as it is, cannot be split; the message says why."""


_LOST = re.compile(r"\b(BIT|BIGNUM|VARIANT|UNION|TIME WITH TIME ZONE)\b")


def check_types(columns: Iterable[tuple[str, str]]) -> None:
    """Raise ``UnsplitError`` for (name, type) of a value that does not come back from a partition
    as it was: Arrow does not tell how many bits there are, or which zone a time has."""
    if found := next(filter(None, (_LOST.search(kind) for _, kind in columns)), None):
        raise UnsplitError(f"values of type {found[0]}")


@dataclass(frozen=True, slots=True)
class Spread:
    """A FROM or a query that each partition answers for itself; ``keys`` are all that hold."""

    sources: tuple[str, ...]
    keys: tuple[Key, ...] = ()


LOCAL = Spread(())
"""Answered where the parts come together."""

KEEP_LEFT = ("INNER", "LEFT", "SEMI", "ANTI")
KEEP_RIGHT = ("INNER", "RIGHT")


def keys_after(kind: str, left: Spread, right: Spread) -> tuple[Key, ...]:
    """Return the keys that still hold behind a join of tables that lie together."""
    if kind == "INNER":
        return (*left.keys, *right.keys)
    if kind in KEEP_LEFT:
        return left.keys
    return right.keys if kind == "RIGHT" else ()


def is_key(nodes: list[Node], keys: tuple[Key, ...]) -> bool:
    """Whether some key's columns are all among these expressions."""
    return any(all(any(is_column(node, part) for node in nodes) for part in key) for key in keys)


def is_column(node: Node, wanted: tuple[str, str]) -> bool:
    """Whether an expression is this column; the name alone is enough where it is clear."""
    if node["class"] != "COLUMN_REF":
        return False
    names = [name.lower() for name in node["column_names"]]
    return names == [wanted[1]] or names == list(wanted)
