"""Which database a command means, and what is in it: keys, tables, vectors, variables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ess_dask.aq.errors import AqConfigError, OptionError
from ess_dask.aq.kinds import Kind
from ess_dask.aq.parsing.tokens import as_path
from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError
from ess_dask.folders import work_dir
from ess_dask.tables.spec import KEYS, VARIABLES, DatabaseSpec, same
from ess_dask.tables.specfile import parse_spec

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.tables.layout import TableLayout

DEFAULT_SPEC = "udb.spec"


@dataclass(frozen=True, slots=True)
class Field:
    """A column of an object: its name as it was defined, and what it holds."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Entity:
    """What a command may aim at. ``key`` are the database's key columns, ``fields`` its own.

    The keys and a vector have one row for each key, a table any number, the variables one row.
    """

    name: str
    role: Literal["keys", "table", "vector", "variables"]
    key: tuple[Field, ...]
    fields: tuple[Field, ...]
    time_key: str = ""

    @property
    def columns(self) -> tuple[Field, ...]:
        """All columns, those of the key first."""
        return (*self.key, *self.fields)


@dataclass(frozen=True, slots=True)
class Database:
    """A database's definition."""

    spec: DatabaseSpec

    @property
    def name(self) -> str:
        """Its name as the command spells it."""
        return self.spec.name

    @property
    def key(self) -> tuple[Field, ...]:
        """The columns of the primary key."""
        return tuple(Field(column.name, Kind(column.type)) for column in self.spec.key)

    @property
    def keys(self) -> Entity:
        """The primary keys."""
        return Entity(KEYS, "keys", self.key, ())

    @property
    def variables(self) -> Entity:
        """The variables, perhaps none."""
        fields = tuple(Field(column.name, Kind(column.type)) for column in self.spec.variables)
        return Entity(VARIABLES, "variables", (), fields)

    @property
    def tables(self) -> tuple[Entity, ...]:
        """Tables and vectors in the order of their definition."""
        return tuple(
            Entity(
                table.name,
                table.kind,
                self.key,
                tuple(Field(column.name, Kind(column.type)) for column in table.columns),
                table.time_key,
            )
            for table in self.spec.tables
        )

    def find(self, name: str) -> Entity | None:
        """Return what ``name`` means in a command, None if nothing."""
        if name in ("", KEYS):
            return self.keys
        if same(name, VARIABLES):
            return self.variables if self.spec.variables else None
        return next((table for table in self.tables if same(table.name, name)), None)

    def need(self, name: str, option: str) -> Entity:
        """Return what ``name`` means; raise ``OptionError`` if the database has no such thing."""
        found = self.find(name)
        if found is None:
            known = ", ".join(table.name for table in self.spec.tables) or "no table or vector"
            raise OptionError(
                f"{option}: database {self.name} has no {name!r}", hint=f"it has {known}"
            )
        if found.role != "variables" and not self.spec.key:
            raise OptionError(f"{option}: database {self.name} has no primary key yet")
        return found

    def layout(self, entity: Entity) -> TableLayout:
        """Return how an object lies in memory."""
        from ess_dask.tables.layout import (
            DEFAULT_PARTITIONS,
            TableLayout,
            table_layout,
            variables_layout,
        )

        if entity.role == "variables":
            return variables_layout(self.spec)
        table = self.spec.find(entity.name)
        if table is not None:
            return table_layout(self.spec, table)
        import pyarrow as pa

        names = tuple(field.name for field in entity.key)
        whole = pa.schema([(field.name, stored_type(field.kind)) for field in entity.key])
        return TableLayout(whole, names, DEFAULT_PARTITIONS, merge_key=names, ordered=True)


def stored_type(kind: Kind) -> pa.DataType:
    """Return the Arrow type of a column in memory."""
    import pyarrow as pa

    from ess_dask.aq.tables import arrow_type

    return pa.string() if kind is Kind.S else arrow_type(kind)


def find_database(name: str, spec_file: str, option: str) -> Database:
    """Return the database that an option names.

    Its definition is, in this order, ``spec_file``, ``NAME.spec`` of the working folder, or
    ``udb.spec`` here. Raises ``OptionError`` for a bad one, ``AqConfigError`` if there is none.
    """
    name = as_path(name)
    places = [Path(as_path(spec_file))] if spec_file else [work_dir() / f"{name}.spec"]
    if not spec_file:
        places.append(Path(DEFAULT_SPEC))
    if not name or "/" in name:
        raise OptionError(f"{option} needs a database, not {name!r}")
    for place in places:
        try:
            text = place.read_text("utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise AqConfigError(f"{option}: {place} cannot be read: {error}") from None
        try:
            return Database(parse_spec(name, text, str(place)))
        except ConfigError as error:
            raise OptionError(error.message, hint=error.hint) from None
    raise AqConfigError(
        f"{option}: there is no database {name}",
        hint=f"looked for {', '.join(map(str, places))}; ess create database {name} makes one",
    )
