"""A query as DuckDB's own parser sees it, and what a query may do.

The tree is DuckDB's serialised one (plain dicts), so that what is checked is what is executed and
there is no second reading of the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from ess_dask.clean import duck
from ess_dask.clean.functions import CLOCKS, functions
from ess_dask.clean.protocol import ROW_LABEL
from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError

Node = dict[str, Any]

QUERIES = ("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE")
_SOURCES = ("BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT")
_TABLE_FUNCTIONS = ("unnest", "range", "generate_series", "json_each")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a statement may do: read ``table`` and its own CTEs. ``repeatable``: no clocks and no
    random values either. ``may`` says in a message what it is for."""

    table: str = duck.TABLE
    may: str = "clean rows"
    repeatable: bool = True


STEP = Rules()
"""Of a cleaning step."""


def parse(query: str, rules: Rules = STEP) -> Node:
    """Return the tree of one harmless SELECT; raise ``ConfigError`` with its line and column.

    Harmless: does what the rules allow, and touches no files and no settings.
    """
    answer = json.loads(duck.rows("select json_serialize_sql(?)", [query])[0][0])
    if answer["error"]:
        place = int(answer.get("position") or 0)
        message = answer["error_message"]
        if "Only SELECT" in message:
            message = f"only a SELECT may {rules.may}"
        form = f"write: select ... from {rules.table} where ..."  # noqa: S608 - a hint
        raise _refusal(query, place, message, form)
    if len(answer["statements"]) != 1:
        count = len(answer["statements"])
        hint = "remove the rest" if count else f"write: select ... from {rules.table}"  # noqa: S608
        raise _refusal(query, 0, f"one SELECT is needed, not {count} statements", hint)
    if ROW_LABEL in query.lower():
        raise _refusal(query, 0, f"the name {ROW_LABEL} is reserved", "use another name")
    tree: Node = answer["statements"][0]
    _check_harmless(tree, query, rules)
    return tree


def tree_of(query: str) -> Node:
    """Return the tree of a query that ``parse`` let pass, or that was made from such a tree."""
    answer = json.loads(duck.rows("select json_serialize_sql(?)", [query])[0][0])
    tree: Node = answer["statements"][0]
    return tree


def text_of(tree: Node) -> str:
    """Return the SQL text of a tree."""
    return _printed(json.dumps({"error": False, "statements": [tree]}))


@lru_cache(256)
def _printed(tree: str) -> str:
    return str(duck.rows("select json_deserialize_sql(?)", [tree])[0][0])


def _refusal(query: str, offset: int, message: str, hint: str) -> ConfigError:
    return ConfigError(f"sql{place_of(query, offset)}: {message}", hint=hint)


def place_of(query: str, offset: int) -> str:
    """`` line L column C`` of a byte offset; nothing for DuckDB's 'unknown'."""
    raw = query.encode()
    if offset > len(raw):
        return ""
    before = raw[:offset].decode(errors="replace")
    return f" line {before.count(chr(10)) + 1} column {len(before) - before.rfind(chr(10))}"


def walk(value: Any, *, into_queries: bool = True) -> Iterator[Node]:
    """Every dict below ``value``, parents first; optionally not into nested queries."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, list):
            todo += [each for each in reversed(item) if isinstance(each, dict | list)]
        elif isinstance(item, dict) and (into_queries or item.get("type") not in QUERIES):
            yield item
            todo += [each for each in reversed(item.values()) if isinstance(each, dict | list)]


def _check_harmless(tree: Node, query: str, rules: Rules) -> None:
    tables = {rules.table}
    for node in walk(tree):
        for entry in node.get("cte_map", {}).get("map", ()) if "cte_map" in node else ():
            if entry["key"].lower() == rules.table:
                raise _refusal(query, 0, f"a CTE may not be named {rules.table}", "rename it")
            tables.add(entry["key"].lower())
    for node in walk(tree):
        reason = _harm(node, tables, rules)
        if reason:
            raise _refusal(query, node.get("query_location", 1 << 62), *reason)


def _harm(node: Node, tables: set[str], rules: Rules) -> tuple[str, str] | None:
    if "class" in node:
        return _expression_harm(node, rules)
    sample = node.get("sample")
    if sample and rules.repeatable and not sample["repeatable"]:
        return "a sample changes from run to run", "name its seed: tablesample 10% repeatable (1)"
    if "sample" in node and node.get("type") not in QUERIES:
        return _source_harm(node, tables, rules)
    return None


def _expression_harm(node: Node, rules: Rules) -> tuple[str, str] | None:
    fixed = "a second run must give the same rows: write the value, or use a column"
    if node["class"] == "PARAMETER":
        return "a query takes no parameters", "write the value"
    if not rules.repeatable:
        return None
    if node["class"] == "FUNCTION" and _changes(node):
        return f"{node['function_name']}() changes from run to run", fixed
    if node["class"] == "COLUMN_REF" and node["column_names"][0].lower() in CLOCKS:
        return f"{node['column_names'][0]} changes from run to run", fixed
    return None


def _changes(call: Node) -> bool:
    name = call["function_name"].lower()
    # Age without a second time is that up to today.
    return name in functions().changing or (name == "age" and len(call["arguments"]) == 1)


def _source_harm(node: Node, tables: set[str], rules: Rules) -> tuple[str, str] | None:
    only = f"a query reads {rules.table} and its own CTEs, no files and no other tables"
    kind = node["type"]
    if kind == "BASE_TABLE":
        known = node["table_name"].lower() in tables and not node["schema_name"]
        if not known or node["at_clause"]:
            return f"there is no table {node['table_name']!r}", only
    if (
        kind == "TABLE_FUNCTION"
        and node["function"]["function_name"].lower() not in _TABLE_FUNCTIONS
    ):
        return f"{node['function']['function_name']}() is not allowed", only
    if kind not in _SOURCES:
        return f"only a SELECT may {rules.may}", only
    return None
