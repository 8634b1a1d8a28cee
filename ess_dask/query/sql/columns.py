"""Which columns of a table a statement may look at."""

from __future__ import annotations

from typing import Any

from ess_dask.query.sql.sources import aliases
from ess_dask.query.sql.tree import Node, walk, words


def needed(tree: Node, columns: list[str], table: str) -> tuple[str, ...]:
    """Return the columns of a table that a tree may look at; none where it only counts rows."""
    names = {word.lower() for word in words(tree)}
    known = {alias for node in walk(tree) for alias in _known_as(node, table)}
    if any(_takes_whole_rows(node, known) for node in walk(_without_order_by_all(tree))):
        return tuple(columns)
    return tuple(name for name in columns if name.lower() in names)


def _without_order_by_all(value: Any) -> Any:
    """Return a tree without ORDER BY ALL, whose star means columns that are there already."""
    if isinstance(value, list):
        return [_without_order_by_all(item) for item in value if not _orders_all(item)]
    if not isinstance(value, dict):
        return value
    return {name: _without_order_by_all(item) for name, item in value.items()}


def _orders_all(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and "null_order" in item
        and item["expression"]["class"] == "STAR"
        and item["expression"]["expr"] is None
    )


def _known_as(node: Node, table: str) -> list[str]:
    if node.get("type") == "BASE_TABLE" and node["table_name"] == table:
        return list(aliases(node)) or [table]
    return []


def _takes_whole_rows(node: Node, known: set[str]) -> bool:
    """Whether a node may mean columns without naming them; ``t`` alone is a row of table ``t``."""
    kind = node.get("class")
    return (
        kind in ("STAR", "POSITIONAL_REFERENCE")
        or node.get("type") == "PIVOT"
        or node.get("ref_type") == "NATURAL"
        or (node.get("type") == "BASE_TABLE" and bool(node.get("column_name_alias")))
        or (
            kind == "COLUMN_REF"
            and len(node["column_names"]) == 1
            and node["column_names"][0].lower() in known
        )
    )
