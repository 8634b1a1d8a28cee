"""Joins of two large tables: both are dealt anew by what they are joined on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.query.sql.spread import KEEP_LEFT, KEEP_RIGHT, Key, Spread, is_column, keys_after
from ess_dask.query.sql.tree import Node, conjuncts

if TYPE_CHECKING:
    from ess_dask.query.sql.planner import Planner

MOST = 16
"""Partitions of tables that are dealt anew: each costs a task for each of the old ones."""


def deal_join(
    ref: Node, spreads: tuple[Spread, Spread], planner: Planner, where: Node | None
) -> tuple[Node, Spread] | None:
    """Return a join whose sides are dealt by its columns, None when it is not to be or cannot be.

    It is not to be while one side is small enough to be sent to every worker.
    """
    if not _is_worth_it(ref, spreads, planner):
        return None
    pairs = _pairs(ref)
    sides = [planner.sides[name] for at in spreads for name in at.sources]
    if not pairs or not all(side.placement for side in sides):
        return None
    where = where if ref["join_type"] == "INNER" else None
    count = min(MOST, max(side.partitions for side in sides))
    left_key, right_key = (tuple(names) for names in zip(*pairs, strict=True))
    before = len(planner.stages)
    left = planner.dealt(ref["left"], spreads[0], where, (left_key, count))
    right = planner.dealt(ref["right"], spreads[1], where, (right_key, count))
    if left is None or right is None or not planner.same_types(left, left_key, right, right_key):
        del planner.stages[before:]
        return None
    keys: list[Key] = []
    for side, names in ((left, left_key), (right, right_key)):
        keys.append(tuple((side["alias"].lower(), name) for name in names))
    one, other = (
        Spread((left["table_name"],), (keys[0],)),
        Spread((right["table_name"],), (keys[1],)),
    )
    sources = (*one.sources, *other.sources)
    after = keys_after(ref["join_type"], one, other)
    return {**ref, "left": left, "right": right}, Spread(sources, after)


def _is_worth_it(ref: Node, spreads: tuple[Spread, Spread], planner: Planner) -> bool:
    if ref["ref_type"] != "REGULAR" or any(
        side["type"] not in ("BASE_TABLE", "SUBQUERY") or side["column_name_alias"]
        for side in (ref["left"], ref["right"])
    ):
        return False
    left, right = (planner.size(at) for at in spreads)
    may_send = [right] if ref["join_type"] in KEEP_LEFT else []
    may_send += [left] if ref["join_type"] in KEEP_RIGHT else []
    return not may_send or min(may_send) > planner.side_limit


def _pairs(ref: Node) -> list[tuple[str, str]]:
    """Return the columns of left and right that a join asks to be equal, lower case."""
    if ref["using_columns"]:
        return [(name.lower(), name.lower()) for name in ref["using_columns"]]
    left, right = ref["left"]["alias"].lower(), ref["right"]["alias"].lower()
    pairs = []
    for node in conjuncts(ref["condition"]):
        if node["type"] != "COMPARE_EQUAL":
            continue
        for one, other in ((node["left"], node["right"]), (node["right"], node["left"])):
            names = _of(one, left), _of(other, right)
            if all(names):
                pairs.append(names)
    return pairs


def _of(node: Node, alias: str) -> str:
    """Return the column of this table that an expression is, and says so; '' for anything else."""
    if node["class"] != "COLUMN_REF" or len(node["column_names"]) != 2:
        return ""
    name = str(node["column_names"][1]).lower()
    return name if is_column(node, (alias, name)) else ""
