"""GROUP BY and aggregates: partial results of each partition, and the SELECT that merges them.

The merge is the user's own SELECT over the partial results: each grouping expression and each
aggregate in it is replaced by what stands for it. HAVING, ORDER BY, LIMIT, grouping sets and
windows over groups stay as they were written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.query.sql.aggregates import KIND, Extra, Parts
from ess_dask.query.sql.clauses import is_aggregate, orders_of
from ess_dask.query.sql.model import ROW, Stage
from ess_dask.query.sql.sources import aliases, merges_columns
from ess_dask.query.sql.spread import Spread, UnsplitError
from ess_dask.query.sql.tree import (
    Node,
    all_of,
    canonical,
    column,
    copied,
    expression_of,
    expressions,
    named,
    query_of,
    query_text,
    replaced,
    source_of,
)

if TYPE_CHECKING:
    from ess_dask.query.sql.planner import Planner


def resolved(node: Node, planner: Planner) -> Node:
    """Return a SELECT that groups by expressions: no places, no names from its select list, no ALL.

    Raises ``UnsplitError`` when that cannot be said.
    """
    node = copied(node)
    given = {item["alias"].lower(): item for item in node["select_list"] if item["alias"]}
    if node["aggregate_handling"] == "FORCE_AGGREGATES":
        groups = [item for item in node["select_list"] if not _has_aggregate(item)]
        node["aggregate_handling"] = "STANDARD_HANDLING"
        node["group_sets"] = [list(range(len(groups)))] if groups else []
        node["group_expressions"] = [named(each, "") for each in groups]
    node["group_expressions"] = [
        named(_pointed(each, node["select_list"], given, node, planner), "")
        for each in node["group_expressions"]
    ]
    if node["where_clause"]:
        node["where_clause"] = replaced(
            node["where_clause"],
            lambda each: _meant(each, given, node, planner) if _is_name(each) else None,
        )
    return node


def group(node: Node, spread: Spread, planner: Planner) -> Node:
    """Add the stage that groups; return the query that reads its table."""
    shown = [node["select_list"], node["having"], node["qualify"]]
    if any(each["class"] == "STAR" for each in expressions(shown)):
        raise UnsplitError("a star beside aggregates")
    _check_names(node, planner)
    base = {**copied(node), "modifiers": [], "having": None, "qualify": None, "select_list": []}
    base |= {"group_expressions": [], "group_sets": []}
    parts = Parts(lambda each: _type_of(each, base, planner))
    keys = node["group_expressions"]
    merge = _merging(node, keys, parts, planner)
    mapped = _mapping(base, keys, parts)
    merge["from_table"] = source_of(f"({planner.partials(mapped)}) as __ess_q")
    stage = Stage("", spread.sources, map=mapped, merge=query_text(merge))
    return planner.add(stage, _note(keys, parts))


def _note(keys: list[Node], parts: Parts) -> str:
    ways = ["partial aggregates"] if parts.merged else []
    ways += ["distinct values"] if any(extra.distinct for extra in parts.extras) else []
    ways += ["values"] if any(not extra.distinct for extra in parts.extras) else []
    what = " and ".join(ways) or "different groups"
    return f"{what} by group" if keys else what


def _has_aggregate(node: Node) -> bool:
    return any(is_aggregate(each) for each in expressions(node))


def _is_name(node: Node) -> bool:
    return node["class"] == "COLUMN_REF" and len(node["column_names"]) == 1


def _pointed(
    node: Node, items: list[Node], given: dict[str, Node], block: Node, planner: Planner
) -> Node:
    """Return what a grouping expression means: a place or a name may point into the select list."""
    if node["class"] == "CONSTANT" and node["literal"]["kind"] == "INTEGER":
        place = int(node["literal"]["text"]) - 1
        if not 0 <= place < len(items) or any(item["class"] == "STAR" for item in items):
            raise UnsplitError("group by a place")
        return items[place]
    return (_meant(node, given, block, planner) if _is_name(node) else None) or node


def _meant(node: Node, given: dict[str, Node], block: Node, planner: Planner) -> Node | None:
    """Return the expression behind a name of the select list, unless a column has that name."""
    item = given.get(node["column_names"][0].lower())
    if item is None or _is_column_there(node, block, planner):
        return None
    return named(item, "")


def _is_column_there(node: Node, block: Node, planner: Planner) -> bool:
    trial = {**block, "select_list": [named(node, "")], "where_clause": None, "having": None}
    trial |= {"modifiers": [], "qualify": None, "group_expressions": [], "group_sets": []}
    return planner.binds(trial)


def _check_names(node: Node, planner: Planner) -> None:
    """A name that is both a column and given anew to something else may mean either."""
    named_items = [item for item in node["select_list"] if not _is_name(item)]
    orders = [order for order in orders_of(node) if not _is_name(order["expression"])]
    parts = [named_items, node["having"], node["qualify"], orders]
    used = {each["column_names"][0].lower() for each in expressions(parts) if _is_name(each)}
    for item in node["select_list"]:
        name = item["alias"].lower()
        if not name or (_is_name(item) and item["column_names"][0].lower() == name):
            continue
        if name in used and _is_column_there(column(name), node, planner):
            raise UnsplitError(f"the name {name!r}, which is also a column's")


def _type_of(node: Node, base: Node, planner: Planner) -> str:
    return planner.columns({**base, "select_list": [named(node, "x")]})[0][1]


def _merging(node: Node, keys: list[Node], parts: Parts, planner: Planner) -> Node:
    """Return the user's SELECT with columns of partials in place of what the partitions did."""
    known = {_spelled(key, node): f"__ess_k{at}" for at, key in enumerate(keys)}

    def change(each: Node) -> Node | None:
        if name := known.get(_spelled(each, node)):
            return column(name, each["alias"])
        if is_aggregate(each):
            return parts.take(each)
        if each["class"] == "SUBQUERY" and not planner.binds(each["subquery"]["node"]):
            raise UnsplitError("a correlated sub-query beside aggregates")
        return None

    names = [name for name, _ in planner.columns(node)]
    merge: Node = copied(node)
    merge["where_clause"] = None
    merge["select_list"] = [
        {**replaced(item, change), "alias": name}
        for item, name in zip(node["select_list"], names, strict=True)
    ]
    given = {name.lower() for name in names}
    merge["modifiers"] = _modifiers(node, change, given)
    merge["having"], merge["qualify"] = replaced([node["having"], node["qualify"]], change)
    merge["group_expressions"] = [column(f"__ess_k{at}") for at in range(len(keys))]
    return merge


def _modifiers(node: Node, change: object, given: set[str]) -> list[Node]:
    """Return order by and the rest; ties, and all groups without an order, in input order."""
    made: list[Node] = []
    first = {"type": "ORDER_DEFAULT", "null_order": "ORDER_DEFAULT"}
    last = {**first, "expression": expression_of(f"min({ROW})")}
    kinds = [modifier["type"] for modifier in node["modifiers"]]
    # Order by all leaves no ties that could be seen.
    every = any(order["expression"]["class"] == "STAR" for order in orders_of(node))
    free = "DISTINCT_MODIFIER" not in kinds and bool(node["group_expressions"]) and not every
    for modifier in node["modifiers"]:
        modifier = copied(modifier)
        for order in modifier.get("orders", ()):
            expression = order["expression"]
            # A name alone is that of the select list first.
            if not (_is_name(expression) and expression["column_names"][0].lower() in given):
                order["expression"] = replaced(expression, change)  # type: ignore[arg-type]
        if "orders" in modifier and free:
            modifier["orders"].append(last)
        made.append(modifier)
    if free and "ORDER_MODIFIER" not in kinds:
        made.insert(0, {"type": "ORDER_MODIFIER", "orders": [last]})
    return made


def _spelled(node: Node, block: Node) -> str:
    """Return a text that is equal for expressions that mean the same: ``t.a`` is ``a``."""
    if merges_columns(block["from_table"]):
        return canonical(node)
    tables = list(aliases(block["from_table"]))
    if len(tables) != 1:
        return canonical(node)

    def bare(each: Node) -> Node | None:
        if each["class"] != "COLUMN_REF" or len(each["column_names"]) < 2:
            return None
        first, *rest = each["column_names"]
        return {**each, "column_names": rest} if first.lower() == tables[0] else None

    return canonical(replaced(node, bare))


def _mapping(base: Node, keys: list[Node], parts: Parts) -> str:
    """Return the query of a partition: its groups' partial results, and what travels unmerged."""
    queries = []
    covered = any(extra.where is None for extra in parts.extras)
    if parts.merged or not covered:
        queries.append(_grouped(base, keys, parts.merged))
    queries += [_travelling(base, keys, extra) for extra in parts.extras]
    texts = [query_text(query) for query in queries]
    return (
        texts[0] if len(texts) == 1 else " union all by name ".join(f"({each})" for each in texts)
    )


def _grouped(base: Node, keys: list[Node], merged: list[tuple[str, Node]]) -> Node:
    query: Node = copied(base)
    query["select_list"] = [
        *(named(key, f"__ess_k{at}") for at, key in enumerate(keys)),
        *(named(aggregate, name) for name, aggregate in merged),
        named(expression_of("0"), KIND),
    ]
    query["group_expressions"] = [named(key, "") for key in keys]
    query["group_sets"] = [list(range(len(keys)))] if keys else []
    if not merged and not keys:
        query["modifiers"] = query_of("select 1 limit 0")["modifiers"]
    return query


def _travelling(base: Node, keys: list[Node], extra: Extra) -> Node:
    query: Node = copied(base)
    query["select_list"] = [
        *(named(key, f"__ess_k{at}") for at, key in enumerate(keys)),
        *(named(node, name) for name, node in extra.columns),
        named(expression_of(str(extra.kind)), KIND),
    ]
    if extra.where is not None:
        query["where_clause"] = all_of([*filter(None, [query["where_clause"]]), extra.where])
    if extra.distinct:
        query["modifiers"] = [{"type": "DISTINCT_MODIFIER", "distinct_on_targets": []}]
    return query
