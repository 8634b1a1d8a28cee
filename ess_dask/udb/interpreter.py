"""A request row by row: each key in its turn, its groups, then its rows, as the manual tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any

from ess_dask.aq.inputs.reading import Inputs, Row
from ess_dask.aq.kinds import Value
from ess_dask.aq.program import Eval, Filter, Program
from ess_dask.aq.rows.state import State
from ess_dask.aq.rows.steps import step_of
from ess_dask.aq.stores import NoStore
from ess_dask.dataclass import dataclass
from ess_dask.tables.spec import KEYS
from ess_dask.udb.effects import assigned_by
from ess_dask.udb.model import Choice, Delete, Destination, Goto, Request, Rule, Stage

GO_ON, NEXT_ROW, NEXT_GROUP, TO_EXPORT, NEXT_KEY = range(5)
_CODES: dict[Destination, int] = {
    "next_row": NEXT_ROW,
    "next_pp": NEXT_GROUP,
    "proc_key": TO_EXPORT,
    "next_key": NEXT_KEY,
}
Run = Callable[[Row], int]
"""Runs the rules over a row and says where to go on."""


@dataclass(slots=True)
class KeyRows:
    """One key: its place and values, and the rows of each object with their places.

    A row holds the object's own columns. A vector has one row; ``held`` counts those in memory.
    """

    place: int
    values: list[Value]
    rows: dict[str, list[Row]]
    places: dict[str, list[int]]
    held: dict[str, int]
    chosen: bool = True
    removed: bool = False


class RuleState(State):
    """The state of ``aq`` rules; a row that cannot be evaluated is counted, its reason kept."""

    reason: str = ""

    def complain(self, text: str) -> None:
        """Count a row that was dropped because an evaluation failed."""
        self.failed += 1
        self.reason = self.reason or text


def rule_state(request: Request, variables: list[Value]) -> RuleState:
    """Return a state whose variables are those of the database."""
    program = Program((), None, (), (), (), (), (), request.seed)
    state = RuleState(program, Inputs(), NoStore(), variables)
    state.random.seed(request.seed)
    return state


@dataclass(slots=True)
class Emitted:
    """What is exported: the places of key and row, and the values of the result's columns."""

    keys: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    values: list[list[Value]] = field(default_factory=list)


class Interpreter:
    """Runs a request over keys; ``emitted`` and the changed keys are what it leaves."""

    def __init__(self, request: Request, state: RuleState) -> None:
        self._state = state
        self._groups = [_StageRun(stage, state, is_group=True) for stage in request.groups]
        self._main = _StageRun(request.main, state, is_group=False)
        self._results = [(ref.slot, ref.variable) for ref in request.results]
        self._emits = request.action == "exp"
        self._counts_keys = not request.main.rules
        self.emitted = Emitted()
        self.counted_keys = 0
        self.counted_rows = 0

    def run(self, key: KeyRows) -> None:
        """Process one key."""
        for group in self._groups:
            where = group.run(key, None)
            if where == NEXT_KEY:
                return
            if where == TO_EXPORT:
                break
        before = self.counted_rows
        self._main.run(key, self._export)
        if self._counts_keys or self.counted_rows > before:
            self.counted_keys += 1

    def _export(self, key: KeyRows, place: int, row: Row) -> None:
        self.counted_rows += 1
        if self._emits:
            variables = self._state.variables
            self.emitted.keys.append(key.place)
            self.emitted.places.append(place)
            self.emitted.values.append(
                [variables[slot] if variable else row[slot] for slot, variable in self._results]
            )


class _StageRun:
    """The rules of one stage over the rows that a key has of its object."""

    def __init__(self, stage: Stage, state: RuleState, *, is_group: bool) -> None:
        self._state = state
        self._name = stage.entity.name
        self._each_key = [(ref.slot, value) for ref, value in stage.each_key]
        self._post = _CODES[stage.post]
        self._load = _Loader(stage)
        self._deleted = _Deleted()
        # A key is the only row of the keys: dropped by a group it is out of the export, too.
        dropped = NEXT_KEY if is_group and stage.entity.role == "keys" else NEXT_ROW
        self._rules = _compile(stage.rules, state, self._deleted, dropped)
        self._single = stage.entity.role in ("keys", "variables")
        vector = stage.entity.fields if stage.entity.role == "vector" else ()
        self._blanks = [field_.kind.blank for field_ in vector]

    def run(self, key: KeyRows, export: Callable[[KeyRows, int, Row], None] | None) -> int:
        """Process the rows of a key; return where it goes on."""
        state, load, rules = self._state, self._load, self._rules
        for slot, value in self._each_key:
            state.variables[slot] = value
        rows: list[Row] = [[]] if self._single else key.rows[self._name]
        places = [key.place] if self._single else key.places[self._name]
        gone: set[int] = set()
        where = self._post
        for at, own in enumerate(rows):
            state.counts.records = at + 1
            row = load.row(key, own)
            code = rules(row)
            load.save(key, own, row)
            if self._deleted.taken() and not self._delete(key, at, gone):
                return NEXT_KEY
            if code == GO_ON:
                if export:
                    export(key, places[at], row)
            elif code > NEXT_ROW:
                where = code
                break
        if gone:
            self._drop(key, gone)
        return where

    def _delete(self, key: KeyRows, at: int, gone: set[int]) -> bool:
        """Delete the row, or the key: then return False."""
        if self._deleted.what == "key" or self._single:
            key.removed = True
            return False
        gone.add(at)
        return True

    def _drop(self, key: KeyRows, gone: set[int]) -> None:
        if self._blanks:
            # A vector always has its row.
            key.rows[self._name][0][:] = self._blanks
            key.held[self._name] = 0
            return
        kept = [at for at in range(len(key.rows[self._name])) if at not in gone]
        for part in (key.rows, key.places):
            whole: list[Any] = part[self._name]
            whole[:] = [whole[at] for at in kept]
        key.held[self._name] = len(kept)


@dataclass(slots=True)
class _Deleted:
    """What the rules have just deleted."""

    what: str = ""
    waiting: bool = False

    def mark(self, what: str) -> None:
        self.what, self.waiting = what, True

    def taken(self) -> bool:
        waiting, self.waiting = self.waiting, False
        return waiting


class _Loader:
    """Brings the columns that a stage's rules use into one row, and what they set back."""

    def __init__(self, stage: Stage) -> None:
        self._key: list[tuple[int, int]] = []
        self._own: list[tuple[int, int]] = []
        self._other: list[tuple[int, str, int]] = []
        self._counts: list[tuple[int, str]] = []
        for slot, source in enumerate(stage.slots):
            if not source.column:
                self._counts.append((slot, source.entity))
            elif source.entity == KEYS:
                self._key.append((slot, source.index))
            elif source.entity == stage.entity.name:
                self._own.append((slot, source.index))
            else:
                self._other.append((slot, source.entity, source.index))
        assigned = {ref.slot for ref in assigned_by(stage) if not ref.variable}
        self._own_set = [pair for pair in self._own if pair[0] in assigned]
        self._other_set = [triple for triple in self._other if triple[0] in assigned]
        self._width = len(stage.slots)

    def row(self, key: KeyRows, own: Row) -> Row:
        row: Row = [0] * self._width
        for slot, at in self._key:
            row[slot] = key.values[at]
        for slot, at in self._own:
            row[slot] = own[at]
        for slot, name, at in self._other:
            row[slot] = key.rows[name][0][at]
        for slot, name in self._counts:
            row[slot] = 1 if name == KEYS else key.held[name]
        return row

    def save(self, key: KeyRows, own: Row, row: Row) -> None:
        for slot, at in self._own_set:
            own[at] = row[slot]
        for slot, name, at in self._other_set:
            key.rows[name][0][at] = row[slot]


def _compile(rules: tuple[Rule, ...], state: RuleState, deleted: _Deleted, dropped: int) -> Run:
    """Return what runs a row through the rules."""
    steps = [_step(rule, state, deleted, dropped) for rule in rules]

    def run(row: Row) -> int:
        for step in steps:
            code = step(row)
            if code:
                return code
        return GO_ON

    return run


def _step(rule: Rule, state: RuleState, deleted: _Deleted, dropped: int) -> Run:
    if isinstance(rule, Eval | Filter):
        holds = step_of(rule, state, check=False)
        return lambda row: GO_ON if holds(row) else dropped
    if isinstance(rule, Goto):
        code = _CODES[rule.to]
        return lambda _: code
    if isinstance(rule, Delete):
        return _deletion(rule, deleted)
    return _choice(rule, state, deleted, dropped)


def _deletion(rule: Delete, deleted: _Deleted) -> Run:
    code, what = _CODES[rule.to], rule.what

    def run(_: Row) -> int:
        deleted.mark(what)
        return code

    return run


def _choice(rule: Choice, state: RuleState, deleted: _Deleted, dropped: int) -> Run:
    cases = [
        (
            step_of(case.check, state, check=True),
            not case.negated,
            _compile(case.rules, state, deleted, dropped),
        )
        for case in rule.cases
    ]
    otherwise = _compile(rule.otherwise, state, deleted, dropped)

    def run(row: Row) -> int:
        for check, wanted, inside in cases:
            if check(row) == wanted:
                return inside(row)
        return otherwise(row)

    return run
