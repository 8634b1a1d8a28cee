"""The actions of aq_udb that look after a database: -crt -alt -chk -inf -probe -clr -ord."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ess_dask.aq.errors import OptionError, StoreError
from ess_dask.aq.kinds import Kind
from ess_dask.aq.parsing.outputs import output_format
from ess_dask.aq.parsing.tokens import Option, Tokens
from ess_dask.aq.program import OutputFormat, OutputSpec, numbered
from ess_dask.tables.spec import KEYS, same
from ess_dask.udb.specs import Database, Entity, Field

if TYPE_CHECKING:
    from ess_dask.udb.memory import Memory

Work = Callable[[], int]
"""Does the action; returns the number of rows it gave."""

_ATTRIBUTES = {"-inf": frozenset(("asis",)), "-ord": frozenset(("ncas", "dec"))}


def parse_upkeep(option: Option, database: Database, table: str, tokens: Tokens) -> Work:
    """Return what an action does; raise ``OptionError`` for a wrong one."""
    for attribute in option.attributes:
        if attribute not in _ATTRIBUTES.get(option.name, ()) and not attribute.startswith("spec="):
            raise OptionError(f"unknown attribute {attribute!r} in {option.text!r}")
    if table and option.name not in ("-clr", "-ord"):
        raise OptionError(f"{option.text!r} takes a database, not a table")
    work = _ACTIONS[option.name](option, database, table, tokens)
    if tokens:
        raise OptionError(f"unexpected argument {tokens.following()!r} behind {option.text!r}")
    return work


def _connected(database: Database, work: Callable[[Memory], int]) -> Work:
    def run() -> int:
        from ess_dask.udb.memory import Memory

        with Memory(database) as memory:
            return work(memory)

    return run


def _create(_: Option, database: Database, __: str, ___: Tokens) -> Work:
    def work(memory: Memory) -> int:
        with memory.changing():
            memory.define()
        return 0

    return _connected(database, work)


def _alter(option: Option, database: Database, __: str, ___: Tokens) -> Work:
    """Give the variables their new columns; the values of those that stay are kept."""

    def work(memory: Memory) -> int:
        if not memory.is_defined():
            raise StoreError(f"{option.text}: database {database.name} is not in memory")
        with memory.changing():
            memory.alter_variables()
            memory.define()
        return 0

    return _connected(database, work)


def _probe(option: Option, database: Database, __: str, ___: Tokens) -> Work:
    def run() -> int:
        from ess_dask.cluster.machines import attach
        from ess_dask.udb.memory import ConnectError, Memory

        if attach() is None:
            raise ConnectError(
                f"{option.text}: no server runs", hint="ess udbd start, or any import, starts one"
            )
        with Memory(database) as memory:
            if not memory.is_defined():
                raise StoreError(f"{option.text}: database {database.name} is not in memory")
        return 0

    return run


def _clear(option: Option, database: Database, table: str, _: Tokens) -> Work:
    target = database.need(table, option.text) if table not in ("", KEYS) else None

    def work(memory: Memory) -> int:
        with memory.changing():
            if target is None:
                memory.forget()
                return 0
            if target.role != "variables":
                # A key outlives the rows of its tables.
                memory.remember_keys()
            memory.clear(target)
        return 0

    return _connected(database, work)


def _inform(option: Option, database: Database, _: str, tokens: Tokens) -> Work:
    targets = []
    while tokens.peek() == "-o":
        output = tokens.option()
        targets.append((tokens.value(output, "a file"), output_format(output)))
    titles = ["pkey", "var", *(table.name for table in _listed(database))]
    columns = numbered((title, Kind.L) for title in titles)
    outputs = [
        OutputSpec(target, form, columns) for target, form in targets or [("-", OutputFormat())]
    ]

    def work(memory: Memory) -> int:
        from ess_dask.udb.writing import write_values

        write_values(_counts(memory), outputs)
        return 1

    return _connected(database, work)


def _listed(database: Database) -> list[Entity]:
    """Return the tables, then the vectors."""
    return sorted(database.tables, key=lambda entity: entity.role == "vector")


def _counts(memory: Memory) -> list[int]:
    from ess_dask.udb.keysets import held_keys

    keys = held_keys(memory).num_rows
    found = [keys, int(bool(memory.database.spec.variables))]
    for entity in _listed(memory.database):
        table = memory.open(entity) if entity.role == "table" else None
        if table is None:
            # A vector has a row for every key.
            found.append(keys if entity.role == "vector" else 0)
            continue
        with table:
            found.append(table.count())
    return found


def _order(option: Option, database: Database, table: str, tokens: Tokens) -> Work:
    from ess_dask.udb.ordering import Ordering, order_keys, order_rows

    names = tokens.values(option, "columns", required=False)
    dec = option.flag("dec")
    if tokens.peek() == "-dec":
        tokens.option()
        dec = True
    target = database.need(table, option.text)
    ordering = Ordering(option.flag("ncas"), dec)
    if target.role != "keys" and target.role != "table":
        raise OptionError(f"{option.text!r}: {target.name} has one row for each key, no order")
    if target.role == "keys" and not names:
        jobs = [
            (entity, _all_named(entity, [entity.time_key], option))
            for entity in database.tables
            if entity.time_key
        ]
    elif target.role == "keys":
        keys = _all_named(target, names, option)
        return _connected(database, lambda memory: order_keys(memory, keys, ordering))
    else:
        wanted = names or [target.time_key]
        if wanted == [""]:
            raise OptionError(f"{option.text!r}: {target.name} has no tkey", hint="name columns")
        jobs = [(target, _all_named(target, wanted, option))]

    def work(memory: Memory) -> int:
        with memory.changing():
            for entity, fields in jobs:
                order_rows(memory, entity, fields, ordering)
        return 0

    return _connected(database, work)


def _all_named(entity: Entity, names: list[str], option: Option) -> tuple[Field, ...]:
    return tuple(_named(entity, name, option) for name in names)


def _named(entity: Entity, name: str, option: Option) -> Field:
    found = next((field for field in entity.columns if same(field.name, name)), None)
    if found is None:
        raise OptionError(f"unknown column {name!r} in {option.text!r}")
    return found


def _describe(_: Option, __: Database, ___: str, ____: Tokens) -> Work:
    # That the definition could be read is all there is to check.
    return lambda: 0


_ACTIONS: dict[str, Callable[[Option, Database, str, Tokens], Work]] = {
    "-crt": _create,
    "-alt": _alter,
    "-chk": _describe,
    "-probe": _probe,
    "-clr": _clear,
    "-inf": _inform,
    "-ord": _order,
}
