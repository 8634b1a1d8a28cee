"""What a statement may do: one SELECT over the sources that its FROM names, and nothing else."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from ess_dask.clean import duck
from ess_dask.clean.functions import CLOCKS, functions
from ess_dask.clean.sqltree import Node, walk
from ess_dask.errors import UsageError
from ess_dask.query.sql.model import RESERVED, Side
from ess_dask.query.sql.names import Spoken
from ess_dask.query.sql.tree import renamed, sub_queries

FindSource = Callable[[tuple[str, ...]], "Side | None"]
"""Returns the source that a name in FROM (parts of a dotted name) means, None for none."""

_TABLE_FUNCTIONS = ("unnest", "range", "generate_series", "json_each")
_SOURCES = ("BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT")
_SETTINGS = frozenset(
    [
        "getenv",
        "current_setting",
        "getvariable",
        "nextval",
        "currval",
        "setval",
        "setseed",
        "write_log",
        "txid_current",
        "sleep_ms",
        "pg_sleep",
        "json_serialize_plan",
        "current_query",
        "stats",
    ]
)
_MAY = "a query reads what its FROM names: no files, no settings, nothing else"


def parse(text: Spoken) -> Node:
    """Return the tree of one SELECT; raise ``UsageError`` with the line and column of what is
    wrong. Nothing is looked up."""
    read = json.loads(duck.rows("select json_serialize_sql(?)", [text.text])[0][0])
    if read["error"]:
        message = read["error_message"]
        if "Only SELECT" in message:
            refuse(text, 0, "only a SELECT may ask a table", "write: select ... from ...")
        refuse(text, int(read.get("position") or 0), message, "")
    if len(read["statements"]) != 1:
        count = len(read["statements"])
        hint = "remove the rest" if count else "write: select ... from ..."
        refuse(text, 0, f"one SELECT is needed, not {count} statements", hint)
    tree: Node = read["statements"][0]
    for node in walk(tree):
        if reason := _harm(node):
            refuse(text, node.get("query_location", 1 << 62), reason, _MAY)
    if RESERVED in text.text.lower():
        refuse(text, 0, f"names may not begin with {RESERVED}", "use another name")
    return tree


def refuse(text: Spoken, offset: int, message: str, hint: str) -> NoReturn:
    """Raise ``UsageError`` about a place (in bytes) of a statement."""
    raise UsageError(f"sql{text.place(offset)}: {message}", hint=hint)


def _harm(node: Node) -> str:
    if "class" in node:
        if node["class"] == "PARAMETER":
            return "a query takes no parameters"
        if node["class"] == "FUNCTION" and node["function_name"].lower() in _SETTINGS:
            return f"{node['function_name']}() is not allowed"
        return ""
    if str(node.get("type")).endswith("_QUERY_NODE"):  # insert, update, delete
        return "only a SELECT is allowed"
    if "sample" not in node or "select_list" in node:
        return ""
    if node["type"] not in _SOURCES:
        return "only a SELECT is allowed"
    if node["type"] == "TABLE_FUNCTION":
        name = node["function"]["function_name"]
        return "" if name.lower() in _TABLE_FUNCTIONS else f"{name}() is not allowed"
    return "AT is not supported" if node.get("at_clause") else ""


def resolve(tree: Node, text: Spoken, find: FindSource) -> dict[str, Side]:
    """Let the tables of a tree mean sources, in place; return these by their names.

    Raises ``UsageError`` for a table that is neither a source nor a CTE in reach.
    """
    found: dict[str, Side] = {}
    _resolve(tree, frozenset(), text, find, found)
    return found


def _resolve(
    value: Any, ctes: frozenset[str], text: Spoken, find: FindSource, found: dict[str, Side]
) -> None:
    if isinstance(value, list):
        for item in value:
            _resolve(item, ctes, text, find, found)
        return
    if not isinstance(value, dict):
        return
    if value.get("type") == "BASE_TABLE":
        _resolve_table(value, ctes, text, find, found)
        return
    if "cte_map" in value:
        for entry in value["cte_map"]["map"]:
            own = {entry["key"].lower()} if _is_recursive(entry) else set()
            _resolve(entry["value"], ctes | own, text, find, found)
            ctes |= {entry["key"].lower()}
    for name, item in value.items():
        if name != "cte_map":
            _resolve(item, ctes, text, find, found)


def _is_recursive(entry: Node) -> bool:
    return bool(entry["value"]["query_node"]["type"] == "RECURSIVE_CTE_NODE")


def _resolve_table(
    node: Node, ctes: frozenset[str], text: Spoken, find: FindSource, found: dict[str, Side]
) -> None:
    path = tuple(part for part in node["qualified_name"]["path"] if part)
    if len(path) == 1 and path[0].lower() in ctes:
        return
    side = find(path)
    if side is None:
        refuse(text, node["query_location"], f"there is no table {'.'.join(path)!r}", _MAY)
    found[side.name] = side
    node["alias"] = node["alias"] or path[-1]
    renamed(node, side.name)


def is_random(tree: Node) -> str:
    """Return the name of a function that answers anew for every row, '' when there is none."""
    for node in walk(tree):
        if node.get("class") == "FUNCTION" and node["function_name"].lower() in functions().anew:
            return f"{node['function_name']}()"
        if node.get("sample"):
            return "a sample"
    return ""


def clocks(tree: Node, columns: Iterable[str] = ()) -> list[Node]:
    """Return the expressions that say what time it is: they are worked out once, in one place.

    A name that is also one of ``columns`` may mean these.
    """
    names = {name.lower() for name in columns}
    return [node for node in walk(tree) if _is_clock(node) and not _is_named(node, names)]


def _is_named(node: Node, names: set[str]) -> bool:
    return node["class"] == "COLUMN_REF" and node["column_names"][0].lower() in names


def names_given(tree: Node) -> set[str]:
    """Return the names that a statement gives to columns, and to tables."""
    given = set()
    for node in walk(tree):
        given |= {node.get("alias") or "", *(node.get("column_name_alias") or ())}
        given |= set(node.get("aliases") or ())
    return given


def is_collated(value: Any) -> bool:
    """Whether values are compared by a collation after they came from a partition: their columns
    forget it on the way. Filters and joins are done before."""
    if isinstance(value, list):
        return any(is_collated(item) for item in value)
    if not isinstance(value, dict):
        return False
    return value.get("class") == "COLLATE" or any(
        is_collated(item)
        for name, item in value.items()
        if name not in ("where_clause", "condition") or sub_queries(item)
    )


def _is_clock(node: Node) -> bool:
    if node.get("class") == "FUNCTION":
        return node["function_name"].lower() in functions().once and not node["arguments"]
    if node.get("class") == "COLUMN_REF":
        return len(node["column_names"]) == 1 and node["column_names"][0].lower() in CLOCKS
    return False


_COLUMN = re.compile(
    r"""column "(?P<column>[^"]+)" not found|column named "(?P<of_table>[^"]+)"|"""
    r"""reference to column name "(?P<either>[^"]+)"|table "(?P<table>[^"]+)" not found|"""
    r"""column "(?P<ungrouped>[^"]+)" must|"""
    r"""Function with name (?P<function>\w+) does|types '(?P<call>\w+)\(""",
    re.IGNORECASE,
)
"""The names in DuckDB's messages, by what they are names of."""


def explained(error: Exception, text: Spoken, tree: Node, sides: Mapping[str, Side]) -> UsageError:
    """Return what DuckDB said about a statement that does not fit, with the place of the name."""
    message = duck.plain(error)
    match = _COLUMN.search(str(error))
    kind, name = (match.lastgroup or "", match[match.lastgroup or 0]) if match else ("", "")
    columns = list(dict.fromkeys(name for side in sides.values() for name in side.schema.names))
    near = difflib.get_close_matches(name, columns, n=1) if kind in ("column", "of_table") else []
    known = "the columns are: " + ", ".join(columns)
    hint = f"did you mean {near[0]}? {known}" if near else known
    for side in sides.values():
        message = message.replace(side.name, side.shown)
    return UsageError(f"sql{text.place(_place(tree, kind, name))}: {message}", hint=hint)


def _place(tree: Node, kind: str, name: str) -> int:
    """Return where a name of this kind stands first (in bytes), or 'unknown'."""
    for node in walk(tree):
        if kind and name.lower() == _name_in(node, kind):
            return int(node["query_location"])
    return 1 << 62


def _name_in(node: Node, kind: str) -> str:
    """Return the name of this kind that an expression has, lower case; '' when it has none."""
    if kind in ("function", "call"):
        is_call = node.get("class") in ("FUNCTION", "WINDOW")
        return str(node["function_name"]).lower() if is_call else ""
    if node.get("class") != "COLUMN_REF":
        return ""
    parts = [part.lower() for part in node["column_names"]]
    if kind == "of_table":
        return str(parts[-1])
    return str(parts[0]) if (len(parts) > 1) == (kind == "table") else ""
