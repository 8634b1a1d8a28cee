"""What a run carries from row to row, and what its rules write to."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import field

from ess_dask.aq.inputs.reading import Counts, Inputs, Row
from ess_dask.aq.kinds import Kind, Value
from ess_dask.aq.link import Expected, Rows
from ess_dask.aq.lookups import JoinTable, MergeTable, ValueTable, load_table
from ess_dask.aq.outputs.formats import row_formatter, title_of
from ess_dask.aq.outputs.targets import Target, Targets
from ess_dask.aq.program import (
    Combine,
    ExportRequest,
    Grep,
    ImportRequest,
    OutputSpec,
    Program,
    Substitute,
)
from ess_dask.aq.stores import Importer, Store
from ess_dask.aq.surroundings import complain
from ess_dask.aq.tables import rows_to_table, table_to_rows
from ess_dask.aq.tree import Builtin
from ess_dask.dataclass import dataclass

RANDOM_TOP = (1 << 31) - 1
IMPORT_ROWS = 1 << 16
"""Rows that go to a table in memory at a time."""


class Writer:
    """One output: rows in, formatted bytes to its target.

    ``expected``: what the program behind the target takes instead of a title and text.
    """

    def __init__(
        self,
        spec: OutputSpec,
        targets: Targets,
        variables: list[Value],
        expected: Expected | None = None,
    ) -> None:
        self.spec = spec
        self.expected = expected
        self._targets = targets
        self._variables = variables
        self._format = row_formatter(spec.format, spec.columns)
        self._name = ""
        self._target = self._open()
        self.columns = [(column.source.slot, column.source.variable) for column in spec.columns]

    def _wanted(self) -> str:
        if self.spec.follows is None:
            return self.spec.target
        return str(self._variables[self.spec.follows.slot])

    def _open(self) -> Target:
        self._name = self._wanted()
        target = self._targets.get(self._name, append=self.spec.format.append)
        if self.expected is None:
            target.write(title_of(self.spec.format, self.spec.columns))
        return target

    def target(self) -> Target:
        """Return where rows go now; the old target is closed when the variable has changed."""
        if self.spec.follows is not None and self._wanted() != self._name:
            self._targets.drop(self._name)
            self._target = self._open()
        return self._target

    def put(self, printed: bytes | Rows) -> None:
        """Write printed rows, or hand them over as they are."""
        if isinstance(printed, Rows):
            self.target().hand_over(printed)
        else:
            self.target().write(printed)

    def write(self, row: Row) -> None:
        """Write the row as it is."""
        variables = self._variables
        values = [variables[at] if variable else row[at] for at, variable in self.columns]
        target = self.target()
        target.write(self._format(values))
        if self.spec.format.nodelay:
            target.flush()


class RunEnded(Exception):  # noqa: N818 - it is how a run ends, not an error
    """``-quit`` was met."""


@dataclass(slots=True)
class State:
    """Variables, counts and outputs of a run."""

    program: Program
    inputs: Inputs
    store: Store
    variables: list[Value]
    counts: Counts = field(default_factory=Counts)
    targets: Targets = field(default_factory=Targets)
    writers: list[Writer] = field(default_factory=list)
    importers: dict[int, Importer] = field(default_factory=dict)
    waiting: dict[int, list[Row]] = field(default_factory=dict)
    tables: dict[int, ValueTable | JoinTable | MergeTable] = field(default_factory=dict)
    written: int = 0
    failed: int = 0
    last_record: bool = False
    random: random.Random = field(default_factory=random.Random)

    @classmethod
    def of(cls, program: Program, inputs: Inputs, store: Store) -> State:
        """Return the state at the start, outputs opened."""
        state = cls(program, inputs, store, [variable.initial for variable in program.variables])
        state.random.seed(program.seed)
        return state

    def open_outputs(self, expected: Expected | None = None) -> None:
        """Open every output, titles written, and begin every import; see ``Writer``."""
        for spec in self.program.outputs:
            self.writers.append(Writer(spec, self.targets, self.variables, expected))
        for rule in self.program.imports:
            self.importers[rule.index] = self.store.importer(rule.request)

    def builtin(self, node: Builtin) -> Value:
        """Return the value of a builtin variable now."""
        if node.name == "rownum":
            return self.counts.records
        if node.name == "random":
            return self.random.randint(1, RANDOM_TOP)
        if node.name == "cursec":
            return int(time.time())
        return time.time_ns() // 1000

    def complain(self, text: str) -> None:
        """Tell that a row was dropped because an evaluation failed."""
        self.failed += 1
        complain(f"aq_pp: record {self.counts.records}: {text}; the row is skipped\n")

    def import_row(self, index: int, request: ImportRequest, row: Row) -> None:
        """Hand a row to a table in memory; rows go there in batches."""
        waiting = self.waiting.setdefault(index, [])
        variables = self.variables
        waiting.append(
            [variables[c.slot] if c.variable else row[c.slot] for _, c in request.columns]
        )
        if len(waiting) >= IMPORT_ROWS:
            self.import_waiting(index, request)

    def import_waiting(self, index: int, request: ImportRequest) -> None:
        """Hand over the rows that wait for an import."""
        waiting = self.waiting.pop(index, None)
        if waiting:
            importer = self.importers[index]
            importer.add(importer.prepare(rows_to_table(waiting, request.columns)))

    def abort_imports(self) -> None:
        """Let no import become visible."""
        for importer in self.importers.values():
            importer.abort()

    def table(self, rule: Substitute | Grep | Combine) -> ValueTable | JoinTable | MergeTable:
        """Return the lookup table of a rule, loaded at the first call."""
        key = id(rule)
        if key not in self.tables:
            self.tables[key] = load_table(rule, self.inputs)
        return self.tables[key]

    def finish(self) -> None:
        """Write the final variables, end the imports, close the outputs."""
        for spec in self.program.finals:
            Writer(spec, self.targets, self.variables).write([])
        for rule in self.program.imports:
            self.import_waiting(rule.index, rule.request)
        try:
            while self.importers:
                self.importers.pop(next(iter(self.importers))).close()
        except BaseException:
            self.abort_imports()
            raise
        self.targets.close()


def blank_row(kinds: tuple[Kind, ...]) -> Row:
    """Return a row in which every column is 0 or blank."""
    return [kind.blank for kind in kinds]


def exported(
    store: Store, request: ExportRequest, slots: tuple[int, ...], blank: Row
) -> Iterator[Row]:
    """Yield the rows of an export in their slots."""
    for table in store.exporter(request).batches():
        for values in table_to_rows(table):
            row = blank.copy()
            for slot, value in zip(slots, values, strict=True):
                row[slot] = value
            yield row
