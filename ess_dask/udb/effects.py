"""What a request changes and what it needs: told from its rules alone."""

from __future__ import annotations

from ess_dask.aq.program import Eval, Filter
from ess_dask.aq.tree import Builtin, Reference, walk
from ess_dask.aq.vector.plan import assigned
from ess_dask.tables.spec import KEYS
from ess_dask.udb.model import Delete, Request, Stage, flat
from ess_dask.udb.specs import Entity


def assigned_by(stage: Stage) -> tuple[Reference, ...]:
    """Return the columns and variables that the rules of a stage set, ``each_key`` besides."""
    rules = [rule for rule in flat(stage.rules) if isinstance(rule, Eval)]
    return tuple(reference for rule in rules for reference in assigned(rule))


def changed_objects(request: Request) -> tuple[str, ...]:
    """Return the names of the objects whose rows may differ afterwards, variables aside."""
    names: dict[str, None] = {}
    for stage in request.stages:
        for reference in assigned_by(stage):
            if not reference.variable:
                names[stage.slots[reference.slot].entity] = None
        for rule in flat(stage.rules):
            if isinstance(rule, Delete) and rule.what == "row" and stage.entity.role != "keys":
                # A key outlives its rows.
                names |= dict.fromkeys((stage.entity.name, KEYS))
            elif isinstance(rule, Delete):
                names |= dict.fromkeys((KEYS, *(t.name for t in request.database.tables)))
    return tuple(names)


def sets_variables(request: Request) -> bool:
    """Whether variables may differ afterwards."""
    return bool(request.settings) or _carries(request)


def _carries(request: Request) -> bool:
    return any(
        stage.each_key or any(reference.variable for reference in assigned_by(stage))
        for stage in request.stages
    )


def needs_one_place(request: Request) -> bool:
    """Whether what happens to a key depends on the keys before it."""
    if _carries(request):
        return True
    return any(
        isinstance(node, Builtin) and node.name == "random"
        for stage in request.stages
        for rule in flat(stage.rules)
        if isinstance(rule, Eval | Filter)
        for node in walk(rule.expression if isinstance(rule, Eval) else rule.condition)
    )


def looked_at(request: Request) -> dict[str, Entity]:
    """Return the objects whose rows are needed, by name."""
    known = {entity.name: entity for entity in (request.database.keys, *request.database.tables)}
    names = [stage.entity.name for stage in request.stages]
    names += [source.entity for stage in request.stages for source in stage.slots]
    names += changed_objects(request)
    return {name: known[name] for name in dict.fromkeys(names) if name in known}
