"""Columns that a query only hands through do not travel through DuckDB.

``select *, price * 2 as double from records where price > 0`` needs DuckDB for the condition and
for one column. The others are taken from the input afterwards, by the row each result row came
from: copying text into DuckDB and out again costs several times more than that.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ess_dask.clean import duck
from ess_dask.clean.arrow import standard_type
from ess_dask.clean.protocol import ROW_LABEL
from ess_dask.clean.sqltree import Node, text_of, tree_of
from ess_dask.dataclass import dataclass
from ess_dask.records.arrays import take, to_numpy

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Through:
    """A query without the columns that pass through it.

    ``query`` gives the computed columns, in order, and the label; ``columns`` are the names of the
    whole result: (name, name of the input column, or '' for a computed one).
    """

    query: str
    columns: tuple[tuple[str, str], ...]


@lru_cache(maxsize=64)
def without_through(query: str, schema: pa.Schema) -> Through | None:
    """Return what is left for DuckDB of a query that carries the label; None when that is all.

    ``schema`` is that of ``records``, the label last.
    """
    tree = tree_of(query)
    node = tree["node"]
    if not _is_plain(node):
        return None
    result = [field for field in duck.describe(query, schema) if field.name != ROW_LABEL]
    titles = [field.name for field in result]
    sources: list[str] = []
    computed = []
    for item in node["select_list"]:
        names = _handed_through(item, schema)
        if names is None:
            computed.append(item)
            names = [""]
        sources += names
    sources.pop()  # the label, which stands last
    if not any(sources) or len(sources) != len(result) or len(set(titles)) != len(titles):
        return None
    if not _same_types(result, schema, sources):
        return None
    node["select_list"] = computed
    return Through(text_of(tree), tuple(zip(titles, sources, strict=True)))


def _is_plain(node: Node) -> bool:
    """Whether it is one SELECT, straight from ``records``, in which each row is seen for itself."""
    source = node.get("from_table") or {}
    return (
        node["type"] == "SELECT_NODE"
        and not node["modifiers"]
        and not node["cte_map"]["map"]
        and not any(node[part] for part in ("group_expressions", "having", "sample", "qualify"))
        and source["type"] == "BASE_TABLE"
        and not source["column_name_alias"]
        and not source["sample"]
        and _label_is_last(node["select_list"])
    )


def _label_is_last(items: list[Node]) -> bool:
    return bool(items) and items[-1].get("column_names") == [ROW_LABEL]


def _handed_through(item: Node, schema: pa.Schema) -> list[str] | None:
    """Return the input columns that an entry of the select list stands for, None if it computes."""
    known = {name.lower(): name for name in schema.names if name != ROW_LABEL}
    if item["type"] == "COLUMN_REF" and not item["alias"] and len(item["column_names"]) == 1:
        name = known.get(item["column_names"][0].lower())
        return None if name is None else [name]
    special = ("replace_list", "columns", "expr", "qualified_exclude_list", "rename_list")
    if item["type"] == "STAR" and not any(item[part] for part in special):
        left_out = {name.lower() for name in item["exclude_list"]}
        return [name for lower, name in known.items() if lower not in left_out]
    return None


def _same_types(result: list[pa.Field], schema: pa.Schema, sources: list[str]) -> bool:
    """Whether a copy through DuckDB would give each of these columns its own type back."""
    return all(
        # The names inside of nested types, which DuckDB changes, are no part of their equality.
        not source
        or (
            standard_type(field.type, field.name, schema) == schema.field(source).type
            and not field.type.num_fields
        )
        for field, source in zip(result, sources, strict=True)
    )


def put_together(
    through: Through, table: pa.Table, answer: pa.Table, rows: pa.ChunkedArray
) -> pa.Table:
    """Return the whole result: computed columns from ``answer``, the others from ``table``.

    ``rows`` are the rows of ``table`` that the rows of ``answer`` came from.
    """
    import pyarrow as pa

    names = [source for _, source in through.columns if source]
    taken = table.select([*names, ROW_LABEL])
    if len(rows) != table.num_rows or not _all_in_order(rows):
        taken = take(taken, rows)
    computed = iter(answer.columns)
    arrays = [
        taken.column(names.index(source)) if source else next(computed)
        for _, source in through.columns
    ]
    arrays.append(taken.column(len(names)))
    return pa.Table.from_arrays(arrays, names=[*(name for name, _ in through.columns), ROW_LABEL])


def _all_in_order(rows: pa.ChunkedArray) -> bool:
    import numpy as np

    found = to_numpy(rows)
    return bool((found == np.arange(len(found))).all())
