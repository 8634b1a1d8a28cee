"""How a row is followed through a query: the hidden label goes in, and comes out again.

``carry_label`` adds the label to every SELECT that reads ``records``, directly or through CTEs,
sub-selects and UNION ALL, and refuses what has no meaning row by row.
"""

from __future__ import annotations

import copy
import re
from typing import Any

from ess_dask.clean import duck
from ess_dask.clean.functions import functions
from ess_dask.clean.protocol import ROW_LABEL
from ess_dask.clean.sqltree import Node, place_of, walk
from ess_dask.errors import ConfigError

_MODIFIERS = {
    "ORDER_MODIFIER": "order by",
    "LIMIT_MODIFIER": "limit/offset",
    "LIMIT_PERCENT_MODIFIER": "limit",
    "DISTINCT_MODIFIER": "distinct",
}
_PER_FILE = "use `per: file`: the query then sees one whole file"


class NotRowByRowError(ConfigError):
    """The query's result depends on more than one row at a time."""


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
        expressions = list(walk({**node, "cte_map": None, "type": ""}, into_queries=False))
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
        if kind == "FUNCTION" and node["function_name"].lower() in functions().over_many:
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
            place = place_of(self._query, star["query_location"])
            raise ConfigError(
                f"sql{place}: columns({pattern.get('text')!r}) also matches hidden columns",
                hint="use columns(*), a narrower pattern, or columns(lambda c: ...)",
            )

    def _only_per_file(self, node: Node, what: str) -> None:
        if self._per_batch:
            raise self._refused(node, what)

    def _refused(self, node: Node, what: str) -> NotRowByRowError:
        place = place_of(self._query, node.get("query_location", 1 << 62))
        return NotRowByRowError(
            f"sql{place}: {what} needs more than one row at a time", hint=_PER_FILE
        )


def _reads(value: Any, tables: frozenset[str]) -> bool:
    return any(
        node.get("type") == "BASE_TABLE" and node["table_name"].lower() in tables
        for node in walk(value)
    )


def _column(name: str) -> Node:
    return {"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": "", "column_names": [name]}


def _matches(pattern: str) -> bool:
    try:
        return re.search(pattern, ROW_LABEL) is not None
    except re.error:
        return True  # RE2 knows patterns that Python does not: be strict
