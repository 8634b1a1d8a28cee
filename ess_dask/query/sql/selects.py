"""One SELECT: filters and expressions stay with the partitions; order, limit, distinct and groups
are begun there and finished where the parts come together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.query.sql.clauses import has_aggregates, orders_of
from ess_dask.query.sql.groups import group, resolved
from ess_dask.query.sql.model import ROW, Stage
from ess_dask.query.sql.sources import read_from
from ess_dask.query.sql.spread import LOCAL, Key, Spread, UnsplitError, is_column, is_key
from ess_dask.query.sql.tree import Node, copied, expressions, named, query_text, quoted

if TYPE_CHECKING:
    from ess_dask.query.sql.planner import Planner

DISTINCT: Node = {"type": "DISTINCT_MODIFIER", "distinct_on_targets": []}

_DIRECTIONS = {"ASCENDING": " asc", "DESCENDING": " desc"}
_NULLS = {"NULLS FIRST": " nulls first", "NULLS LAST": " nulls last"}


def select(node: Node, planner: Planner) -> tuple[Node, Spread]:
    """Return what is left of a SELECT, and how it is spread."""
    import duckdb

    ref, spread = read_from(node["from_table"], planner, node["where_clause"])
    node = planner.settled({**node, "from_table": ref})
    if not spread.sources:
        return node, LOCAL
    aggregates = has_aggregates(node)
    try:
        return _split(node, spread, planner, aggregates=aggregates)
    except (UnsplitError, duckdb.Error) as error:
        why = str(error).splitlines()[0]
    planner.collected_notes.append(f"because of {why}:")
    ref = planner.collected(node["from_table"], node["where_clause"])
    return {**node, "from_table": ref}, LOCAL


def _split(
    node: Node, spread: Spread, planner: Planner, *, aggregates: bool
) -> tuple[Node, Spread]:
    windows = [each for each in expressions({**node, "type": ""}) if each["class"] == "WINDOW"]
    inside = all(is_key(each["partitions"], spread.keys) for each in windows)
    if aggregates:
        node = resolved(node, planner)
        if not (inside and _by_key(node, spread)):
            return group(node, spread, planner), LOCAL
    if not inside:
        raise UnsplitError("a window that is not partitioned by the key")
    if node["modifiers"]:
        return _ordered(node, spread, planner), LOCAL
    names = [name.lower() for name, _ in planner.columns(node)]
    # Of two columns of one name the second is called otherwise outside.
    clear = len(set(names)) == len(names)
    return node, Spread(spread.sources, _keys_out(node, spread.keys) if clear else ())


def is_plain(query: Node) -> bool:
    """Whether a query is a SELECT whose rows need no order, number or neighbours."""
    return bool(
        query["type"] == "SELECT_NODE" and not query["modifiers"] and not query["cte_map"]["map"]
    )


def _by_key(node: Node, spread: Spread) -> bool:
    """Whether every group lies in one partition."""
    whole = [list(range(len(node["group_expressions"])))]
    return node["group_sets"] == whole and is_key(node["group_expressions"], spread.keys)


def _keys_out(node: Node, keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """Return the keys that are still there among a SELECT's columns, by their new names."""
    found = []
    for key in keys:
        names = [_name_of(node["select_list"], part) for part in key]
        if all(names):
            found.append(tuple(("", name) for name in names))
    return tuple(found)


def _name_of(items: list[Node], part: tuple[str, str]) -> str:
    for item in items:
        if is_column(item, part):
            return str(item["alias"] or part[1]).lower()
        if item["class"] == "STAR" and _is_bare(item):
            return part[1]
    return ""


def _is_bare(star: Node) -> bool:
    """Whether a star is ``*`` alone."""
    parts = ("relation_name", "exclude_list", "replace_list", "rename_list", "expr", "columns")
    return not any(star.get(part) for part in (*parts, "qualified_exclude_list"))


# --- Order, limit, distinct


@dataclass(frozen=True, slots=True)
class Bounds:
    """The modifiers of a SELECT, read."""

    distinct: bool
    orders: tuple[Node, ...]
    limit: int | None
    offset: int

    @property
    def first(self) -> int | None:
        """Rows of a partition that can be among the answer's."""
        return None if self.limit is None else self.limit + self.offset


def bounds_of(node: Node) -> Bounds:
    """Return the modifiers; ``UnsplitError`` for a limit that is not a number."""
    kinds = {modifier["type"]: modifier for modifier in node["modifiers"]}
    limit = kinds.get("LIMIT_MODIFIER", {})
    distinct = kinds.get("DISTINCT_MODIFIER", {})
    if distinct.get("distinct_on_targets"):
        raise UnsplitError("distinct on")
    if limit.get("limit_type", "ROW_COUNT") != "ROW_COUNT":
        raise UnsplitError("a limit in percent")
    return Bounds(
        bool(distinct),
        tuple(orders_of(node)),
        _number(limit.get("limit")),
        _number(limit.get("offset")) or 0,
    )


def _number(node: Node | None) -> int | None:
    if node is None:
        return None
    literal = node.get("literal", {})
    if node["class"] != "CONSTANT" or literal.get("kind") != "INTEGER":
        raise UnsplitError("a limit that is worked out")
    return int(literal["text"])


def direction(order: Node) -> str:
    """Return the words behind a column of ORDER BY."""
    return _DIRECTIONS.get(order["type"], "") + _NULLS.get(order["null_order"], "")


def _ordered(node: Node, spread: Spread, planner: Planner) -> Node:
    """Each partition gives its first rows, the merge the first of all."""
    bounds = bounds_of(node)
    plain = {**copied(node), "modifiers": [DISTINCT] if bounds.distinct else []}
    names = [name for name, _ in planner.columns(plain)]
    hidden, order = _order_columns(plain, bounds, names)
    plain["select_list"] += [named(each, f"__ess_o{at}") for at, each in enumerate(hidden)]
    columns = [f"c{at}" for at in range(len(names))] + [f"o{at}" for at in range(len(hidden))]
    columns = [f"__ess_{name}" for name in columns]
    inner = f"({query_text(plain)}) as q({', '.join(columns)})"
    mapped = f"select * from {inner}"  # noqa: S608 - printed from a checked tree
    if bounds.first is not None and order:
        place = "row_number() over () as __ess_place"
        ranked = f"(select *, {place} from {inner})"  # noqa: S608
        ordered = f"{', '.join(order)}, __ess_place limit {bounds.first}"
        mapped = f"select {', '.join(columns)} from {ranked} order by {ordered}"  # noqa: S608
    elif bounds.first is not None:
        mapped = f"{mapped} limit {bounds.first}"
    merge = _merge(bounds, names, order, f"({planner.partials(mapped)})")
    stage = Stage("", spread.sources, map=mapped, merge=merge)
    if not order and not bounds.distinct and bounds.first is not None:
        stage = Stage("", spread.sources, map=mapped, merge=stage.merge, limit=bounds.first)
    return planner.add(stage, _note(bounds))


def _merge(bounds: Bounds, names: list[str], order: list[str], source: str) -> str:
    columns = [f"__ess_c{at}" for at in range(len(names))]
    shown = ", ".join(
        f"{each} as {quoted(name)}" for each, name in zip(columns, names, strict=True)
    )
    row = ROW
    if bounds.distinct:
        listed = ", ".join(columns)
        row = "__ess_first"
        source = f"(select {listed}, min({ROW}) as {row} from {source} group by {listed})"  # noqa: S608
    text = f"select {shown} from {source} order by {', '.join([*order, row])}"  # noqa: S608
    if bounds.limit is not None:
        text += f" limit {bounds.limit}"
    return f"{text} offset {bounds.offset}" if bounds.offset else text


def _note(bounds: Bounds) -> str:
    words = ["distinct"] if bounds.distinct else []
    words += ["order"] if bounds.orders else []
    words += [f"first {bounds.first}"] if bounds.first is not None else []
    return ", ".join(words)


def _order_columns(node: Node, bounds: Bounds, names: list[str]) -> tuple[list[Node], list[str]]:
    """Return the expressions that ORDER BY needs beside the columns, and the columns it sorts by,
    with their directions."""
    hidden: list[Node] = []
    order = []
    lower = [name.lower() for name in names]
    given = {item["alias"].lower() for item in node["select_list"] if item["alias"]}
    for each in bounds.orders:
        expression = each["expression"]
        words = direction(each)
        if expression["class"] == "STAR":
            order += [f"__ess_c{at}{words}" for at in range(len(names))]
        elif (place := _place(expression, lower)) is not None:
            order.append(f"__ess_c{place}{words}")
        elif bounds.distinct or _ambiguous(expression, given):
            raise UnsplitError("its order by")
        else:
            order.append(f"__ess_o{len(hidden)}{words}")
            hidden.append(expression)
    return hidden, order


def _place(expression: Node, names: list[str]) -> int | None:
    """Return which column of the answer an expression of ORDER BY is, None when it is none."""
    if expression["class"] == "CONSTANT" and expression["literal"]["kind"] == "INTEGER":
        place = int(expression["literal"]["text"]) - 1
        return place if 0 <= place < len(names) else None
    if expression["class"] == "POSITIONAL_REFERENCE":
        return int(expression["index"]) - 1
    if expression["class"] == "COLUMN_REF" and len(expression["column_names"]) == 1:
        name = expression["column_names"][0].lower()
        return names.index(name) if name in names else None
    return None


def _ambiguous(expression: Node, given: set[str]) -> bool:
    """Whether an expression uses a name that the select list gave to something."""
    return any(
        node["class"] == "COLUMN_REF" and node["column_names"][0].lower() in given
        for node in expressions(expression)
    )
