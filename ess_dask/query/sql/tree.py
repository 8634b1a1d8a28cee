"""Pieces of a statement's tree: DuckDB's own (plain dicts), made, copied and compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from ess_dask.clean.sqltree import QUERIES, Node, text_of, tree_of, walk

__all__ = ["Node", "walk"]


def query_text(node: Node) -> str:
    """Return the SQL of a query node (what a statement's ``node`` is)."""
    return text_of({"node": node, "named_param_map": []})


TABLES_IN = ("from_table", "left", "right", "source")
"""Where a node has a table: a SELECT, a join, a pivot."""


@lru_cache(4096)
def _read(text: str) -> str:
    return json.dumps(tree_of(text)["node"])


def query_of(text: str) -> Node:
    """Return the query node of our own SQL text; nobody else has it."""
    node: Node = json.loads(_read(text))
    return node


def expression_of(text: str) -> Node:
    """Return the node of our own SQL expression."""
    node: Node = query_of(f"select {text}")["select_list"][0]
    return node


def source_of(text: str) -> Node:
    """Return the node of our own FROM clause."""
    node: Node = query_of(f"select 1 from {text}")["from_table"]  # noqa: S608 - our own text
    return node


def copied(value: Any) -> Any:
    """Return a deep copy of a tree."""
    if isinstance(value, dict):
        return {name: copied(item) for name, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def column(name: str, alias: str = "") -> Node:
    """Return a column reference."""
    made = {"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": alias, "column_names": [name]}
    return {**made, "query_location": 1 << 62, "query_location_length": 0}


def named(node: Node, alias: str) -> Node:
    """Return a copy of an expression under another name."""
    return {**copied(node), "alias": alias}


def renamed(node: Node, name: str) -> None:
    """Let a base table node mean the table ``name``; it keeps the alias by which it is known."""
    node["alias"] = node["alias"] or node["table_name"]
    node["table_name"], node["schema_name"], node["catalog_name"] = name, "", ""
    node["qualified_name"] = {"path": [name]}


def same(first: Any, second: Any) -> bool:
    """Whether two expressions are written alike, but for case, places and names given to them."""
    return canonical(first) == canonical(second)


def canonical(value: Any) -> str:
    """Return a text that is equal for expressions that are written alike."""
    return json.dumps(_canonical(value), sort_keys=True)


_UNSEEN = ("query_location", "query_location_length", "alias")


def _canonical(value: Any) -> Any:
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {name: _canonical(item) for name, item in value.items() if name not in _UNSEEN}
    if value.get("class") == "COLUMN_REF":
        made["column_names"] = [name.lower() for name in value["column_names"]]
    return made


def is_query(value: Any) -> bool:
    """Whether a value is a nested query."""
    return isinstance(value, dict) and value.get("type") in QUERIES


def conjuncts(condition: Node | None) -> Iterator[Node]:
    """Yield the parts of a condition that all must hold."""
    if condition is None:
        return
    if condition.get("type") == "CONJUNCTION_AND":
        for child in condition["children"]:
            yield from conjuncts(child)
    else:
        yield condition


def all_of(parts: Iterable[Node]) -> Node | None:
    """Return the condition that holds where all parts hold."""
    children = [copied(part) for part in parts]
    if len(children) < 2:
        return children[0] if children else None
    both = {"class": "CONJUNCTION", "type": "CONJUNCTION_AND", "alias": "", "children": children}
    return {**both, "query_location": 1 << 62, "query_location_length": 0}


def replaced(value: Any, change: Callable[[Node], Node | None]) -> Any:
    """Return a copy in which ``change`` gave another node, from the outside in; not in sub-queries.

    What ``change`` returns is not looked into; None goes on below.
    """
    if isinstance(value, list):
        return [replaced(item, change) for item in value]
    if not isinstance(value, dict) or is_query(value):
        return copied(value)
    if "class" in value and (other := change(value)) is not None:
        return other
    return {name: replaced(item, change) for name, item in value.items()}


def expressions(value: Any) -> Iterator[Node]:
    """Yield every expression below ``value``, not those of nested queries."""
    for node in walk(value, into_queries=False):
        if "class" in node:
            yield node


def sub_queries(value: Any) -> list[Node]:
    """Return the outermost sub-query expressions below ``value``."""
    return [node for node in expressions(value) if node["class"] == "SUBQUERY"]


def words(value: Any) -> Iterator[str]:
    """Yield every text of a tree: names of columns stand in several kinds of node."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from words(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from words(item)
