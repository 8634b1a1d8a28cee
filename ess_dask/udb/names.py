"""The names that rules over one object may use, and the slots of its rows."""

from __future__ import annotations

from ess_dask.aq.errors import OptionError
from ess_dask.aq.kinds import Kind
from ess_dask.aq.program import OutputColumn
from ess_dask.aq.text import words
from ess_dask.aq.tree import Reference
from ess_dask.tables.spec import KEYS, VARIABLES, same
from ess_dask.udb.model import Source
from ess_dask.udb.specs import Database, Entity, Field

_COUNT = "rowcount"


class StageNames:
    """Columns of the target, of vectors (``vector.column``) and variables, as ``aq`` names.

    Variables need no ``var.`` unless the target has a column of the same name.
    """

    def __init__(self, database: Database, target: Entity) -> None:
        self._database = database
        self.target = target
        self.slots: list[Source] = []
        self.kinds: list[Kind] = []
        self._known: dict[Source, Reference] = {}
        for field in self._own():
            self._column(target, field)

    def _own(self) -> tuple[Field, ...]:
        return () if self.target.role == "variables" else self.target.columns

    def find(self, name: str) -> Reference | None:
        """Return the column or variable of that name, whatever its case."""
        entity, dot, column = name.partition(".")
        if dot:
            return self._foreign(entity, column)
        field = _field(self._own(), name)
        if field is not None:
            return self._column(self.target, field)
        return self._variable(name)

    def settable(self) -> tuple[Reference, ...]:
        """Return the columns of the target that may be set, and the variables."""
        own = [self._column(self.target, field) for field in self.target.fields]
        return (*own, *self._variables())

    def need(self, name: str, where: str) -> Reference:
        """Return what ``name`` stands for; raise ``OptionError`` if it is unknown."""
        found = self.find(name)
        if found is None:
            raise OptionError(
                f"unknown column {name!r} in {where!r}",
                hint="columns of other vectors are written vector.column",
            )
        return found

    def variable(self, name: str, where: str) -> Reference:
        """Return a variable of the database; raise ``OptionError`` if it has none of that name."""
        head, dot, tail = name.partition(".")
        found = self._variable(tail if dot and same(head, VARIABLES) else name)
        if found is None:
            raise OptionError(
                f"{where}: the database has no variable {name!r}",
                hint="ess create variable TYPE:name makes one",
            )
        return found

    def is_key(self, reference: Reference) -> bool:
        """Whether a column belongs to the primary key (or counts rows): not to be set."""
        if reference.variable:
            return False
        source = self.slots[reference.slot]
        return source.entity == KEYS or not source.column

    def everything(self, entity_name: str, *, key: bool, where: str) -> list[OutputColumn]:
        """Return what ``*`` or ``+`` selects of an object ('' for the target)."""
        entity = self._database.need(entity_name, where) if entity_name else self.target
        fields = entity.columns if key else entity.fields
        found = [self._of(entity, field, where) for field in fields]
        return [OutputColumn(reference, reference.name) for reference in found]

    def readable(self, text: str) -> str:
        """Return an expression with ``RowCount(TAB)`` as a name that ``find`` knows."""
        found = words(text)
        out, at = [], 0
        for place, word in enumerate(found[:-3]):
            following = found[place + 1 : place + 4]
            if word.kind == "name" and word.text.lower() == _COUNT and following[0].text == "(":
                inside = text[following[1].at : following[2].at].strip()
                entity = self._database.need(inside.strip("\"'"), "RowCount()")
                out.append(f"{text[at : word.at]}{_COUNT}.{_stand_in(entity)}")
                at = following[2].at + 1
        return "".join(out) + text[at:]

    def _of(self, entity: Entity, field: Field, where: str) -> Reference:
        if entity.role == "variables":
            return self.variable(field.name, where)
        if entity.role == "table" and entity.name != self.target.name and field not in entity.key:
            raise OptionError(
                f"{where}: {entity.name}.{field.name} is one of many rows",
                hint="only vectors and variables can be looked into from another table",
            )
        return self._column(entity, field)

    def _foreign(self, name: str, column: str) -> Reference | None:
        if name.lower() == _COUNT:
            return self._count(column)
        if same(name, VARIABLES):
            return self._variable(column)
        entity = self._database.find(name)
        field = _field(entity.columns, column) if entity else None
        if entity is None or field is None:
            return None
        return self._of(entity, field, f"{name}.{column}")

    def _count(self, stand_in: str) -> Reference:
        entities = (self._database.keys, *self._database.tables)
        entity = next(e for e in entities if _stand_in(e) == stand_in)
        return self._slot(Source(entity.name, ""), f"RowCount({entity.name})", Kind.LS)

    def _column(self, entity: Entity, field: Field) -> Reference:
        if field in entity.key:
            source = Source(KEYS, field.name, entity.key.index(field))
            return self._slot(source, field.name, field.kind)
        title = field.name if entity.name == self.target.name else f"{entity.name}.{field.name}"
        source = Source(entity.name, field.name, entity.fields.index(field))
        return self._slot(source, title, field.kind)

    def _slot(self, source: Source, title: str, kind: Kind) -> Reference:
        if source not in self._known:
            self._known[source] = Reference(len(self.slots), title, kind)
            self.slots.append(source)
            self.kinds.append(kind)
        return self._known[source]

    def _variable(self, name: str) -> Reference | None:
        return next((r for r in self._variables() if same(r.name.split(".")[-1], name)), None)

    def _variables(self) -> list[Reference]:
        prefix = "" if self.target.role == "variables" else f"{VARIABLES}."
        return [
            Reference(slot, prefix + field.name, field.kind, variable=True)
            for slot, field in enumerate(self._database.variables.fields)
        ]


def _field(fields: tuple[Field, ...], name: str) -> Field | None:
    return next((field for field in fields if same(field.name, name)), None)


def _stand_in(entity: Entity) -> str:
    """Return a word for an object whose name may be none (they may begin with a digit)."""
    return "_" + entity.name.encode().hex()
