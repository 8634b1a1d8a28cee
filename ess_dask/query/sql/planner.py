"""A statement's queries, from the inside out: what stays spread, and what is brought together.

Every table that an expression or a FROM needs whole becomes a stage's; what is left of a query
reads either partitions only, or finished tables only.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, NamedTuple

from ess_dask.clean.arrow import standard_table
from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError
from ess_dask.query.sql import selects
from ess_dask.query.sql.columns import needed
from ess_dask.query.sql.lookup import key_values
from ess_dask.query.sql.model import PARTIALS, RESERVED, ROW, Deal, Side, Stage
from ess_dask.query.sql.room import Binder
from ess_dask.query.sql.sources import reaching, tables_in
from ess_dask.query.sql.spread import LOCAL, Spread, UnsplitError, check_types
from ess_dask.query.sql.tree import (
    TABLES_IN,
    Node,
    all_of,
    conjuncts,
    copied,
    expressions,
    is_query,
    query_of,
    query_text,
    quoted,
    renamed,
    source_of,
    sub_queries,
    walk,
)

if TYPE_CHECKING:
    import pyarrow as pa


class Cte(NamedTuple):
    """A CTE: its query, still spread or reading finished tables, and how it is spread."""

    query: Node
    spread: Spread


@dataclass(slots=True)
class Planner:
    """Turns one statement into stages. ``statement`` is the whole tree, ``sides`` its sources."""

    statement: Node
    sides: dict[str, Side]
    binder: Binder
    side_limit: int = 0
    """Bytes up to which a table is sent to every worker rather than dealt anew."""
    stages: list[Stage] = field(default_factory=list)
    ctes: dict[str, Cte] = field(default_factory=dict)
    collected_notes: list[str] = field(default_factory=list)
    _types: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    _gathered: dict[str, str] = field(default_factory=dict)

    def query(self, node: Node) -> tuple[Node, Spread]:
        """Return what is left of a query, and how it is spread."""
        node = self._take_ctes(node)
        if node["type"] == "SELECT_NODE":
            return selects.select(node, self)
        if node["type"] == "SET_OPERATION_NODE":
            return self._set_operation(node), LOCAL
        raise UnsplitError("a recursive query")

    def _set_operation(self, node: Node) -> Node:
        branches = node.get("children") or [node["left"], node["right"]]
        if any(branch is None for branch in branches):
            raise UnsplitError("this set operation")
        done = []
        # What is equal in one type need not be in another: -0.0 and 0.0 as texts.
        alike = len({tuple(kind for _, kind in self.columns(each)) for each in branches}) == 1
        for branch in branches:
            if not node["setop_all"] and alike and selects.is_plain(branch):
                branch = {**branch, "modifiers": [selects.DISTINCT]}
            query, spread = self.query(branch)
            done.append(self.whole(query, spread, "a branch of a set operation"))
        if node.get("children"):
            return {**node, "children": done}
        return {**node, "left": done[0], "right": done[1]}

    # --- CTEs

    def _take_ctes(self, node: Node) -> Node:
        entries = node["cte_map"]["map"]
        node = {**node, "cte_map": {"map": []}}
        for place, entry in enumerate(entries):
            value = entry["value"]
            if value["query_node"]["type"] == "RECURSIVE_CTE_NODE":
                raise UnsplitError("a recursive query")
            name = f"{RESERVED}c{len(self.ctes)}"
            query, spread = self.query(value["query_node"])
            query = _with_names(query, value["aliases"])
            if not spread.sources or value["materialized"] == "CTE_MATERIALIZE_ALWAYS":
                query, spread = self.whole(query, spread, f"with {entry['key']}"), LOCAL
            elif value["aliases"]:
                spread = Spread(spread.sources)
            self.binder.add(name, self.binder.schema(query_text(query)))
            self.ctes[name] = Cte(query, spread)
            for other in entries[place + 1 :]:
                _rename_table(other["value"], entry["key"].lower(), name)
            _rename_table(node, entry["key"].lower(), name)
        return node

    def cte(self, ref: Node) -> tuple[Node, Spread]:
        """Return a reference to a CTE with its query in place."""
        cte = self.ctes[ref["table_name"]]
        made = source_of("(select 1) as q")
        made["alias"], made["column_name_alias"] = ref["alias"], ref["column_name_alias"]
        made["subquery"]["node"] = copied(cte.query)
        alias = ref["alias"].lower()
        keys = () if ref["column_name_alias"] else cte.spread.keys
        named = tuple(tuple((alias, column) for _, column in key) for key in keys)
        return made, Spread(cte.spread.sources, named)

    # --- Stages

    def add(self, stage: Stage, note: str = "") -> Node:
        """Add a stage; return the query that reads its table."""
        name = f"{RESERVED}{'x' if stage.deal else 's'}{len(self.stages)}"
        merged = stage.merge or stage.map
        types = self.binder.columns(merged)
        check_types(types)
        names = [column.lower() for column, _ in types]
        if len(set(names)) < len(names):
            raise UnsplitError("two columns of one name")
        if not stage.deal:
            self._types[name] = types
        known = tuple(self._types)
        stage = replace(
            stage,
            name=name,
            sides=tables_in(query_of(stage.map), known) if stage.map else (),
            uses=tables_in(query_of(stage.merge), known) if stage.merge else (),
            columns=tuple(
                needed(query_of(stage.map), self.sides[each].schema.names, each)
                for each in stage.sources
            ),
            note=note or stage.note,
        )
        if len(stage.sources) == 1:
            side = self.sides[stage.sources[0]]
            stage = replace(stage, at=key_values(query_of(stage.map), side, self.binder))
        self.stages.append(stage)
        self.binder.add(name, self.binder.schema(merged))
        return query_of("select 1") if stage.deal else self.reading(name)

    def dealt(
        self, ref: Node, spread: Spread, where: Node | None, deal: tuple[tuple[str, ...], int]
    ) -> Node | None:
        """Add the stage that deals a table of FROM anew; return what reads it, None if its columns
        cannot be told or do not come back as they are."""
        if ref["type"] == "BASE_TABLE":
            query = self._narrowed(ref, where)
        else:
            query = ref["subquery"]["node"]
        columns = self.columns(query)
        known = {name.lower(): name for name, _ in columns}
        key, count = deal
        if len(known) < len(columns) or any(name not in known for name in key):
            return None
        text = query_text(query)
        made = Deal(tuple(known[name] for name in key), count)
        if self.binder.changes(text) or not _is_dealt_by(self.binder.schema(text), made.key):
            return None
        shown = self.sides[spread.sources[0]].shown
        note = f"rows of {shown} dealt by {', '.join(made.key)}"
        self.add(Stage("", spread.sources, map=text, deal=made), note)
        name = self.stages[-1].name
        schema = standard_table(
            self.binder.schema(text).empty_table(), self.binder.schema(text)
        ).schema
        size = self.size(spread)
        self.sides[name] = Side(name, shown, schema, made.key, made.placement, size, count)
        return source_of(f"{name} as {quoted(ref['alias'])}")

    def same_types(
        self, left: Node, left_key: tuple[str, ...], right: Node, right_key: tuple[str, ...]
    ) -> bool:
        """Whether the columns of two tables have the types, pair by pair, so that equal values
        were dealt alike."""
        types = []
        for ref, key in ((left, left_key), (right, right_key)):
            schema = self.sides[ref["table_name"]].schema
            known = {field.name.lower(): field.type for field in schema}
            types.append([known[name] for name in key])
        return bool(types[0] == types[1])

    def size(self, spread: Spread) -> int:
        """About how many bytes a spread table takes."""
        return sum(self.sides[name].size for name in spread.sources)

    def reading(self, name: str) -> Node:
        """Return the query that reads a finished table, with the types its rows had."""
        # By name: a star would ask for all columns of whatever is joined with it.
        items = self.binder.restored(name, self._types[name])
        return query_of(f"select {items} from {name}")  # noqa: S608

    def partials(self, mapped: str) -> str:
        """Return the SQL by which a merge reads what the partitions give, numbered by ``ROW``, with
        the types that it had there."""
        import pyarrow as pa

        columns = self.binder.columns(mapped)
        check_types(columns)
        schema = self.binder.schema(mapped).append(pa.field(ROW, pa.int64()))
        self.binder.add(PARTIALS, schema)
        return f"select {self.binder.restored(PARTIALS, columns)}, {ROW} from {PARTIALS}"  # noqa: S608

    def whole(self, query: Node, spread: Spread, note: str) -> Node:
        """Return a query that reads finished tables only and gives what ``query`` gives."""
        if not spread.sources:
            return self._once(query, note)
        return self.add(Stage("", spread.sources, map=query_text(query), note=note))

    def _once(self, query: Node, note: str) -> Node:
        """Work a query on finished tables out once, unless it only reads one."""
        if _reads_one_table(query):
            return query
        return self.add(Stage("", merge=query_text(query), note=note))

    def finished(self, ref: Node) -> Node:
        """Return a sub-query of FROM with its answer as a finished table."""
        query = self._once(ref["subquery"]["node"], f"sub-query {ref['alias']}".strip())
        return {**ref, "subquery": {**ref["subquery"], "node": query}}

    # --- What comes together unreduced

    def collected(self, ref: Node, where: Node | None) -> Node:
        """Return a FROM in which finished tables have taken the place of partitions."""
        if ref["type"] == "JOIN":
            return self._collected_join(ref, where)
        if ref["type"] == "SUBQUERY":
            query = ref["subquery"]["node"]
            sources = tables_in(query, tuple(self.sides))
            done = self.whole(query, Spread(sources), "rows of a sub-query")
            return {**ref, "subquery": {**ref["subquery"], "node": done}}
        if ref["type"] != "BASE_TABLE" or ref["table_name"] not in self.sides:
            return ref
        return self._collected_table(ref, where)

    def _collected_join(self, ref: Node, where: Node | None) -> Node:
        left, right = reaching(ref, where)
        left_done = self.collected(ref["left"], left)
        return {**ref, "left": left_done, "right": self.collected(ref["right"], right)}

    def _collected_table(self, ref: Node, where: Node | None) -> Node:
        side = self.sides[ref["table_name"]]
        alias = quoted(ref["alias"])
        # What a sample is taken of are all rows.
        query = self._narrowed(ref, None if ref["sample"] else where)
        names = [name for name, _ in self.columns(query)]
        text = query_text(query)
        if text not in self._gathered:
            self.collected_notes.append(f"{side.shown}: {', '.join(names)}")
            self.add(Stage("", (side.name,), map=text), f"columns of {side.shown}")
            self._gathered[text] = self.stages[-1].name
        made = source_of(f"(select 1) as {alias}")
        made["column_name_alias"], made["sample"] = ref["column_name_alias"], ref["sample"]
        made["subquery"]["node"] = self.reading(self._gathered[text])
        return made

    def _narrowed(self, ref: Node, where: Node | None) -> Node:
        """Return the query for the columns and rows of a table that the statement may look at."""
        side = self.sides[ref["table_name"]]
        names = needed(self.statement, side.schema.names, side.name) or side.schema.names
        listed = ", ".join(map(quoted, names))
        query = query_of(f"select {listed} from {side.name} as {quoted(ref['alias'])}")  # noqa: S608
        if not ref["column_name_alias"]:
            query["where_clause"] = self._pushed(query, where)
        return query

    def _pushed(self, query: Node, where: Node | None) -> Node | None:
        """Return what of a WHERE the rows of one table must fulfil."""
        parts = []
        for part in conjuncts(where):
            if any(node["class"] in ("SUBQUERY", "WINDOW") for node in expressions(part)):
                continue
            trial = {**query, "where_clause": part}
            if self.binds(trial) and any(
                node["class"] == "COLUMN_REF" for node in expressions(part)
            ):
                parts.append(part)
        return all_of(parts)

    def settled(self, value: Node) -> Node:
        """Return a block in which sub-queries of expressions read finished tables only."""
        value = copied(value)
        for node in sub_queries({**value, "cte_map": None, "type": ""}):
            query = node["subquery"]["node"]
            if not self.binds(query):
                node["subquery"]["node"] = self._correlated(query)
                continue
            if node["subquery_type"] == "ANY" and selects.is_plain(query):
                query = {**query, "modifiers": [selects.DISTINCT]}
            done, spread = self.query(query)
            node["subquery"]["node"] = self.whole(done, spread, "a sub-query")
        return value

    def _correlated(self, query: Node) -> Node:
        """Let a correlated sub-query read its tables whole."""
        query = copied(query)
        for node in walk(query):
            for name in TABLES_IN:
                ref = node.get(name)
                if not isinstance(ref, dict) or ref.get("type") != "BASE_TABLE":
                    continue
                if ref["table_name"] in self.ctes:
                    ref, spread = self.cte(ref)
                    done = self.whole(ref["subquery"]["node"], spread, "a CTE")
                    node[name] = {**ref, "subquery": {**ref["subquery"], "node": done}}
                elif ref["table_name"] in self.sides:
                    node[name] = self._collected_table(ref, None)
        return query

    # --- What DuckDB says

    def binds(self, query: Node) -> bool:
        """Whether a query fits the tables by itself."""
        return self.binder.binds(query_text(query))

    def columns(self, query: Node) -> tuple[tuple[str, str], ...]:
        """Return (name, type) of what a query gives."""
        return self.binder.columns(query_text(query))


def _reads_one_table(query: Node) -> bool:
    return bool(
        query["type"] == "SELECT_NODE"
        and query["from_table"]["type"] == "BASE_TABLE"
        and query["from_table"]["table_name"].startswith(f"{RESERVED}s")
        and not query["where_clause"]
        and selects.is_plain(query)
        and all(
            node["class"] in ("STAR", "COLUMN_REF", "CAST", "TYPE")
            for node in expressions(query["select_list"])
        )
    )


def _is_dealt_by(schema: pa.Schema, key: tuple[str, ...]) -> bool:
    """Whether rows can be dealt by these columns: not by a list or a struct."""
    from ess_dask.tables.partition import hash_keys

    try:
        hash_keys(schema.empty_table(), key)
    except UsageError:
        return False
    return True


def _with_names(query: Node, names: list[str]) -> Node:
    """Return a query whose columns have other names."""
    if not names:
        return query
    made = query_of(f"select * from (select 1) as q({', '.join(map(quoted, names))})")  # noqa: S608
    made["from_table"]["subquery"]["node"] = query
    return made


def _rename_table(value: object, old: str, new: str) -> None:
    """Let a CTE's name mean another table, in place, where no nearer CTE has it."""
    if isinstance(value, list):
        for item in value:
            _rename_table(item, old, new)
        return
    if not isinstance(value, dict):
        return
    if value.get("type") == "BASE_TABLE":
        if value["table_name"].lower() == old and not value["schema_name"]:
            renamed(value, new)
        return
    entries = value["cte_map"]["map"] if is_query(value) else ()
    for entry in entries:
        _rename_table(entry["value"], old, new)
        if entry["key"].lower() == old:
            return
    for name, item in value.items():
        if name != "cte_map":
            _rename_table(item, old, new)
