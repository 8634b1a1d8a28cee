"""The names an option list has defined so far."""

from __future__ import annotations

from dataclasses import replace

from ess_dask.aq.columns import ColumnSpec, check_name, is_name, parse_column
from ess_dask.aq.errors import OptionError
from ess_dask.aq.kinds import Kind, Value
from ess_dask.aq.program import OutputColumn, Variable
from ess_dask.aq.tree import Reference


class Scope:
    """Columns and variables by name, and the slots of the row.

    A name that was given last is found first; an alias is one more name of the same column.
    """

    def __init__(self) -> None:
        self.kinds: list[Kind] = []
        self.variables: list[Variable] = []
        self._names: dict[str, Reference] = {}
        self._columns: list[Reference] = []
        self._mapped: dict[str, int] = {}
        self._regex_groups = 0

    def find(self, name: str) -> Reference | None:
        """Return the column, variable or alias of that name."""
        return self._names.get(name.lower())

    def need(self, name: str, where: str) -> Reference:
        """Return what ``name`` stands for; raise ``OptionError`` if it is unknown."""
        found = self.find(name)
        if found is None:
            raise OptionError(
                f"unknown column {name!r} in {where!r}",
                hint="a column must be defined before it is used",
            )
        return found

    def settable(self) -> tuple[Reference, ...]:
        """Return columns and variables under every name they have."""
        return tuple(self._names.values())

    def columns(self) -> tuple[Reference, ...]:
        """Return the columns in the order of their definition, without variables."""
        return tuple(self._columns)

    def variable_references(self) -> tuple[Reference, ...]:
        """Return the variables in the order of their definition."""
        return tuple(variable.reference for variable in self.variables)

    def add_column(self, spec: ColumnSpec) -> Reference:
        """Define a column of the row."""
        assert spec.kind
        self._refuse_known(spec.name)
        reference = Reference(self.hidden(spec.kind), spec.name, spec.kind)
        self._columns.append(reference)
        self._names[spec.folded] = reference
        return reference

    def hidden(self, kind: Kind = Kind.S) -> int:
        """Return a new slot of the row that has no name."""
        self.kinds.append(kind)
        return len(self.kinds) - 1

    def add_variable(self, spec: ColumnSpec, initial: Value) -> None:
        """Define a variable."""
        assert spec.kind
        self._refuse_known(spec.name)
        reference = Reference(len(self.variables), spec.name, spec.kind, variable=True)
        self.variables.append(Variable(reference, initial))
        self._names[spec.folded] = reference

    def alias(self, name: str, other: str, where: str) -> None:
        """Let ``other`` stand for the same as ``name``."""
        reference = self.need(name, where)
        check_name(other, where)
        self._refuse_known(other)
        self._names[other.lower()] = replace(reference, name=other)

    def rename(self, name: str, new: str, where: str) -> None:
        """Replace a name by another one, in the default outputs too."""
        reference = self.need(name, where)
        check_name(new, where)
        if new.lower() != name.lower():
            self._refuse_known(new)
        del self._names[name.lower()]
        renamed = replace(reference, name=new)
        self._names[new.lower()] = renamed
        self._columns = [renamed if column == reference else column for column in self._columns]
        self.variables = [
            replace(variable, reference=renamed) if variable.reference == reference else variable
            for variable in self.variables
        ]

    def _refuse_known(self, name: str) -> None:
        if name.lower() in self._names:
            raise OptionError(
                f"column {name!r} is defined already", hint="name it without a type to set it"
            )

    def target(self, text: str, where: str) -> tuple[Reference, ColumnSpec | None]:
        """Return the column to set and, if ``text`` defines a new one, its specification.

        A new column is not known by name until ``define`` is called with that specification.
        """
        if is_name(text):
            return self.need(text, where), None
        spec = parse_column(text)
        if spec.kind is None:
            raise OptionError(f"a new column needs a type and a name, not {text!r}")
        self._refuse_known(spec.name)
        return Reference(len(self.kinds), spec.name, spec.kind), spec

    def define(self, spec: ColumnSpec | None) -> None:
        """Make a column of ``target`` known."""
        if spec:
            self.add_column(spec)

    def extracted(self, name: str) -> int:
        """Return the hidden slot of a mapping variable, a new one at first mention."""
        if name not in self._mapped:
            self._mapped[name] = self.hidden()
        return self._mapped[name]

    def extracted_groups(self, count: int) -> tuple[int, ...]:
        """Return slots for the next ``count`` numbered results of regular expressions."""
        first = self._regex_groups
        self._regex_groups += count
        return tuple(self.extracted(str(first + number)) for number in range(count))

    def mapped_slot(self, name: str) -> int:
        """Return the slot of a mapping variable, -1 if nothing extracts it."""
        return self._mapped.get(name, -1)

    def all_columns(self) -> list[OutputColumn]:
        """Return what ``*`` selects in an output of rows."""
        return [OutputColumn(column, column.name) for column in self._columns]

    def all_variables(self) -> list[OutputColumn]:
        """Return what ``*`` selects in an output of variables."""
        return [OutputColumn(column, column.name) for column in self.variable_references()]
