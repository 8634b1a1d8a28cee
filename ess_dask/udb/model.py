"""What an aq_udb command asks for: a frozen request, names resolved, types checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from ess_dask.aq.kinds import Kind, Value
from ess_dask.aq.program import Eval, Filter, OutputSpec
from ess_dask.aq.tree import Reference
from ess_dask.dataclass import dataclass
from ess_dask.udb.sampling import Sample
from ess_dask.udb.specs import Database, Entity

Destination = Literal["next_row", "next_pp", "proc_key", "next_key"]
"""Where a key's processing goes on, from near to far."""


@dataclass(frozen=True, slots=True)
class Goto:
    """Leave the row, the group, all groups or the key."""

    to: Destination


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the row or the key for good, and go on at ``to``."""

    what: Literal["row", "key"]
    to: Destination


@dataclass(frozen=True, slots=True)
class Case:
    """A check, perhaps negated, and what runs if it holds."""

    check: Eval | Filter
    negated: bool
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """``-if`` to ``-endif``: the first case that holds, else ``otherwise``."""

    cases: tuple[Case, ...]
    otherwise: tuple[Rule, ...]


Rule = Eval | Filter | Goto | Delete | Choice


def flat(rules: Iterable[Rule]) -> Iterator[Rule]:
    """Yield all rules in the order of the option list, checks before what they guard."""
    for rule in rules:
        yield rule
        if isinstance(rule, Choice):
            for case in rule.cases:
                yield case.check
                yield from flat(case.rules)
            yield from flat(rule.otherwise)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a slot of a row comes from: a column of an object, '' for its number of rows.

    ``index`` counts the columns of the key if the object is the keys, else the object's own.
    """

    entity: str
    column: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """Rules over the rows of one object for each key: a ``-pp`` group, or the export itself.

    ``slots`` say what a row is made of, ``each_key`` what variables are set to before the rows.
    """

    entity: Entity
    slots: tuple[Source, ...]
    kinds: tuple[Kind, ...]
    rules: tuple[Rule, ...] = ()
    each_key: tuple[tuple[Reference, Value], ...] = ()
    post: Destination = "next_pp"


@dataclass(frozen=True, slots=True)
class Sort:
    """Columns to sort a result by."""

    columns: tuple[Reference, ...]
    ncas: bool = False
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a result is wanted; None is all of it."""

    keys: int | None = None
    records: int | None = None
    per_key: int | None = None
    top: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """An export, count or scan. ``settings`` are the variables set at its beginning."""

    action: Literal["exp", "cnt", "scn"]
    database: Database
    counts_rows: bool
    groups: tuple[Stage, ...]
    main: Stage
    settings: tuple[tuple[Reference, Value], ...] = ()
    outputs: tuple[OutputSpec, ...] = ()
    sort: Sort | None = None
    limits: Limits = Limits()
    sample: Sample | None = None
    seed: int = 1

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All groups, the export last."""
        return (*self.groups, self.main)

    @property
    def results(self) -> tuple[Reference, ...]:
        """What a row of the result must hold: columns of the outputs and of the sort, each once."""
        wanted = [column.source for output in self.outputs for column in output.columns]
        wanted += self.sort.columns if self.sort else ()
        return tuple(dict.fromkeys(wanted))
