"""A query as DuckDB's own parser sees it: what it may do, and how a row is followed through it.

The tree is DuckDB's serialised one (plain dicts), so that what is checked is what is executed and
there is no second reading of the text. ``carry_label`` adds the hidden column to every SELECT that
reads ``records``, directly or through CTEs, sub-selects and UNION ALL.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from ess_dask.clean import duck
from ess_dask.clean.protocol import ROW_LABEL
from ess_dask.errors import ConfigError

Node = dict[str, Any]

_QUERIES = ("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE")
_SOURCES = ("BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT")
_TABLE_FUNCTIONS = ("unnest", "range", "generate_series", "json_each")
_CLOCKS = ("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp")
_MODIFIERS = {
    "ORDER_MODIFIER": "order by",
    "LIMIT_MODIFIER": "limit/offset",
    "LIMIT_PERCENT_MODIFIER": "limit",
    "DISTINCT_MODIFIER": "distinct",
}
_PER_FILE = "use `per: file`: the query then sees one whole file"


class NotRowByRowError(ConfigError):
    """The query's result depends on more than one row at a time."""


@cache
def _functions() -> tuple[frozenset[str], frozenset[str]]:
    """Names of the functions over many rows, and of those that change from call to call."""
    many = {
        name
        for (name,) in duck.rows(
            "select function_name from duckdb_functions() where function_type = 'aggregate'"
        )
    }
    macros = duck.rows(
        "select function_name, macro_definition from duckdb_functions() "
        "where function_type = 'macro' and macro_definition is not null"
    )
    called = re.compile(r'(\w+)"?\(')
    for _ in range(3):  # macros of macros
        many |= {name for name, text in macros if many & set(called.findall(text))}
    changing = {
        name
        for (name,) in duck.rows(
            "select function_name from duckdb_functions() where stability <> 'CONSISTENT' "
            "and function_name <> 'error'"
        )
    }
    return frozenset(many), frozenset(changing | {"ago"})


def parse(query: str) -> Node:
    """Return the tree of one harmless SELECT; raise ``ConfigError`` with its line and column.

    Harmless: reads ``records`` and its own CTEs only, no files, settings, clocks or random values.
    """
    answer = json.loads(duck.rows("select json_serialize_sql(?)", [query])[0][0])
    if answer["error"]:
        place = int(answer.get("position") or 0)
        message = answer["error_message"]
        if "Only SELECT" in message:
            message = "only a SELECT may clean rows"
        raise _refusal(query, place, message, "write: select ... from records where ...")
    if len(answer["statements"]) != 1:
        count = len(answer["statements"])
        raise _refusal(query, 0, f"one SELECT is needed, not {count} statements", "remove the rest")
    if ROW_LABEL in query.lower():
        raise _refusal(query, 0, f"the name {ROW_LABEL} is reserved", "use another name")
    tree: Node = answer["statements"][0]
    _check_harmless(tree, query)
    return tree


def text_of(tree: Node) -> str:
    """Return the SQL text of a tree."""
    whole = {"error": False, "statements": [tree]}
    return str(duck.rows("select json_deserialize_sql(?)", [json.dumps(whole)])[0][0])


def carry_label(tree: Node, query: str, *, per_batch: bool) -> Node | None:
    """Return a tree whose rows carry the row label, or None when they are no longer input rows.

    With ``per_batch`` that, and all that depends on neighbouring rows, raises ``ConfigError``.
    """
    labelled = copy.deepcopy(tree)
    try:
        carrier = _Carrier(query, per_batch)
        if not carrier.query_node(labelled["node"], frozenset({duck.TABLE})):
            raise NotRowByRowError(
                f"sql: the query does not read {duck.TABLE}", hint=f"add: from {duck.TABLE}"
            )
    except NotRowByRowError:
        if per_batch:
            raise
        return None
    return labelled


def _refusal(query: str, offset: int, message: str, hint: str) -> ConfigError:
    return ConfigError(f"sql{_place(query, offset)}: {message}", hint=hint)


def _place(query: str, offset: int) -> str:
    """`` line L column C`` of a byte offset; nothing for DuckDB's 'unknown'."""
    raw = query.encode()
    if offset > len(raw):
        return ""
    before = raw[:offset].decode(errors="replace")
    return f" line {before.count(chr(10)) + 1} column {len(before) - before.rfind(chr(10))}"


def _walk(value: Any, *, into_queries: bool = True) -> Iterator[Node]:
    """Every dict below ``value``, parents first; optionally not into nested queries."""
    if isinstance(value, list):
        for item in value:
            yield from _walk(item, into_queries=into_queries)
    elif isinstance(value, dict):
        if not into_queries and value.get("type") in _QUERIES:
            return
        yield value
        for item in value.values():
            yield from _walk(item, into_queries=into_queries)


def _check_harmless(tree: Node, query: str) -> None:
    tables = {duck.TABLE}
    for node in _walk(tree):
        for entry in node.get("cte_map", {}).get("map", ()) if "cte_map" in node else ():
            if entry["key"].lower() == duck.TABLE:
                raise _refusal(query, 0, f"a CTE may not be named {duck.TABLE}", "rename it")
            tables.add(entry["key"].lower())
    for node in _walk(tree):
        reason = _harm(node, tables)
        if reason:
            raise _refusal(query, node.get("query_location", 1 << 62), *reason)


def _harm(node: Node, tables: set[str]) -> tuple[str, str] | None:
    if "class" in node:
        return _expression_harm(node)
    if "sample" in node and node.get("type") not in _QUERIES:
        return _source_harm(node, tables)
    return None


def _expression_harm(node: Node) -> tuple[str, str] | None:
    fixed = "a second run must give the same rows: write the value, or use a column"
    if node["class"] == "PARAMETER":
        return "a query takes no parameters", "write the value"
    if node["class"] == "FUNCTION" and node["function_name"].lower() in _functions()[1]:
        return f"{node['function_name']}() changes from run to run", fixed
    if node["class"] == "COLUMN_REF" and node["column_names"][0].lower() in _CLOCKS:
        return f"{node['column_names'][0]} changes from run to run", fixed
    return None


def _source_harm(node: Node, tables: set[str]) -> tuple[str, str] | None:
    only = f"a query reads {duck.TABLE} and its own CTEs, no files and no other tables"
    kind = node["type"]
    if kind == "BASE_TABLE":
        known = node["table_name"].lower() in tables and not node["schema_name"]
        if not known or node["at_clause"]:
            return f"there is no table {node['table_name']!r}", only
    if kind == "TABLE_FUNCTION" and node["function"]["function_name"] not in _TABLE_FUNCTIONS:
        return f"{node['function']['function_name']}() is not allowed", only
    if kind not in _SOURCES:
        return "only a SELECT may clean rows", only
    return None


class _Carrier:
    """Adds the label to a tree in place; raises ``NotRowByRowError`` where that has no meaning."""

    def __init__(self, query: str, per_batch: bool) -> None:
        self._query = query
        self._per_batch = per_batch

    def query_node(self, node: Node, labelled: frozenset[str]) -> bool:
        """Add the label to a query that reads a labelled table; return whether it does."""
        for entry in node["cte_map"]["map"]:
            name = frozenset({entry["key"].lower()})
            inner = self.query_node(entry["value"]["query_node"], labelled)
            labelled = labelled | name if inner else labelled - name
        if node["type"] == "SELECT_NODE":
            return self._select(node, labelled)
        if node["type"] == "SET_OPERATION_NODE":
            return self._union(node, labelled)
        if _reads(node, labelled):
            raise self._refused(node, "a recursive query over records")
        return False

    def _union(self, node: Node, labelled: frozenset[str]) -> bool:
        branches = node.get("children") or [node["left"], node["right"]]
        carried = [self.query_node(branch, labelled) for branch in branches]
        if not any(carried):
            return False
        if not node["setop_all"] or node["setop_type"] not in ("UNION", "UNION_BY_NAME"):
            name = node["setop_type"].lower().replace("_", " ")
            raise self._refused(node, f"{name} without all" if "union" in name else name)
        if not all(carried):
            raise self._refused(node, "a union with rows that are not records")
        self._check_modifiers(node)
        return True

    def _select(self, node: Node, labelled: frozenset[str]) -> bool:
        names = self._source(node["from_table"], labelled)
        expressions = list(_walk({**node, "cte_map": None, "type": ""}, into_queries=False))
        for expression in expressions:
            if expression.get("class") == "SUBQUERY" and _reads(expression, labelled):
                raise self._refused(expression, "a sub-query over records")
        if not names:
            return False
        self._check_modifiers(node)
        self._check_grouping(node)
        for expression in expressions:
            self._check_expression(expression, names)
            if expression.get("class") == "STAR" and (
                not expression["relation_name"] or expression["relation_name"].lower() in names
            ):
                self._hide_label(expression)
        node["select_list"].append(_column(ROW_LABEL))
        return True

    def _source(self, ref: Node, labelled: frozenset[str]) -> frozenset[str]:
        """Names by which the labelled table of a FROM clause is known there; none: no label."""
        kind = ref["type"]
        name = frozenset({str(ref.get("alias") or ref.get("table_name") or "").lower()})
        if ref.get("sample"):
            self._only_per_file(ref, "sample")
        if kind == "BASE_TABLE":
            return name if ref["table_name"].lower() in labelled else frozenset()
        if kind == "SUBQUERY":
            return name if self.query_node(ref["subquery"]["node"], labelled) else frozenset()
        if kind == "JOIN":
            return self._join(ref, labelled)
        if _reads(ref, labelled):
            raise self._refused(ref, kind.lower().replace("_", " "))
        return frozenset()

    def _join(self, ref: Node, labelled: frozenset[str]) -> frozenset[str]:
        left = self._source(ref["left"], labelled)
        right = self._source(ref["right"], labelled)
        if left and right:
            raise self._refused(ref, "a join of records with itself")
        allowed = ("INNER", "LEFT", "SEMI", "ANTI") if left else ("INNER", "RIGHT")
        if (left or right) and (ref["ref_type"] == "POSITIONAL" or ref["join_type"] not in allowed):
            raise self._refused(ref, "a join that keeps rows which are not records")
        return left or right

    def _check_modifiers(self, node: Node) -> None:
        for modifier in node["modifiers"]:
            word = _MODIFIERS.get(modifier["type"], "this modifier")
            if modifier["type"] == "DISTINCT_MODIFIER":
                raise self._refused(node, word)
            self._only_per_file(node, word)

    def _check_grouping(self, node: Node) -> None:
        grouped = node["group_expressions"] or node["aggregate_handling"] != "STANDARD_HANDLING"
        for word, found in (("group by", grouped), ("having", node["having"])):
            if found:
                raise self._refused(node, word)
        for word in ("qualify", "sample"):
            if node[word]:
                self._only_per_file(node, word)

    def _check_expression(self, node: Node, names: frozenset[str]) -> None:
        kind = node.get("class")
        if kind == "WINDOW":
            self._only_per_file(node, f"the window function {node['function_name']}()")
        if kind == "FUNCTION" and node["function_name"].lower() in _functions()[0]:
            raise self._refused(node, f"the aggregate {node['function_name']}()")
        if kind == "COLUMN_REF" and [x.lower() for x in node["column_names"]] in [
            [n] for n in names
        ]:
            raise self._refused(node, f"{node['column_names'][0]!r} as the name of a whole row")

    def _hide_label(self, star: Node) -> None:
        pattern = (star["expr"] or {}).get("literal") if star["columns"] else None
        if pattern is None:
            star["exclude_list"].append(ROW_LABEL)
        elif _matches(pattern.get("text", "")):
            # DuckDB's printer loses an EXCLUDE beside a pattern.
            place = _place(self._query, star["query_location"])
            raise ConfigError(
                f"sql{place}: columns({pattern.get('text')!r}) also matches hidden columns",
                hint="use columns(*), a narrower pattern, or columns(lambda c: ...)",
            )

    def _only_per_file(self, node: Node, what: str) -> None:
        if self._per_batch:
            raise self._refused(node, what)

    def _refused(self, node: Node, what: str) -> NotRowByRowError:
        place = _place(self._query, node.get("query_location", 1 << 62))
        return NotRowByRowError(
            f"sql{place}: {what} needs more than one row at a time", hint=_PER_FILE
        )


def _reads(value: Any, tables: frozenset[str]) -> bool:
    return any(
        node.get("type") == "BASE_TABLE" and node["table_name"].lower() in tables
        for node in _walk(value)
    )


def _column(name: str) -> Node:
    return {"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": "", "column_names": [name]}


def _matches(pattern: str) -> bool:
    try:
        return re.search(pattern, ROW_LABEL) is not None
    except re.error:
        return True  # RE2 knows patterns that Python does not: be strict
