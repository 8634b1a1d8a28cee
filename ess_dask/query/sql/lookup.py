"""Look-ups by key: which single partition can hold the rows of a statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ess_dask.query.sql.model import Side
from ess_dask.query.sql.spread import is_column
from ess_dask.query.sql.tree import Node, conjuncts, quoted, walk

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.query.sql.room import Binder


Literal = tuple[str, str]
"""Kind and text of a constant, as DuckDB's tree has them."""

_NUMBERS = ("INTEGER", "NUMERIC", "BOOLEAN")


def key_values(tree: Node, side: Side, binder: Binder) -> tuple[Any, ...] | None:
    """Return the values of a source's key that every part of a query asks for, None for no such.

    A value that the key's type cannot hold is None: no row has it, whatever partition is asked.
    """
    if not side.key:
        return None
    found: set[tuple[Literal, ...]] = set()
    for node in walk(tree):
        ref = node.get("from_table")
        if ref and ref["type"] == "BASE_TABLE" and ref["table_name"] == side.name:
            found.add(_constants(node, ref, side))
        elif node.get("type") == "JOIN" and _reads(node, side.name):
            return None
    if len(found) != 1 or () in found:
        return None
    try:
        return tuple(
            _held(name, literal, side, binder)
            for name, literal in zip(side.key, found.pop(), strict=True)
        )
    except (OverflowError, ValueError):  # a date that Python has no value for: infinity, year 10000
        return None


def _held(name: str, literal: Literal, side: Side, binder: Binder) -> Any:
    """Return a constant as a column holds it."""
    kind, text = literal
    if kind == "STRING" and _is_text(name, side):
        return text
    value = "'" + text.replace("'", "''") + "'" if kind == "STRING" else text
    ((_, held),) = binder.columns(f"select {quoted(name)} from {side.name}")  # noqa: S608
    return binder.value(f"select try_cast({value} as {held})")


def _is_text(name: str, side: Side) -> bool:
    from pyarrow import types

    kind = side.schema.field(name).type
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _is_exact(name: str, literal: Literal, side: Side) -> bool:
    """Whether a constant equals one value of a column's type at most."""
    from pyarrow import types

    kind, text = literal
    if _is_text(name, side):
        # A text that is compared with a number is read as one: '05' equals 5, too.
        return kind == "STRING"
    if types.is_floating(side.schema.field(name).type):
        return kind in ("STRING", *_NUMBERS)
    # 1e18 is a float, and whole numbers beside it are rounded to the same one.
    is_float = kind == "NUMERIC" and ("e" in text.lower() or len(text) > 38)
    return kind in ("STRING", *_NUMBERS) and not is_float


def _reads(node: Node, name: str) -> bool:
    sides = (node["left"], node["right"])
    return any(ref["type"] == "BASE_TABLE" and ref["table_name"] == name for ref in sides)


def _constants(node: Node, ref: Node, side: Side) -> tuple[Literal, ...]:
    """Return what each key column must equal, () when one of them is free."""
    if ref["column_name_alias"]:
        return ()
    constants = []
    for name in side.key:
        part = (ref["alias"].lower(), name.lower())
        equal = (_equal(each, part) for each in conjuncts(node["where_clause"]))
        literal = next((each for each in equal if each and _is_exact(name, each, side)), None)
        if literal is None:
            return ()
        constants.append(literal)
    return tuple(constants)


def _equal(condition: Node, part: tuple[str, str]) -> Literal | None:
    if condition["type"] != "COMPARE_EQUAL":
        return None
    left, right = condition["left"], condition["right"]
    if is_column(right, part):
        left, right = right, left
    if not is_column(left, part) or right["class"] != "CONSTANT":
        return None
    return right["literal"]["kind"], right["literal"]["text"]


def partition_of(at: tuple[Any, ...], schema: pa.Schema, key: tuple[str, ...], count: int) -> int:
    """Return the number of the partition, of ``count``, that holds a key's values."""
    import pyarrow as pa

    from ess_dask.tables.partition import partition_numbers

    columns = {
        name: pa.array([value], schema.field(name).type)
        for name, value in zip(key, at, strict=True)
    }
    return int(partition_numbers(pa.table(columns), key, count)[0])
