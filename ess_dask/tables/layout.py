"""How a table lies in memory: columns, key, partitions, order and merge rules. A frozen value."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, get_args

from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError
from ess_dask.tables.spec import ColumnSpec, DatabaseSpec, TableSpec

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT_PARTITIONS = 32
"""Importing 20 M rows took 5.6, 6.0, 6.6 and 8.3 s of processor time with 8, 32, 64 and 128: few
enough for small imports (a task each, 1 to 5 ms), many enough to spread over some machines."""

MAX_PARTITIONS = 65536

ORDER = "_ess_order"
"""Hidden int64 column of ordered tables: rises with the order of import over the database."""

How = Literal["first", "last", "add", "bor", "min", "max"]


@dataclass(frozen=True, slots=True)
class MergeRule:
    """How the values of one column become one; ``nozero`` passes over those that are 0 or blank."""

    column: str
    how: How
    nozero: bool = False


@dataclass(frozen=True, slots=True)
class TableLayout:
    """Fixed when a table is made; every version of the table has the same.

    Rows go to the partition that ``key`` names. With ``merge_key`` (which begins with ``key``) rows
    that agree in it become one by ``merge``, which has a rule for every other column. ``sort``: the
    rows of a partition are sorted by these columns, ties in import order. ``ordered`` keeps the
    order of import (column ``ORDER``), so that rows can be given in it whatever the partitions.
    """

    schema: pa.Schema
    key: tuple[str, ...]
    partitions: int = DEFAULT_PARTITIONS
    sort: tuple[str, ...] = ()
    merge_key: tuple[str, ...] = ()
    merge: tuple[MergeRule, ...] = ()
    ordered: bool = False

    def __post_init__(self) -> None:
        names = self.schema.names
        if len(set(names)) < len(names) or ORDER in names:
            raise UsageError(f"the columns {', '.join(names)} are not distinct, or one is {ORDER}")
        for name in (*self.key, *self.sort, *self.merge_key):
            if name not in names:
                raise UsageError(
                    f"there is no column {name}", hint=f"the columns are {', '.join(names)}"
                )
        if not 1 <= self.partitions <= MAX_PARTITIONS:
            raise UsageError(f"{self.partitions} is not a number of partitions (1 to 65536)")
        if not self.key and self.partitions != 1:
            raise UsageError("a table without a key has one partition", hint="name a key column")
        self._check_types()
        self._check_merge()

    def _check_types(self) -> None:
        from pyarrow import types

        for field in self.schema:
            if types.is_string_view(field.type) or types.is_binary_view(field.type):
                raise UsageError(
                    f"column {field.name} is {field.type}, which Arrow cannot regroup",
                    hint="make it string or binary",
                )

    def _check_merge(self) -> None:
        rules = [rule.column for rule in self.merge]
        if self.merge_key and self.merge_key[: len(self.key)] != self.key:
            raise UsageError("rows that merge must lie in one partition: merge_key begins with key")
        if (self.merge_key or rules) and sorted((*self.merge_key, *rules)) != sorted(
            self.schema.names
        ):
            raise UsageError("every column is either part of merge_key or has one merge rule")

    @property
    def merges(self) -> bool:
        """Whether rows of one key become one."""
        return bool(self.merge) or bool(self.merge_key)

    @property
    def stored_schema(self) -> pa.Schema:
        """The schema of segments and partitions: the columns, and ``ORDER`` when ordered."""
        import pyarrow as pa

        return self.schema.append(pa.field(ORDER, pa.int64())) if self.ordered else self.schema

    def to_json(self) -> str:
        """Return the layout as text; equal layouts give equal text."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        fields["merge"] = [asdict(rule) for rule in self.merge]
        # Metadata (such as pandas') is no part of a table's identity.
        buffer = self.schema.remove_metadata().serialize()
        fields["schema"] = base64.b64encode(buffer.to_pybytes()).decode("ascii")
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TableLayout:
        """Return the layout that ``to_json`` wrote."""
        import pyarrow as pa

        fields: dict[str, Any] = json.loads(text)
        schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(fields.pop("schema"))))
        rules = tuple(MergeRule(**rule) for rule in fields.pop("merge"))
        plain = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        return cls(schema=schema, merge=rules, **plain)  # type: ignore[arg-type]


_PLAIN = ("key", "partitions", "sort", "merge_key", "ordered")


def table_layout(
    database: DatabaseSpec, table: TableSpec, partitions: int = DEFAULT_PARTITIONS
) -> TableLayout:
    """Return how a table or vector of an Essentia database lies in memory: key columns first."""
    key = tuple(column.name for column in database.key)
    merged = table.kind == "vector" or bool(table.merge_key)
    merge_key = (*key, *table.merge_key) if merged else ()
    return TableLayout(
        schema=_schema((*database.key, *table.columns)),
        key=key,
        partitions=partitions,
        merge_key=merge_key,
        merge=_rules(table.columns, merge_key) if merged else (),
        ordered=True,
    )


def variables_layout(database: DatabaseSpec) -> TableLayout:
    """Return how the variables lie in memory: one partition, merged into one row."""
    return TableLayout(
        schema=_schema(database.variables),
        key=(),
        partitions=1,
        merge=_rules(database.variables, ()),
        ordered=True,
    )


def _rules(columns: tuple[ColumnSpec, ...], skip: tuple[str, ...]) -> tuple[MergeRule, ...]:
    rules = []
    for column in columns:
        if column.name not in skip:
            how = column.merge
            assert how in get_args(How)
            rules.append(MergeRule(column.name, how, "+nozero" in column.attrs))  # type: ignore[arg-type]
    return tuple(rules)


def _schema(columns: tuple[ColumnSpec, ...]) -> pa.Schema:
    import pyarrow as pa

    types = {
        "S": pa.string(),
        "F": pa.float64(),
        "L": pa.uint64(),
        "LS": pa.int64(),
        "I": pa.uint32(),
        "IS": pa.int32(),
        "IP": pa.string(),
    }
    return pa.schema([pa.field(column.name, types[column.type]) for column in columns])
