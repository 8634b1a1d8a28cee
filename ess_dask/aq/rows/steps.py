"""Rules to steps of a row.

A step says whether its rule held: as a rule of its own only some drop the row when it did not, as
the check of an ``-if`` all of them answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ess_dask.aq.errors import EvalError
from ess_dask.aq.functions.keys import decode_key, encode_key
from ess_dask.aq.inputs.reading import Row
from ess_dask.aq.kinds import same, storing
from ess_dask.aq.lookups import JoinTable, MergeTable, ValueTable
from ess_dask.aq.program import (
    Always,
    Combine,
    Emit,
    Eval,
    Extract,
    Filter,
    Grep,
    Import,
    KeyDecode,
    KeyEncode,
    Message,
    Render,
    Rewrite,
    Rule,
    Stop,
    Substitute,
    Unwrap,
)
from ess_dask.aq.rows.expressions import compile_expression, compile_truth, getter, setter
from ess_dask.aq.rows.mapping import extraction, rendering, rewriting
from ess_dask.aq.rows.state import RunEnded, State
from ess_dask.aq.surroundings import complain

Step = Callable[[Row], bool]
Copies = Callable[[Row], list[Row]]
"""Returns the rows that take the place of a row, [] if the rule did not hold."""


def multiplies(rule: Rule) -> bool:
    """Whether a rule may put several rows in the place of one."""
    return isinstance(rule, Unwrap) or (isinstance(rule, Substitute | Combine) and rule.every)


def keeps_unmatched(rule: Rule) -> bool:
    """Whether a rule of its own lets a row pass for which it did not hold."""
    if isinstance(rule, Extract | Rewrite):
        return True
    return isinstance(rule, Substitute | Combine) and not rule.required


def step_of(rule: Rule, state: State, *, check: bool) -> Step:
    """Return the step of a rule that gives one row or none."""
    step = _STEPS[type(rule)](rule, state)
    if isinstance(rule, Eval | KeyDecode):
        return _silent(step) if check else _complaining(step, state)
    if not check and keeps_unmatched(rule):
        return lambda row: step(row) or True
    return step


def _silent(step: Step) -> Step:
    def run(row: Row) -> bool:
        try:
            return step(row)
        except EvalError:
            return False

    return run


def _complaining(step: Step, state: State) -> Step:
    def run(row: Row) -> bool:
        try:
            return step(row)
        except EvalError as error:
            state.complain(str(error))
            return False

    return run


def _eval(rule: Rule, state: State) -> Step:
    assert isinstance(rule, Eval)
    evaluate = compile_expression(rule.expression, state)
    if rule.target is None:

        def run(row: Row) -> bool:
            evaluate(row)
            return True

        return run
    store = storing(rule.expression.type, rule.target.kind)
    assert store
    put = setter(rule.target, state)
    if store is same:

        def assign(row: Row) -> bool:
            put(row, evaluate(row))
            return True

        return assign

    def convert(row: Row) -> bool:
        put(row, store(evaluate(row)))
        return True

    return convert


def _filter(rule: Rule, state: State) -> Step:
    assert isinstance(rule, Filter)
    truth = compile_truth(rule.condition, state)

    def run(row: Row) -> bool:
        try:
            return truth(row)
        except EvalError as error:
            state.complain(str(error))
            return False

    return run


def _extract(rule: Rule, state: State) -> Step:
    assert isinstance(rule, Extract)
    get, extract, slots = getter(rule.column, state), extraction(rule), rule.slots

    def run(row: Row) -> bool:
        values = extract(get(row))
        if values is None:
            return False
        for slot, value in zip(slots, values, strict=True):
            row[slot] = value
        return True

    return run


def _render(rule: Rule, state: State) -> Step:
    assert isinstance(rule, Render)
    render = rendering(rule.template, tuple(name for name, _ in rule.slots))
    slots = [slot for _, slot in rule.slots]
    put = setter(rule.target, state)

    def run(row: Row) -> bool:
        put(row, render(_slot_values(row, slots)))
        return True

    return run


def _slot_values(row: Row, slots: list[int]) -> tuple[str, ...]:
    return tuple(cast("str", row[slot]) if slot >= 0 else "" for slot in slots)


def _rewrite(rule: Rule, state: State) -> Step:
    assert isinstance(rule, Rewrite)
    get, put = getter(rule.column, state), setter(rule.column, state)
    rewrite, slots = rewriting(rule), [slot for _, slot in rule.slots]

    def run(row: Row) -> bool:
        value = rewrite(get(row), _slot_values(row, slots))
        if value is None:
            return False
        put(row, value)
        return True

    return run


def _key_encode(rule: Rule, state: State) -> Step:
    assert isinstance(rule, KeyEncode)
    kinds = [source.kind for source in rule.sources]
    gets = [getter(source, state) for source in rule.sources]
    put = setter(rule.target, state)

    def run(row: Row) -> bool:
        put(row, encode_key(kinds, [get(row) for get in gets]))
        return True

    return run


def _key_decode(rule: Rule, state: State) -> Step:
    assert isinstance(rule, KeyDecode)
    kinds = [field.kind for field in rule.fields]
    puts = [setter(field.target, state) if field.target else None for field in rule.fields]
    kept = [at for at, field in enumerate(rule.fields) if field.kept]
    get, put_key = getter(rule.key, state), setter(rule.key, state)

    def run(row: Row) -> bool:
        values = decode_key(get(row), kinds)
        for put, value in zip(puts, values, strict=True):
            if put:
                put(row, value)
        if kept:
            put_key(row, encode_key([kinds[at] for at in kept], [values[at] for at in kept]))
        return True

    return run


def _substitute(rule: Rule, state: State) -> Step:
    assert isinstance(rule, Substitute)
    table = cast("ValueTable", state.table(rule))
    get, put = getter(rule.column, state), setter(rule.column, state)

    def run(row: Row) -> bool:
        found = table.find(get(row))
        if found:
            put(row, found[0])
        return bool(found)

    return run


def _grep(rule: Rule, state: State) -> Step:
    assert isinstance(rule, Grep)
    table = cast("ValueTable", state.table(rule))
    get, wanted = getter(rule.column, state), not rule.reverse
    return lambda row: bool(table.find(get(row))) == wanted


def _combine(rule: Rule, state: State) -> Step:
    assert isinstance(rule, Combine)
    table = cast("JoinTable | MergeTable", state.table(rule))
    gets = [getter(reference, state) for reference, _ in rule.keys]
    puts = [setter(reference, state) for reference, _ in rule.values]

    def run(row: Row) -> bool:
        found = table.find([get(row) for get in gets])
        if not found:
            return False
        for put, value in zip(puts, found[0], strict=True):
            put(row, value)
        return True

    return run


def _message(rule: Rule, _: State) -> Step:
    assert isinstance(rule, Message)
    text = rule.text.encode("latin-1").decode("utf-8", "replace") + "\n"

    def tell(_: Row) -> bool:
        complain(text)
        return True

    return tell


def _always(rule: Rule, _: State) -> Step:
    assert isinstance(rule, Always)
    holds = rule.holds
    return lambda _: holds


def _stop(rule: Rule, state: State) -> Step:
    assert isinstance(rule, Stop)
    how = rule.how

    def run(_: Row) -> bool:
        if how == "quit":
            raise RunEnded
        if how == "quitafter":
            state.last_record = True
            return True
        return False

    return run


def _emit(rule: Rule, state: State) -> Step:
    assert isinstance(rule, Emit)
    writer = state.writers[rule.output]

    def run(row: Row) -> bool:
        writer.write(row)
        state.written += 1
        return True

    return run


def _import(rule: Rule, state: State) -> Step:
    assert isinstance(rule, Import)

    def run(row: Row) -> bool:
        state.import_row(rule.index, rule.request, row)
        state.written += 1
        return True

    return run


_STEPS: dict[type, Callable[[Rule, State], Step]] = {
    Eval: _eval,
    Filter: _filter,
    Extract: _extract,
    Render: _render,
    Rewrite: _rewrite,
    KeyEncode: _key_encode,
    KeyDecode: _key_decode,
    Substitute: _substitute,
    Grep: _grep,
    Combine: _combine,
    Message: _message,
    Always: _always,
    Stop: _stop,
    Emit: _emit,
    Import: _import,
}


def copies_of(rule: Rule, state: State) -> Copies:
    """Return what a rule that multiplies makes of a row."""
    if isinstance(rule, Unwrap):
        return _unwrap(rule, state)
    if isinstance(rule, Substitute):
        return _substitute_all(rule, state)
    assert isinstance(rule, Combine)
    return _combine_all(rule, state)


def unwrapped(text: str, rule: Unwrap) -> list[str]:
    """Return the values in a delimited text; one ends it unless the rule is ``relax``."""
    values = text.split(rule.separator)
    if not rule.relax and values[-1] == "":
        values.pop()
    return [value for value in values if value] if rule.noblank else values


def _unwrap(rule: Unwrap, state: State) -> Copies:
    get, put = getter(rule.source, state), setter(rule.target, state)

    def run(row: Row) -> list[Row]:
        return _each(row, unwrapped(get(row), rule), lambda copy, value: put(copy, value))

    return run


def _each(row: Row, values: list[str], change: Callable[[Row, str], None]) -> list[Row]:
    copies = []
    for value in values:
        copy = row.copy()
        change(copy, value)
        copies.append(copy)
    return copies


def _substitute_all(rule: Substitute, state: State) -> Copies:
    table = cast("ValueTable", state.table(rule))
    get, put = getter(rule.column, state), setter(rule.column, state)
    return lambda row: _each(row, list(table.find(get(row))), lambda copy, value: put(copy, value))


def _combine_all(rule: Combine, state: State) -> Copies:
    table = cast("JoinTable | MergeTable", state.table(rule))
    gets = [getter(reference, state) for reference, _ in rule.keys]
    puts = [setter(reference, state) for reference, _ in rule.values]

    def run(row: Row) -> list[Row]:
        copies = []
        for values in table.find([get(row) for get in gets]):
            copy = row.copy()
            for put, value in zip(puts, values, strict=True):
                put(copy, value)
            copies.append(copy)
        return copies

    return run
