"""Look-ups by key: which single partition can hold the rows of a statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ess_dask.query.sql.model import Side
from ess_dask.query.sql.sources import is_column
from ess_dask.query.sql.tree import Node, conjuncts, query_of, query_text, quoted, walk

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.query.sql.room import Binder


def key_values(tree: Node, side: Side, binder: Binder) -> tuple[Any, ...] | None:
    """Return the values of a source's key that every part of a query asks for, None for no such.

    A value that the key's type cannot hold is None: no row has it, whatever partition is asked.
    """
    if not side.key:
        return None
    found: set[tuple[str, ...]] = set()
    for node in walk(tree):
        ref = node.get("from_table")
        if ref and ref["type"] == "BASE_TABLE" and ref["table_name"] == side.name:
            found.add(_constants(node, ref, side))
        elif node.get("type") == "JOIN" and _reads(node, side.name):
            return None
    if len(found) != 1 or () in found:
        return None
    values = []
    for name, text in zip(side.key, found.pop(), strict=True):
        ((_, kind),) = binder.columns(f"select {quoted(name)} from {side.name}")  # noqa: S608
        values.append(binder.value(f"select try_cast({text} as {kind})"))
    return tuple(values)


def _reads(node: Node, name: str) -> bool:
    sides = (node["left"], node["right"])
    return any(ref["type"] == "BASE_TABLE" and ref["table_name"] == name for ref in sides)


def _constants(node: Node, ref: Node, side: Side) -> tuple[str, ...]:
    """Return the SQL of what each key column must equal, () when one of them is free."""
    if ref["column_name_alias"]:
        return ()
    texts = []
    for name in side.key:
        part = (ref["alias"].lower(), name.lower())
        text = next(
            filter(None, (_equal(each, part) for each in conjuncts(node["where_clause"]))), ""
        )
        if not text:
            return ()
        texts.append(text)
    return tuple(texts)


def _equal(condition: Node, part: tuple[str, str]) -> str:
    if condition["type"] != "COMPARE_EQUAL":
        return ""
    left, right = condition["left"], condition["right"]
    if is_column(right, part):
        left, right = right, left
    if not is_column(left, part) or right["class"] != "CONSTANT":
        return ""
    query = query_of("select 1")
    query["select_list"] = [right]
    return f"({query_text(query)})"


def partition_of(at: tuple[Any, ...], schema: pa.Schema, key: tuple[str, ...], count: int) -> int:
    """Return the number of the partition, of ``count``, that holds a key's values."""
    import pyarrow as pa

    from ess_dask.tables.partition import partition_numbers

    columns = {
        name: pa.array([value], schema.field(name).type)
        for name, value in zip(key, at, strict=True)
    }
    return int(partition_numbers(pa.table(columns), key, count)[0])
