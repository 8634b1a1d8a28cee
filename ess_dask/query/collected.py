"""SQL over one table in memory, answered in this process from the columns that it names.

Only these columns travel from the workers. DuckDB runs with one thread over the partitions in their
order, so that the answer is the same whatever the number of workers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from ess_dask.clean import duck
from ess_dask.clean.arrow import standard_table
from ess_dask.clean.sqltree import Node, Rules, parse, walk
from ess_dask.errors import DataError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.tables.table import MemoryTable

THIS = "this"
"""The name of the table in a statement."""

RULES = Rules(table=THIS, may="ask a table", repeatable=False)

_WHOLE_ROWS = ("STAR", "POSITIONAL_REFERENCE", "PIVOT")
"""What may mean columns that are not named."""


def ask(memory: MemoryTable, statement: str, limit: int = 0) -> pa.Table:
    """Return the answer of one SELECT over ``this`` and its own CTEs.

    ``limit``: bytes that the columns may take in this process (0: half of the machine's memory).
    Raises ``ConfigError`` with line and column for a statement that does or reads anything else,
    ``UsageError`` when it does not fit the table or needs more memory, ``DataError`` for a value
    that cannot be worked on, and what the cluster raises.
    """
    import pyarrow as pa

    names = _needed(parse(statement, RULES), memory.schema.names)
    size = sum(memory.map(partial(_bytes_of, names=names)))
    allowed = limit or _half_of_memory()
    if size > allowed:
        raise UsageError(
            f"the columns {', '.join(names)} of {memory.name} take {size:,} bytes, more than the "
            f"{allowed:,} allowed here",
            hint="name fewer columns, or set memory_limit",
        )
    rows = pa.concat_tables(memory.map(partial(_columns_of, names=names)))
    return standard_table(_run(statement, rows, memory.schema.names), memory.schema)


def _run(statement: str, rows: pa.Table, columns: list[str]) -> pa.Table:
    import duckdb

    try:
        return duck.run(statement, rows, name=THIS)
    except (duckdb.DataError, duckdb.InvalidInputException) as error:
        raise DataError(f"sql: {duck.plain(error)}", hint="try_cast() gives null") from None
    except duckdb.Error as error:
        hint = f"the columns are: {', '.join(columns)}"
        raise UsageError(f"sql: {duck.plain(error)}", hint=hint) from None


def _needed(tree: Node, columns: list[str]) -> list[str]:
    """Return the columns that a statement may look at, at least one: they carry the rows."""
    words = {word.lower() for word in _words(tree)}
    nodes = list(walk(tree))
    tables = {THIS, *(str(node["alias"]).lower() for node in nodes if _is_this(node))}
    if any(_takes_whole_rows(node, tables) for node in nodes):
        return columns
    return [name for name in columns if name.lower() in words] or columns[:1]


def _is_this(node: Node) -> bool:
    return node.get("type") == "BASE_TABLE" and node["table_name"].lower() == THIS


def _takes_whole_rows(node: Node, tables: set[str]) -> bool:
    """Whether a node may mean columns without naming them; ``t`` alone is a row of table ``t``."""
    return (
        node.get("type") in _WHOLE_ROWS
        or node.get("ref_type") == "NATURAL"
        or bool(node.get("column_name_alias"))
        or (
            node.get("class") == "COLUMN_REF"
            and len(node["column_names"]) == 1
            and node["column_names"][0].lower() in tables
        )
    )


def _words(value: Any) -> Iterator[str]:
    """Yield every text of a tree: names of columns stand in several kinds of node."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _words(item)


def _bytes_of(partition: pa.Table, names: list[str]) -> int:
    return int(partition.select(names).nbytes)


def _columns_of(partition: pa.Table, names: list[str]) -> pa.Table:
    return partition.select(names)


def _half_of_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
