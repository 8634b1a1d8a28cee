"""FROM, taken apart: what of it can be read partition by partition, and what must come together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ess_dask.query.sql.dealing import deal_join
from ess_dask.query.sql.model import RESERVED, Side
from ess_dask.query.sql.spread import (
    KEEP_LEFT,
    KEEP_RIGHT,
    LOCAL,
    Key,
    Spread,
    UnsplitError,
    keys_after,
)
from ess_dask.query.sql.tree import Node, conjuncts, walk

if TYPE_CHECKING:
    from ess_dask.query.sql.planner import Planner


def read_from(ref: Node, planner: Planner, where: Node | None) -> tuple[Node, Spread]:
    """Return a FROM whose tables are partitions and finished tables only, and how it is spread."""
    kind = ref["type"]
    if kind == "BASE_TABLE":
        return _table(ref, planner)
    if kind == "SUBQUERY":
        return _sub_query(ref, planner)
    if kind == "JOIN":
        return _join(ref, planner, where)
    if kind == "PIVOT":
        raise UnsplitError("pivot")
    return ref, LOCAL


def _table(ref: Node, planner: Planner) -> tuple[Node, Spread]:
    name = ref["table_name"]
    if name in planner.ctes:
        return planner.cte(ref)
    if name not in planner.sides:
        return ref, LOCAL
    side = planner.sides[name]
    alias = ref["alias"].lower()
    if ref["column_name_alias"] or not side.key:
        return ref, Spread((name,))
    return ref, Spread((name,), (tuple((alias, column.lower()) for column in side.key),))


def _sub_query(ref: Node, planner: Planner) -> tuple[Node, Spread]:
    query = ref["subquery"]["node"]
    if not planner.binds(query):
        raise UnsplitError("a lateral sub-query")
    query, spread = planner.query(query)
    ref = {**ref, "subquery": {**ref["subquery"], "node": query}}
    if not spread.sources:
        return planner.finished(ref), LOCAL
    alias = ref["alias"].lower()
    keys = () if ref["column_name_alias"] else spread.keys
    named = tuple(tuple((alias, column) for _, column in key) for key in keys)
    return ref, Spread(spread.sources, named)


def _join(ref: Node, planner: Planner, where: Node | None) -> tuple[Node, Spread]:
    kind = ref["join_type"]
    where_left, where_right = reaching(ref, where)
    left, at_left = read_from(ref["left"], planner, where_left)
    right, at_right = read_from(ref["right"], planner, where_right)
    ref = {**ref, "left": left, "right": right}
    if not at_left.sources and not at_right.sources:
        return ref, LOCAL
    if ref["ref_type"] in ("ASOF", "POSITIONAL", "DEPENDENT"):
        return planner.collected(ref, where), LOCAL
    if at_left.sources and at_right.sources:
        if together := _together(ref, at_left, at_right, planner):
            return ref, together
        if dealt := deal_join(ref, (at_left, at_right), planner, where):
            return dealt
        ref, at_left, at_right = _one_side(ref, (at_left, at_right), planner, where)
    if at_left.sources and kind in KEEP_LEFT:
        return ref, at_left
    if at_right.sources and kind in KEEP_RIGHT:
        return ref, at_right
    return planner.collected(ref, where), LOCAL


def reaching(ref: Node, where: Node | None) -> tuple[Node | None, Node | None]:
    """Return what of a WHERE the rows of a join's left and right may be asked before they meet.

    Nothing of a side that is missing where the other has no match, nor where a row that is left out
    would change which others meet.
    """
    kind, way = ref["join_type"], ref["ref_type"]
    left = where if kind in KEEP_LEFT and way != "POSITIONAL" else None
    right = where if kind in KEEP_RIGHT and way not in ("POSITIONAL", "ASOF") else None
    return left, right


def _one_side(
    ref: Node, spreads: tuple[Spread, Spread], planner: Planner, where: Node | None
) -> tuple[Node, Spread, Spread]:
    """Collect the side of a join that may be sent to every worker, the smaller one if both may."""
    kind = ref["join_type"]
    left, right = (planner.size(at) for at in spreads)
    may_right, may_left = kind in KEEP_LEFT, kind in KEEP_RIGHT
    inner = where if kind == "INNER" else None
    if may_right and not (may_left and left < right):
        return {**ref, "right": planner.collected(ref["right"], inner)}, spreads[0], LOCAL
    if may_left:
        return {**ref, "left": planner.collected(ref["left"], inner)}, LOCAL, spreads[1]
    return ref, *spreads


def _together(ref: Node, left: Spread, right: Spread, planner: Planner) -> Spread | None:
    """Return how a join of tables that lie together by their keys is spread; None: they do not."""
    sides = [planner.sides[name] for name in (*left.sources, *right.sources)]
    if not _placed_alike(sides) or ref["ref_type"] == "NATURAL":
        return None
    for one in left.keys:
        for other in right.keys:
            if len(one) == len(other) and _joined(ref, one, other):
                sources = tuple(dict.fromkeys((*left.sources, *right.sources)))
                return Spread(sources, keys_after(ref["join_type"], left, right))
    return None


def _placed_alike(sides: list[Side]) -> bool:
    """Whether equal keys lie in partitions of the same number: also by type, as 1 = '1' in SQL."""
    first = sides[0]
    types = [first.schema.field(name).type for name in first.key]
    return all(
        side.placement
        and side.placement == first.placement
        and [side.schema.field(name).type for name in side.key] == types
        for side in sides
    )


def _joined(ref: Node, one: Key, other: Key) -> bool:
    """Whether a join asks for equal keys, column by column."""
    using = [name.lower() for name in ref["using_columns"]]
    equal = [node for node in conjuncts(ref["condition"]) if node["type"] == "COMPARE_EQUAL"]
    return all(
        (first[1] == second[1] and first[1] in using)
        or any(
            (_means(node["left"], first) and _means(node["right"], second))
            or (_means(node["left"], second) and _means(node["right"], first))
            for node in equal
        )
        for first, second in zip(one, other, strict=True)
    )


def _means(node: Node, wanted: tuple[str, str]) -> bool:
    """Whether an expression is this column of this table, and says so."""
    if node["class"] != "COLUMN_REF" or len(node["column_names"]) != 2:
        return False
    return tuple(name.lower() for name in node["column_names"]) == wanted


def aliases(ref: Node) -> Iterator[str]:
    """Yield the names by which the tables of a FROM are known, lower case."""
    if ref["type"] == "JOIN":
        yield from aliases(ref["left"])
        yield from aliases(ref["right"])
    elif ref["alias"]:
        yield ref["alias"].lower()


def merges_columns(ref: Node) -> bool:
    """Whether a FROM makes one column out of two (using, natural)."""
    return any(
        node.get("using_columns") or node.get("ref_type") == "NATURAL"
        for node in walk(ref, into_queries=False)
    )


def tables_in(node: Node, known: tuple[str, ...] | dict[str, object]) -> tuple[str, ...]:
    """Return which of these tables a tree reads, in the order of ``known``."""
    used = {
        each["table_name"]
        for each in walk(node)
        if each.get("type") == "BASE_TABLE" and each["table_name"].startswith(RESERVED)
    }
    return tuple(name for name in known if name in used)
