"""What an option list means: a frozen program, names resolved, types checked, nothing opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from ess_dask.aq.columns import ColumnSpec, SpecItem
from ess_dask.aq.kinds import Kind, Value
from ess_dask.aq.patterns.render import Template
from ess_dask.aq.tree import Node, Reference
from ess_dask.dataclass import dataclass

FormatName = Literal["csv", "sep", "fix", "div", "tab", "jsn", "xml", "bin", "aq"]


@dataclass(frozen=True, slots=True)
class InputFormat:
    """How records and fields are told apart."""

    name: FormatName = "csv"
    separator: str = ","
    escape: bool = False
    base: str = ""


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """What bad records cost. ``limit`` of them per file, or per ``rows`` records, are dropped.

    ``limit`` None is any number, 0 makes the first one fatal; ``messages`` None prints all of
    them, otherwise so many per file.
    """

    limit: int | None = 0
    rows: int = 0
    messages: int | None = None


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Files of one shape. ``slots`` says where in the row each column goes, -1 for nowhere."""

    files: tuple[str, ...]
    format: InputFormat
    items: tuple[SpecItem, ...]
    slots: tuple[int, ...] = ()
    skip: int = 0
    skip_unit: str = "l"
    rejects_extra: bool = False
    errors: ErrorPolicy = ErrorPolicy()
    record_bytes: int = 65536

    @property
    def columns(self) -> tuple[ColumnSpec, ...]:
        """The columns without the separators between them."""
        return tuple(item for item in self.items if isinstance(item, ColumnSpec))


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """How rows are written."""

    name: Literal["csv", "sep", "jsn", "bin", "aq"] = "csv"
    separator: str = ","
    title: bool = True
    short_floats: bool = False
    escape: bool = False
    append: bool = False
    nodelay: bool = False


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column in an output: what, under which title, in which printf format ('': its own)."""

    source: Reference
    title: str
    print_format: str = ""


def numbered(columns: Iterable[tuple[str, Kind]]) -> tuple[OutputColumn, ...]:
    """Return output columns by name and type whose values stand in their order."""
    return tuple(
        OutputColumn(Reference(at, name, kind), name) for at, (name, kind) in enumerate(columns)
    )


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """Where rows go. With ``follows`` the target is that variable's value, whenever it changes."""

    target: str
    format: OutputFormat
    columns: tuple[OutputColumn, ...]
    follows: Reference | None = None


@dataclass(frozen=True, slots=True)
class Eval:
    """Set ``target`` (None: nothing) to a value."""

    target: Reference | None
    expression: Node


@dataclass(frozen=True, slots=True)
class Filter:
    """Keep rows for which the condition holds."""

    condition: Node


@dataclass(frozen=True, slots=True)
class Matcher:
    """An extraction rule and its syntax: regular expression if any attribute says so, else RT."""

    rule: str
    attributes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Extract:
    """``-mapf``: put what ``matcher`` extracts into hidden slots, by the order of its groups."""

    column: Reference
    matcher: Matcher
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Render:
    """``-mapc``: set ``target`` to a template; ``slots`` are those of its names, -1 if unknown."""

    target: Reference
    template: Template
    slots: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """``-map``: rewrite a column by a rule and a template; unmatched values stay."""

    column: Reference
    matcher: Matcher
    template: Template
    slots: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class KeyEncode:
    """``-kenc``."""

    target: Reference
    sources: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class KeyField:
    """One field of ``-kdec``: its type, where it goes (None: nowhere), whether the key keeps it."""

    kind: Kind
    target: Reference | None
    kept: bool


@dataclass(frozen=True, slots=True)
class KeyDecode:
    """``-kdec``."""

    key: Reference
    fields: tuple[KeyField, ...]


@dataclass(frozen=True, slots=True)
class Substitute:
    """``-sub``: replace a column by a table; ``source`` and ``result`` are columns of the files."""

    column: Reference
    table: InputSpec
    source: int
    result: int
    ncas: bool
    patterns: bool
    required: bool
    every: bool


@dataclass(frozen=True, slots=True)
class Grep:
    """``-grep``: keep rows found in a table (or not found)."""

    column: Reference
    table: InputSpec
    source: int
    ncas: bool
    patterns: bool
    reverse: bool


@dataclass(frozen=True, slots=True)
class Combine:
    """``-cmb``: join a table; pairs are (column of the row, column of the files).

    ``order`` is '' for a table in memory, ``asc`` or ``desc`` for two sorted inputs.
    """

    table: InputSpec
    keys: tuple[tuple[Reference, int], ...]
    values: tuple[tuple[Reference, int], ...]
    ncas: bool
    required: bool
    every: bool
    order: Literal["", "asc", "desc"]


@dataclass(frozen=True, slots=True)
class Unwrap:
    """``-pmod unwrap_strv``: one row for each delimited value."""

    source: Reference
    separator: str
    target: Reference
    relax: bool
    noblank: bool


@dataclass(frozen=True, slots=True)
class Message:
    """``-mesg``: print a text to stderr."""

    text: str


@dataclass(frozen=True, slots=True)
class Emit:
    """``-o``, ``-c``: write the row as it is here. ``output`` counts from 0 in the program."""

    output: int


@dataclass(frozen=True, slots=True)
class Import:
    """``-imp``: hand the row as it is here to a table in memory."""

    request: ImportRequest
    index: int


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What ``-imp`` asks for. ``columns`` is what may be imported, by name."""

    database: str
    table: str
    columns: tuple[tuple[str, Reference], ...]
    spec_file: str = ""
    attributes: frozenset[str] = frozenset()
    segment: str = ""
    servers: tuple[str, ...] = ()
    local: bool = False
    module: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What ``-exp`` or ``-cnt`` asks for: database, table and the options up to ``--``."""

    action: Literal["exp", "cnt"]
    database: str
    table: str
    spec_file: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Always:
    """``-true`` or ``-false``."""

    holds: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """``-skip`` this row, ``-quit`` now, or ``-quitafter`` this record."""

    how: Literal["skip", "quit", "quitafter"]


@dataclass(frozen=True, slots=True)
class Branch:
    """A rule to check, perhaps negated, and what runs if it holds."""

    check: Rule
    negated: bool
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Conditional:
    """``-if`` to ``-endif``: the first branch that holds, else ``otherwise``."""

    branches: tuple[Branch, ...]
    otherwise: tuple[Rule, ...]


Rule = (
    Eval
    | Filter
    | Extract
    | Render
    | Rewrite
    | KeyEncode
    | KeyDecode
    | Substitute
    | Grep
    | Combine
    | Unwrap
    | Message
    | Emit
    | Import
    | Always
    | Stop
    | Conditional
)


def flat(rules: Iterable[Rule]) -> Iterator[Rule]:
    """Yield all rules in the order of the option list, checks before what they guard."""
    for rule in rules:
        yield rule
        if isinstance(rule, Conditional):
            for branch in rule.branches:
                yield from flat((branch.check,))
                yield from flat(branch.rules)
            yield from flat(rule.otherwise)


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that lives over all rows, and what it is at the start."""

    reference: Reference
    initial: Value


@dataclass(frozen=True, slots=True)
class Program:
    """A whole ``aq_pp`` command.

    ``kinds`` are those of the row's slots, hidden ones included; ``outputs`` are written by
    ``Emit`` rules, ``finals`` once at the end; ``checks`` counts ``-test``.
    """

    inputs: tuple[InputSpec, ...]
    export: ExportRequest | None
    kinds: tuple[Kind, ...]
    variables: tuple[Variable, ...]
    rules: tuple[Rule, ...]
    outputs: tuple[OutputSpec, ...]
    finals: tuple[OutputSpec, ...]
    seed: int = 1
    statistics: bool = False
    verbose: bool = False
    checks: int = 0

    @property
    def imports(self) -> tuple[Import, ...]:
        """The rules that hand rows to tables in memory."""
        return tuple(rule for rule in flat(self.rules) if isinstance(rule, Import))
