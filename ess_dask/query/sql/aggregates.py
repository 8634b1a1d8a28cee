"""How an aggregate comes apart: what a partition works out, and how the parts become one value.

Three ways, by what an aggregate needs. *Merged*: a few numbers for each group (count, sum, avg,
min, max, stddev ...). *Distinct*: the different values (``count(distinct x)``, approximate counts,
whose sketch is then that of all rows). *Rows*: the values themselves in input order (median,
quantiles, ``string_agg``, ``first`` ...): DuckDB's own aggregate runs on them, in partition order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Literal

from ess_dask.dataclass import dataclass
from ess_dask.query.sql.tree import Node, canonical, column, copied, expression_of

TypeOf = Callable[[Node], str]
"""Returns DuckDB's type of an expression over the FROM of the statement."""

KIND = "__ess_kind"
"""A column of partials: which rows are for which aggregate (0: those that merge)."""

_SAME = ("min", "max", "bool_and", "bool_or", "bit_and", "bit_or", "bit_xor", "any_value")
_SAMPLE, _POPULATION = ("v.n > 1", "v.s / (v.n - 1)"), ("v.n > 0", "v.s / v.n")
_SPREADS = {
    "stddev": (_SAMPLE[0], f"sqrt({_SAMPLE[1]})"),
    "stddev_samp": (_SAMPLE[0], f"sqrt({_SAMPLE[1]})"),
    "stddev_pop": (_POPULATION[0], f"sqrt({_POPULATION[1]})"),
    "variance": _SAMPLE,
    "var_samp": _SAMPLE,
    "var_pop": _POPULATION,
}
"""For count ``v.n`` and the sum of squared distances from the mean ``v.s``: when, and what."""

_NUMBERS = frozenset(
    [
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "HUGEINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "UHUGEINT",
        "FLOAT",
        "DOUBLE",
        "DECIMAL",
    ]
)
_CHAN = (
    "list_reduce({parts}, lambda a, b: struct_pack(n := a.n + b.n, m := a.m + (b.m - a.m) * "
    "(b.n / (a.n + b.n)), s := a.s + b.s + (b.m - a.m) * (b.m - a.m) * (a.n * (b.n / (a.n + b.n)))"
    "))"
)


@dataclass(frozen=True, slots=True)
class Extra:
    """Rows of partials for one aggregate: ``columns`` (name, expression) of each row that passes
    ``where``; the different ones only when ``distinct``."""

    kind: int
    columns: tuple[tuple[str, Node], ...]
    where: Node | None
    distinct: bool


@dataclass(slots=True)
class Parts:
    """Takes the aggregates of a statement, one after the other."""

    type_of: TypeOf
    merged: list[tuple[str, Node]] = field(default_factory=list)
    """(name, aggregate) of what every group of a partition gives."""
    extras: list[Extra] = field(default_factory=list)
    _known: dict[str, Node] = field(default_factory=dict)
    _numbers: int = 0

    def take(self, call: Node) -> Node:
        """Return what stands for an aggregate where the parts are merged."""
        found = canonical(call)
        if found not in self._known:
            self._known[found] = self._taken(call)
        return {**copied(self._known[found]), "alias": call["alias"]}

    def _taken(self, call: Node) -> Node:
        name = call["function_name"].lower()
        way = way_of(call)
        if way == "merged" and name in ("avg", "mean", *_SPREADS):
            kind = self.type_of(_argument(call)).partition("(")[0]
            way = "merged" if kind in _NUMBERS else "rows"
        if way == "merged":
            return self._merge(call, name)
        return self._collect(call, distinct=way == "distinct")

    def _merge(self, call: Node, name: str) -> Node:
        if name in ("count", "count_star"):
            part = self._part(call)
            return expression_of(f"coalesce(cast(sum({part}) as bigint), 0)")
        if name == "sum":
            return expression_of(f"cast(sum({self._part(call)}) as {self.type_of(call)})")
        if name in _SAME:
            return expression_of(f"{name}({self._part(call)})")
        count = self._part(_call(call, "count"))
        if name in ("avg", "mean"):
            total = self._part(_call(call, "sum"))
            return expression_of(f"cast(sum({total}) as double) / sum({count})")
        return self._spread(call, name, count)

    def _spread(self, call: Node, name: str, count: str) -> Node:
        """Merge mean and squared distances (Chan's way: sums of squares would cancel out)."""
        mean, distance = self._part(_call(call, "avg")), self._part(_call(call, "var_pop"))
        part = f"struct_pack(n := cast({count} as double), m := {mean}, s := {distance} * {count})"
        parts = f"list({part}) filter (where {count} > 0)"
        whole = _CHAN.format(parts=parts)
        enough, value = _SPREADS[name]
        return expression_of(
            f"list_transform([{whole}], lambda v: case when {enough} then {value} end)[1]"
        )

    def _part(self, call: Node) -> str:
        wanted = canonical(call)
        for name, known in self.merged:
            if canonical(known) == wanted:
                return name
        name = self._name("p")
        self.merged.append((name, {**copied(call), "alias": ""}))
        return name

    def _name(self, letter: str) -> str:
        self._numbers += 1
        return f"__ess_{letter}{self._numbers}"

    def _collect(self, call: Node, *, distinct: bool) -> Node:
        """Let the values travel; the aggregate itself runs where they come together."""
        columns: list[tuple[str, Node]] = []

        def carried(node: Node) -> Node:
            if node["class"] == "CONSTANT":
                return node
            wanted = canonical(node)
            for name, known in columns:
                if canonical(known) == wanted:
                    return column(name)
            columns.append((self._name("v"), {**copied(node), "alias": ""}))
            return column(columns[-1][0])

        kind = len(self.extras) + 1
        made: Node = {**copied(call), "alias": ""}
        made["arguments"] = [
            {**item, "expression": carried(item["expression"])} for item in call["arguments"]
        ]
        for order in made["order_bys"]["orders"]:
            order["expression"] = carried(order["expression"])
        made["filter"] = expression_of(f"{KIND} = {kind}")
        self.extras.append(Extra(kind, tuple(columns), copied(call["filter"]), distinct))
        return made


def way_of(call: Node) -> Literal["merged", "distinct", "rows"]:
    """Return how an aggregate comes apart, by its name and form."""
    name, arguments = call["function_name"].lower(), call["arguments"]
    if call["order_bys"]["orders"] or any(item["name"] for item in arguments):
        return "rows"
    if name == "approx_count_distinct" or (call["distinct"] and len(arguments) == 1):
        return "distinct"
    if call["distinct"]:
        return "rows"
    known = ("count", "sum", "avg", "mean", *_SAME, *_SPREADS)
    if name == "count_star" or (len(arguments) == 1 and name in known):
        return "merged"
    return "rows"


def _argument(call: Node) -> Node:
    node: Node = call["arguments"][0]["expression"]
    return node


def _call(call: Node, name: str) -> Node:
    """Return another aggregate of the same values."""
    made = {**copied(call), "alias": "", "function_name": name, "qualified_name": {"path": [name]}}
    argument = made["arguments"][0]["expression"]
    if name in ("avg", "var_pop"):
        cast = expression_of("cast(x as double)")
        cast["child"] = argument
        made["arguments"][0]["expression"] = cast
    return made
