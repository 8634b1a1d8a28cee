"""What a step's rules do to the columns of its rows: settled before any row is seen."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.aq.errors import OptionError
from ess_dask.aq.inputs.reading import Inputs
from ess_dask.aq.kinds import Kind
from ess_dask.aq.parsing.command import parse_command
from ess_dask.aq.parsing.tokens import is_option
from ess_dask.aq.program import (
    Combine,
    Conditional,
    ExportRequest,
    Grep,
    InputSpec,
    OutputColumn,
    Program,
    Rule,
    Stop,
    Substitute,
    flat,
)
from ess_dask.aq.step_columns import kind_of, type_of
from ess_dask.aq.tree import Builtin, Reference, walk
from ess_dask.aq.vector.plan import assigned, expressions_of, is_stateful, why_rows
from ess_dask.clean.protocol import ROW_LABEL, Per
from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.aq.columns import ColumnSpec

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,30}", re.ASCII)
_PER_FILE = "use `per: file`: the rules then see one whole file"


@dataclass(frozen=True, slots=True, eq=False)
class StepPlan:
    """A program whose only output has the ``computed`` columns and, last, the row's number.

    ``inputs``: slot and name of the columns of the table that rules may read. ``columns``: the
    result's, each (title, input column that goes through, '' for the next computed one).
    """

    program: Program
    inputs: tuple[tuple[int, str], ...]
    computed: tuple[Reference, ...]
    columns: tuple[tuple[str, str], ...]
    schema: pa.Schema
    by_rows: bool
    lookups: tuple[str, ...]


@lru_cache(maxsize=64)
def plan_step(words: tuple[str, ...], per: Per, schema: pa.Schema, folder: str) -> StepPlan:
    """Return the plan of a step on columns; ``schema`` is without the label.

    Lookup files are taken from ``folder``. Raises ``OptionError`` for what does not fit.
    """
    if not is_option(words[0]):
        raise OptionError(f"a rule begins with a dash, not with {words[0]!r}")
    declared = {name: kind for name, kind in _declared(schema).items() if name}
    specs = [f"{kind.value}:{name}" for name, kind in declared.items()]
    program = parse_command(
        ["-d", *specs, f"LS:{ROW_LABEL}", *words], Inputs().read_header, _no_export
    )
    _check(program, per)
    slots = dict(zip((*declared, ROW_LABEL), program.inputs[0].slots, strict=True))
    outputs = _outputs(program, slots, schema, selects="-c" in words)
    return _planned(program, slots, outputs, schema, folder)


def _declared(schema: pa.Schema) -> dict[str, Kind]:
    """Return the columns that rules can name, and what they are to them."""
    return {field.name: kind_of(field.type) for field in schema if _NAME.fullmatch(field.name)}


def _no_export(request: ExportRequest) -> tuple[ColumnSpec, ...]:
    raise OptionError(f"-{request.action} is not for a cleaning step", hint=_ROWS_COME)


_ROWS_COME = "its rows come from the pipeline and go on in it"


def _check(program: Program, per: Per) -> None:
    files = len(program.inputs) > 1 or program.inputs[0].files not in ((), ("-",))
    elsewhere = any(output.target != "-" or output.follows for output in program.outputs)
    if files or elsewhere or program.finals or program.imports or len(program.outputs) != 1:
        raise OptionError(
            "a cleaning step has no -f, -cat, -o, -ovar or -imp, and one -c", hint=_ROWS_COME
        )
    nodes = [
        node
        for rule in flat(program.rules)
        for expression in expressions_of(rule)
        for node in walk(expression)
        if isinstance(node, Builtin)
    ]
    if any(node.name in ("cursec", "curusec") for node in nodes):
        raise OptionError("the time changes from run to run", hint="write the value")
    rules = list(flat(program.rules))
    other_rows = (
        is_stateful(program)
        or any(node.name == "random" for node in nodes)
        or any(isinstance(rule, Stop) and rule.how != "skip" for rule in rules)
        or any(isinstance(rule, Combine) and rule.order for rule in rules)
    )
    if per == "batch" and other_rows:
        raise OptionError("the rules look at more than one row at a time", hint=_PER_FILE)


def _outputs(
    program: Program, slots: dict[str, int], schema: pa.Schema, *, selects: bool
) -> list[tuple[OutputColumn | None, str, str]]:
    """Return (computed column or None, title, input column that goes through) in their order."""
    named = {slot: name for name, slot in slots.items()}
    changed = {r.slot for rule in flat(program.rules) for r in assigned(rule) if not r.variable}
    found: list[tuple[OutputColumn | None, str, str]] = []
    for column in program.outputs[0].columns:
        source = column.source
        name = "" if source.variable else named.get(source.slot, "")
        if name == ROW_LABEL:
            continue
        goes_through = name and source.slot not in changed and not column.print_format
        found.append((None, column.title, name) if goes_through else (column, column.title, ""))
    if not selects:
        # What no rule can name goes on as well, in its place.
        for place, name in enumerate(schema.names):
            if name not in slots:
                found.insert(place, (None, name, name))
    titles = [title.lower() for _, title, _ in found]
    doubled = sorted({title for title in titles if titles.count(title) > 1})
    if doubled:
        raise OptionError(f"two columns are called {doubled[0]!r}", hint="rename one: name:New")
    return found


def _planned(
    program: Program,
    slots: dict[str, int],
    outputs: list[tuple[OutputColumn | None, str, str]],
    schema: pa.Schema,
    folder: str,
) -> StepPlan:
    import pyarrow as pa

    computed = [column for column, _, _ in outputs if column]
    label = OutputColumn(Reference(slots[ROW_LABEL], ROW_LABEL, Kind.LS), ROW_LABEL)
    output = replace(program.outputs[0], columns=(*computed, label))
    rules = tuple(_in_folder(rule, folder) for rule in program.rules)
    fields = [
        pa.field(title, type_of(column) if column else schema.field(name).type)
        for column, title, name in outputs
    ]
    program = replace(program, outputs=(output,), rules=rules)
    return StepPlan(
        program,
        tuple((slot, name) for name, slot in slots.items() if name != ROW_LABEL),
        tuple(column.source for column in computed),
        tuple((title, name) for _, title, name in outputs),
        pa.schema(fields),
        bool(why_rows(program)),
        tuple(file for rule in flat(rules) for file in _files(rule)),
    )


def _in_folder(rule: Rule, folder: str) -> Rule:
    """Return the rule with the paths of its lookup files below ``folder``."""
    if isinstance(rule, Conditional):
        branches = tuple(
            replace(
                branch,
                check=_in_folder(branch.check, folder),
                rules=tuple(_in_folder(each, folder) for each in branch.rules),
            )
            for branch in rule.branches
        )
        otherwise = tuple(_in_folder(each, folder) for each in rule.otherwise)
        return replace(rule, branches=branches, otherwise=otherwise)
    if isinstance(rule, Substitute | Grep | Combine):
        return replace(rule, table=_below(rule.table, folder))
    return rule


def _below(spec: InputSpec, folder: str) -> InputSpec:
    if any(file == "-" or "@" in file for file in spec.files):
        raise OptionError("a lookup table of a step is a file", hint="write its path")
    return replace(spec, files=tuple(str(Path(folder) / file) for file in spec.files))


def _files(rule: Rule) -> tuple[str, ...]:
    return rule.table.files if isinstance(rule, Substitute | Grep | Combine) else ()
