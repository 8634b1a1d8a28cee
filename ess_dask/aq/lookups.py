"""Tables that rules look values up in, loaded once before the first row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ess_dask.aq.addresses import order_of
from ess_dask.aq.errors import InputDataError
from ess_dask.aq.functions.strings import lower
from ess_dask.aq.inputs.reading import Counts, Inputs, Row
from ess_dask.aq.kinds import Kind, Value, storing
from ess_dask.aq.patterns.glob import compile_glob, has_wildcard, literal_of
from ess_dask.aq.program import Combine, Grep, InputSpec, Substitute

Key = tuple[Value, ...]
_REMEMBERED = 1 << 16
"""Values whose pattern matches are kept."""


def table_rows(spec: InputSpec, inputs: Inputs) -> Iterator[Row]:
    """Yield the rows of a lookup input; values stand at the places of their columns."""
    columns = spec.columns
    slots = tuple(at if column.kind else -1 for at, column in enumerate(columns))
    blank: Row = [column.kind.blank if column.kind else "" for column in columns]
    return inputs.rows(replace(spec, slots=slots), blank, Counts())


class ValueTable:
    """Strings by exact value and by pattern, in the order of the files.

    ``find`` returns the results of all matches: exact ones first, patterns next.
    """

    def __init__(
        self, pairs: Iterator[tuple[str, str]], *, ncas: bool, patterns: bool, every: bool
    ) -> None:
        self._ncas = ncas
        self._every = every
        self._exact: dict[str, list[str]] = {}
        self._patterns: list[tuple[Callable[[str], object], str]] = []
        self._known: dict[str, tuple[str, ...]] = {}
        for source, result in pairs:
            if patterns and has_wildcard(source):
                self._patterns.append((compile_glob(source, ncas=ncas).fullmatch, result))
                continue
            literal = literal_of(source) if patterns else source
            found = self._exact.setdefault(lower(literal) if ncas else literal, [])
            if every or not found:
                found.append(result)

    def find(self, value: str) -> tuple[str, ...]:
        """Return the results for ``value``, () if nothing matches; one unless ``every``."""
        exact = self._exact.get(lower(value) if self._ncas else value, ())
        if not self._patterns or (exact and not self._every):
            return tuple(exact)
        known = self._known.get(value)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[value] = self._by_pattern(value)
        return (*exact, *known)

    def _by_pattern(self, value: str) -> tuple[str, ...]:
        found = (result for match, result in self._patterns if match(value))
        return tuple(found) if self._every else tuple(found)[:1]


def substitute_table(rule: Substitute, inputs: Inputs) -> ValueTable:
    """Return the table of a ``-sub``."""
    rows = table_rows(rule.table, inputs)
    pairs = ((str(row[rule.source]), str(row[rule.result])) for row in rows)
    return ValueTable(pairs, ncas=rule.ncas, patterns=rule.patterns, every=rule.every)


def grep_table(rule: Grep, inputs: Inputs) -> ValueTable:
    """Return the table of a ``-grep``."""
    pairs = ((str(row[rule.source]), "") for row in table_rows(rule.table, inputs))
    return ValueTable(pairs, ncas=rule.ncas, patterns=rule.patterns, every=False)


class JoinTable:
    """The table of a ``-cmb`` in memory: the values to set, by key."""

    def __init__(self, rule: Combine, inputs: Inputs) -> None:
        self._shape = _Shape(rule)
        self._rows: dict[Key, list[Key]] = {}
        for row in table_rows(rule.table, inputs):
            found = self._rows.setdefault(self._shape.table_key(row), [])
            if rule.every or not found:
                found.append(self._shape.values(row))

    def find(self, key: Sequence[Value]) -> Sequence[Key]:
        """Return the values of every matching row, of the first one only unless ``all``."""
        return self._rows.get(self._shape.key(key), ())

    def items(self) -> Iterator[tuple[Key, Key]]:
        """Yield (key, values) of every row, those of a key in their order."""
        for key, found in self._rows.items():
            for values in found:
                yield key, values


class _Shape:
    """Keys and values of the table's rows as the join compares and sets them."""

    def __init__(self, rule: Combine) -> None:
        self._places = [at for _, at in rule.keys]
        self._text = [reference.kind is Kind.S for reference, _ in rule.keys]
        self._ncas = rule.ncas
        stores = []
        for target, at in rule.values:
            kind = rule.table.columns[at].kind
            assert kind
            store = storing(kind.type, target.kind)
            assert store
            stores.append((at, store))
        self._stores = stores

    def key(self, values: Sequence[Value]) -> Key:
        if not self._ncas:
            return tuple(values)
        return tuple(
            lower(str(value)) if text else value
            for value, text in zip(values, self._text, strict=True)
        )

    def table_key(self, row: Row) -> Key:
        return self.key([row[at] for at in self._places])

    def values(self, row: Row) -> Key:
        return tuple(store(row[at]) for at, store in self._stores)


class MergeTable:
    """The table of a ``-cmb,mrg``: both sides are sorted by the key, one pass suffices."""

    def __init__(self, rule: Combine, inputs: Inputs) -> None:
        self._shape = _Shape(rule)
        self._addresses = [reference.kind is Kind.IP for reference, _ in rule.keys]
        self._descending = rule.order == "desc"
        self._every = rule.every
        self._rows = table_rows(rule.table, inputs)
        self._next = next(self._rows, None)
        self._key: tuple[object, ...] | None = None
        self._group: list[Key] = []

    def find(self, key: Sequence[Value]) -> Sequence[Key]:
        """Return the values of the rows with this key; keys must come in order."""
        wanted = self._order(self._shape.key(key))
        if self._key is not None and wanted != self._key and self._before(wanted, self._key):
            raise InputDataError(
                "-cmb,mrg: the records are not sorted by the key",
                hint="sort them with aq_ord, or leave mrg out",
            )
        if wanted != self._key:
            self._key, self._group = wanted, []
            self._advance(wanted)
        return self._group if self._every else self._group[:1]

    def _advance(self, wanted: tuple[object, ...]) -> None:
        while self._next is not None:
            own = self._order(self._shape.table_key(self._next))
            if self._before(wanted, own):
                return
            if own == wanted:
                self._group.append(self._shape.values(self._next))
            self._next = next(self._rows, None)

    def _order(self, key: Key) -> tuple[object, ...]:
        return tuple(
            order_of(str(value)) if address else value
            for value, address in zip(key, self._addresses, strict=True)
        )

    def _before(self, first: tuple[object, ...], second: tuple[object, ...]) -> bool:
        return bool(second < first) if self._descending else bool(first < second)


def load_table(
    rule: Substitute | Grep | Combine, inputs: Inputs
) -> ValueTable | JoinTable | MergeTable:
    """Return the table of a rule."""
    if isinstance(rule, Combine):
        return MergeTable(rule, inputs) if rule.order else JoinTable(rule, inputs)
    return (
        substitute_table(rule, inputs) if isinstance(rule, Substitute) else grep_table(rule, inputs)
    )
