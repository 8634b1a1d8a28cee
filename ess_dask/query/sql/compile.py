"""A statement's text to a plan; nothing is read. DuckDB binds it first, so every name fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.clean.closed import ASKING
from ess_dask.errors import UsageError
from ess_dask.query.sql.check import (
    FindSource,
    clocks,
    explained,
    is_collated,
    is_random,
    names_given,
    parse,
    resolve,
)
from ess_dask.query.sql.model import SqlPlan, Stage
from ess_dask.query.sql.names import Spoken, spoken
from ess_dask.query.sql.planner import Planner
from ess_dask.query.sql.room import Binder
from ess_dask.query.sql.spread import UnsplitError
from ess_dask.query.sql.tree import (
    TABLES_IN,
    Node,
    copied,
    expression_of,
    query_of,
    query_text,
    sub_queries,
    walk,
)

if TYPE_CHECKING:
    import pyarrow as pa


def compile_statement(
    written: str, find: FindSource, side_limit: int = 64 << 20, limit: int | None = None
) -> SqlPlan:
    """Return the plan of one SELECT over the sources that ``find`` knows.

    A table of more than ``side_limit`` bytes is not sent to every worker for a join. A statement
    without a limit of its own gets ``limit``.

    Raises ``UsageError`` with line and column for whatever is not one SELECT, reads anything else,
    or does not fit the sources' columns.
    """
    try:
        return _compiled(spoken(written), find, side_limit, limit)
    except RecursionError:
        raise UsageError(
            "sql: the statement is nested too deeply", hint="use in (..) for a long list"
        ) from None


def _compiled(text: Spoken, find: FindSource, side_limit: int, limit: int | None) -> SqlPlan:
    import duckdb

    with ASKING.renewed(), Binder() as binder:
        tree = parse(text)
        if limit is not None:
            _limit(tree["node"], limit)
        written_as = _items(tree)
        sides = resolve(tree, text, find)
        titles = dict(zip(_items(tree), written_as, strict=True))
        for side in sides.values():
            binder.add(side.name, side.schema)
        try:
            columns = binder.columns(query_text(tree["node"]))
        except duckdb.Error as error:
            raise explained(error, text, tree, sides) from None
        known = {name for side in sides.values() for name in side.schema.names}
        _stop_clocks(clocks(tree, known | names_given(tree)), binder)
        schema = binder.schema(query_text(tree["node"]))
        names = tuple(titles.get(name, name) for name, _ in columns)
        return _plan(Planner(tree["node"], sides, binder, side_limit), schema, names)


def _items(tree: Node) -> list[str]:
    """Return the sub-queries in select lists as the columns without a name are called by them."""
    return [
        query_text(_only(item)).removeprefix("SELECT ")
        for node in walk(tree)
        for item in node.get("select_list") or ()
        if not item["alias"] and sub_queries(item)
    ]


def _plan(planner: Planner, schema: pa.Schema, names: tuple[str, ...]) -> SqlPlan:
    import duckdb

    node, sides, binder = planner.statement, dict(planner.sides), planner.binder
    unsplit = _in_one_place(node)
    if not unsplit:
        try:
            planner.whole(*planner.query(copied(node)), "the answer")
            found = binder.schema(f"select * from {planner.stages[-1].name}")  # noqa: S608
            if not _alike(found, schema):
                unsplit = "the types of its columns"
        except UnsplitError as error:
            unsplit = str(error)
        except duckdb.Error as error:
            unsplit = f"its form ({str(error).splitlines()[0]})"
    if unsplit:
        planner = Planner(node, sides, binder)
        try:
            _plan_in_one_place(node, planner)
        except UnsplitError as error:
            hint = "give columns names of their own, and leave out what the statement does not need"
            raise UsageError(f"sql: {error} cannot be brought together", hint=hint) from None
    return SqlPlan(
        stages=tuple(planner.stages),
        columns=names,
        schema=schema,
        sources={side.name: side.shown for side in planner.sides.values()},
        unsplit=unsplit,
        collected=tuple(planner.collected_notes),
    )


def _in_one_place(node: Node) -> str:
    """Return why a statement cannot be split, whatever its tables are; '' when it may be."""
    if is_collated(node):
        return "a collation"
    return "a clock that may be a column" if clocks(node) else is_random(node)


def _limit(node: Node, limit: int) -> None:
    modifiers = node["modifiers"]
    if not any(each["type"].startswith("LIMIT") for each in modifiers):
        modifiers += query_of(f"select 1 limit {limit:d}")["modifiers"]


def _alike(found: pa.Schema, wanted: pa.Schema) -> bool:
    return [field.type for field in found] == [field.type for field in wanted]


def _plan_in_one_place(node: Node, planner: Planner) -> None:
    """Collect what the statement needs of its tables, and run it as it was written."""
    node = copied(node)
    for ref in list(walk({"query": node})):
        for name in TABLES_IN:
            inner = ref.get(name)
            if isinstance(inner, dict) and inner.get("type") == "BASE_TABLE":
                where = ref.get("where_clause") if name == "from_table" else None
                ref[name] = planner.collected(inner, where)
    planner.stages.append(_last(node, planner))


def _last(node: Node, planner: Planner) -> Stage:
    text = query_text(node)
    uses = tuple(stage.name for stage in planner.stages)
    return Stage("__ess_answer", merge=text, uses=uses, note="the whole statement")


def _stop_clocks(found: list[Node], binder: Binder) -> None:
    """Put what time it is into a statement, in place, once for all its parts."""
    for node in found:
        text = query_text(_only(node))
        ((_, kind),) = binder.columns(text)
        value = binder.value(f"select cast(({text}) as varchar)")
        quoted = "null" if value is None else "'" + value.replace("'", "''") + "'"
        alias = node["alias"]
        place = node["query_location"]
        node.clear()
        node |= expression_of(f"cast({quoted} as {kind})")
        node["alias"], node["query_location"] = alias, place


def _only(node: Node) -> Node:
    made = query_of("select 1")
    made["select_list"] = [copied(node)]
    return made
