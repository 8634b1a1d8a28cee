"""Which statements are Essentia's: these are answered as the original does, all others are SQL."""

from __future__ import annotations

import re

from ess_dask.errors import UsageError
from ess_dask.query.sql.check import parse
from ess_dask.query.sql.names import spoken
from ess_dask.query.sql.tree import Node, expressions

_SIMPLE = ("COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION")
_COUNTS = ("count", "count_star")
_LIKE = re.compile(r"[!~*]{2,}|like_escape|not_like_escape|ilike_escape")


def is_beyond(text: str) -> bool:
    """Whether a statement is SQL that the dialect has no form for.

    False for what DuckDB cannot read either: the dialect then says what is wrong.
    """
    try:
        tree = parse(spoken(text))
    except UsageError:
        return False
    return not _has_its_form(tree["node"])


def _has_its_form(node: Node) -> bool:
    """Whether a query is columns or counts of one range, with where, group or order, limit."""
    if node["type"] != "SELECT_NODE" or node["cte_map"]["map"]:
        return False
    if node["having"] or node["qualify"] or node["sample"]:
        return False
    return (
        _is_range(node["from_table"])
        and all(_is_item(item) for item in node["select_list"])
        and all(each["class"] == "COLUMN_REF" for each in node["group_expressions"])
        and all(_is_simple(each) for each in expressions(node["where_clause"]))
        and all(_is_modifier(modifier) for modifier in node["modifiers"])
    )


def _is_range(ref: Node) -> bool:
    """Whether FROM is ``category:start:end``, or nothing that SQL knows better."""
    if ref["type"] != "BASE_TABLE" or ref["alias"]:
        return False
    name = ref["table_name"]
    return not ref["schema_name"] and "." not in name.split(":")[0] and name.count(":") != 1


def _is_item(item: Node) -> bool:
    if item["alias"]:
        return False
    if item["class"] == "FUNCTION":
        return item["function_name"].lower() in _COUNTS and not item["filter"]
    if item["class"] == "STAR":
        return not any(item[part] for part in ("exclude_list", "replace_list", "relation_name"))
    return bool(item["class"] == "COLUMN_REF")


def _is_simple(node: Node) -> bool:
    if node["class"] == "FUNCTION":
        return not _LIKE.fullmatch(node["function_name"])
    return node["class"] in _SIMPLE or node["type"] == "OPERATOR_NOT"


def _is_modifier(modifier: Node) -> bool:
    if modifier["type"] == "ORDER_MODIFIER":
        return all(
            order["expression"]["class"] == "COLUMN_REF" and order["null_order"] == "ORDER_DEFAULT"
            for order in modifier["orders"]
        )
    if modifier["type"] != "LIMIT_MODIFIER" or modifier["offset"]:
        return False
    return bool(modifier["limit_type"] == "ROW_COUNT")
