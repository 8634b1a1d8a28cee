"""A statement over a category's columns: what is read, what is kept, what is printed.

The where clause becomes a ``-filt`` of ``aq_pp``, the column specification its ``-d``; so types,
blanks, bad records and expressions mean here what they mean there.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

from ess_dask.aq.inputs.reading import Inputs
from ess_dask.aq.parsing.command import parse_command
from ess_dask.aq.program import Emit, OutputColumn, OutputFormat, OutputSpec, Program
from ess_dask.aq.programs.options import columns_of, no_export
from ess_dask.aq.sql import Name, Statement, as_filter
from ess_dask.aq.tree import Reference
from ess_dask.catalog.model import Category
from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError
from ess_dask.records.columnspec import parse_items

_DAY = r"\d{4}(?:-\d\d(?:-\d\d(?:[ T]\d\d(?::\d\d(?::\d\d)?)?)?)?)?"
_BOUND = rf"""\*|"[^"]*"|'[^']*'|{_DAY}|[^:'"]*"""
_SOURCE = re.compile(rf"(?P<category>[^:'\"\s]+):(?P<lower>{_BOUND}):(?P<upper>{_BOUND})", re.ASCII)

Shape = Literal["rows", "counts", "groups"]


@dataclass(frozen=True, slots=True)
class Source:
    """What a query reads: a category from a lower to an upper bound, both inclusive."""

    category: str
    lower: str
    upper: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A query over the columns of a category. ``program`` has its input and filter, no output.

    ``columns`` are what is printed of a row, or the columns that are grouped by. ``distinct`` has,
    for each such count, its title and the columns whose different values are counted.
    """

    shape: Shape
    program: Program
    columns: tuple[Reference, ...]
    distinct: tuple[tuple[str, tuple[Reference, ...]], ...] = ()
    order: tuple[Reference, ...] = ()
    descending: bool = False
    limit: int | None = None

    @property
    def needed(self) -> tuple[Reference, ...]:
        """The columns whose values matter behind the filter, each once."""
        counted = (column for _, columns in self.distinct for column in columns)
        return tuple(dict.fromkeys((*self.columns, *self.order, *counted)))

    @property
    def ends_early(self) -> bool:
        """Whether the first rows that are found may be all of the answer."""
        return self.shape == "rows" and self.limit is not None and not self.order

    @property
    def titles(self) -> tuple[str, ...]:
        """The names of all fields of a record, in lower case; '' for one without."""
        return tuple(column.folded for column in self.program.inputs[0].columns)

    @property
    def counted(self) -> tuple[tuple[Reference, ...], ...]:
        """The columns of each count of values: those grouped by, or each distinct's."""
        return (self.columns,) if self.shape == "groups" else tuple(c for _, c in self.distinct)

    @property
    def output(self) -> OutputSpec:
        """How the rows of a select are written."""
        columns = tuple(OutputColumn(column, column.name) for column in self.columns)
        return OutputSpec("-", OutputFormat(title=False), columns)


def source_of(statement: Statement) -> Source:
    """Return category and bounds of ``CAT:START:END``; a bound with blanks may be quoted.

    Raises ``OptionError`` for another form; whether a bound is a date the category knows.
    """
    match = _SOURCE.fullmatch(statement.source)
    if match is None:
        statement.refuse(
            f"{statement.source!r} is no range of a category",
            statement.source_at,
            "write CATEGORY:START:END, such as purchase:2014-09-01:2014-09-30; * is open",
        )
    return Source(match["category"], match["lower"].strip("\"' "), match["upper"].strip("\"' "))


def make_plan(statement: Statement, category: Category) -> Plan:
    """Return the plan of a statement; ``OptionError`` or ``UsageError`` for what does not fit."""
    program = _program(statement, category)
    names = _Columns(statement, program)
    if not statement.counts:
        return Plan(
            "rows",
            program,
            names.all(statement.columns),
            order=names.all(statement.order),
            descending=statement.descending,
            limit=statement.limit,
        )
    counted = [(count, names.all((count.column,))) for count in statement.counts]
    names.all(statement.columns)
    if statement.groups:
        groups = dict.fromkeys(names.all(statement.groups))
        return Plan("groups", program, tuple(groups))
    distinct = tuple(
        (f"k_{columns[0].name if len(columns) == 1 else count.column.text}", columns)
        for count, columns in counted
        if count.distinct
    )
    return Plan("counts", program, (), distinct)


class _Columns:
    """The columns of a category by name."""

    def __init__(self, statement: Statement, program: Program) -> None:
        self._statement = statement
        self._known = columns_of(program)

    def all(self, names: tuple[Name, ...]) -> tuple[Reference, ...]:
        """Return what the names stand for; ``*`` for all columns."""
        return tuple(column for name in names for column in self._of(name))

    def _of(self, name: Name) -> tuple[Reference, ...]:
        if name.text == "*":
            return tuple(self._known.values())
        found = self._known.get(name.text.lower())
        if found is None:
            known = ", ".join(column.name for column in self._known.values())
            self._statement.refuse(
                f"unknown column {name.text!r}", name.at, f"the columns are: {known}"
            )
        return (found,)


def _program(statement: Statement, category: Category) -> Program:
    """Return the program with the category's input and the statement's filter."""
    if not category.columnspec:
        raise UsageError(
            f"category {category.name!r} has no columns",
            hint=f"ess probe {category.name}, or ess category change columnspec",
        )
    columns = [
        ",".join((item.letter, *item.attributes)) + (f":{item.name}" if item.name else "")
        for item in parse_items(category.columnspec)
    ]
    words = ["-f,eok,qui,csv," + _separator(category), "-", "-d", *columns]
    if statement.where:
        words += ["-filt", as_filter(statement.where)]
    program = parse_command(words, Inputs().read_header, no_export)
    if not program.kinds:
        raise UsageError(f"category {category.name!r} has no column that is not skipped (X)")
    rules = tuple(rule for rule in program.rules if not isinstance(rule, Emit))
    return replace(program, rules=rules, outputs=())


def _separator(category: Category) -> str:
    text = category.delimiter or ","
    return f"sep=\\x{ord(text):02x}" if len(text) == 1 else f"sep={text}"
