"""What stands in the clauses of a SELECT."""

from __future__ import annotations

from ess_dask.clean.functions import functions
from ess_dask.query.sql.tree import Node, expressions


def has_aggregates(node: Node) -> bool:
    """Whether a SELECT puts rows together."""
    if node["group_expressions"] or node["aggregate_handling"] != "STANDARD_HANDLING":
        return True
    parts = [node["select_list"], node["having"], node["qualify"], orders_of(node)]
    return node["having"] is not None or any(is_aggregate(each) for each in expressions(parts))


def is_aggregate(node: Node) -> bool:
    """Whether an expression is a call of an aggregate (a window function is none)."""
    return bool(
        node["class"] == "FUNCTION"
        and not node["is_operator"]
        and node["function_name"].lower() in functions().over_many
    )


def orders_of(node: Node) -> list[Node]:
    """Return the columns of ORDER BY, with their directions."""
    return [
        order
        for modifier in node["modifiers"]
        if modifier["type"] == "ORDER_MODIFIER"
        for order in modifier["orders"]
    ]
