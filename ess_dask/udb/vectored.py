"""A request by columns: for the rules that give, over whole objects, what row after row gives.

These are filters, then assignments to columns of the target, conditional or not: no row is dropped
or deleted once a rule has written, nothing is carried from row to row, and no ``-pp`` group runs.
Everything else is the row interpreter's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.aq.kinds import Value
from ess_dask.aq.program import Branch, Conditional, Eval, Filter, Program
from ess_dask.aq.program import Rule as AqRule
from ess_dask.aq.tree import Builtin, Reference, walk
from ess_dask.aq.vector.batch import Batch, NeedsRows, blank
from ess_dask.aq.vector.blocks import column_type
from ess_dask.aq.vector.plan import expressions_of, why_rows
from ess_dask.tables.spec import KEYS
from ess_dask.udb.effects import assigned_by, changed_objects, needs_one_place
from ess_dask.udb.frames import CHOSEN, HELD, KEY, PLACE, Frames, column
from ess_dask.udb.model import Choice, Request, Rule, Stage, flat
from ess_dask.udb.outcome import Done, Report, plain_arrow, result_column

if TYPE_CHECKING:
    import polars as pl


_NUMBER = "number"
"""Column that numbers the rows of the target; no name of a column of the rules."""


def run_by_columns(request: Request, variables: tuple[Value, ...], frames: Frames) -> Done | None:
    """Return what the request gives, None if it needs the row interpreter."""
    rules = _as_program(request)
    if rules is None:
        return None
    stage, start = request.main, _start(request.main, frames)
    try:
        left = _run(stage, rules, start, list(variables))
    except NeedsRows:
        return None
    changed = {}
    if changed_objects(request):
        changed[stage.entity.name] = _written(stage, left, frames.objects[stage.entity.name])
    return _done(request, variables, frames, left, changed)


def _as_program(request: Request) -> tuple[AqRule, ...] | None:
    """Return the rules as those of ``aq``, None if columns cannot do exactly the same."""
    stage = request.main
    if request.groups or needs_one_place(request) or stage.entity.role == "variables":
        return None
    own = stage.entity.name
    foreign = [r for r in assigned_by(stage) if stage.slots[r.slot].entity != own]
    if foreign or any(not source.column for source in stage.slots):
        return None
    rules = [_converted(rule) for rule in stage.rules]
    known = tuple(rule for rule in rules if rule is not None)
    if len(known) < len(rules) or _drops_late(stage.rules) or _counts_rows(stage.rules):
        return None
    program = Program((), None, stage.kinds, (), known, (), ())
    return None if why_rows(program) else known


def _converted(rule: Rule) -> AqRule | None:
    if isinstance(rule, Eval | Filter):
        return rule
    if not isinstance(rule, Choice):
        return None
    branches = []
    for case in rule.cases:
        inside = [_converted(inner) for inner in case.rules]
        known = tuple(inner for inner in inside if inner is not None)
        if len(known) < len(inside) or not isinstance(case.check, Filter):
            return None
        branches.append(Branch(case.check, case.negated, known))
    inside = [_converted(inner) for inner in rule.otherwise]
    known = tuple(inner for inner in inside if inner is not None)
    return Conditional(tuple(branches), known) if len(known) == len(inside) else None


def _drops_late(rules: tuple[Rule, ...]) -> bool:
    """Whether a row may be dropped after a rule has written into it."""
    first = next((at for at, rule in enumerate(rules) if not isinstance(rule, Filter)), len(rules))
    return any(
        isinstance(rule, Filter) or (isinstance(rule, Choice) and _filters_inside(rule))
        for rule in rules[first:]
    )


def _filters_inside(rule: Choice) -> bool:
    blocks = (*(case.rules for case in rule.cases), rule.otherwise)
    return any(
        isinstance(inner, Filter) or (isinstance(inner, Choice) and _filters_inside(inner))
        for block in blocks
        for inner in block
    )


def _counts_rows(rules: tuple[Rule, ...]) -> bool:
    return any(
        isinstance(node, Builtin) and node.name == "rownum"
        for rule in flat(rules)
        if isinstance(rule, Eval | Filter)
        for expression in expressions_of(rule)
        for node in walk(expression)
    )


def _start(stage: Stage, frames: Frames) -> pl.DataFrame:
    """Return the rows of the target, of chosen keys, with a column for each slot."""
    import polars as pl

    target = frames.objects[stage.entity.name].with_row_index(_NUMBER)
    if not frames.keys[CHOSEN].all():
        chosen = frames.keys.filter(pl.col(CHOSEN)).select(KEY)
        target = target.join(chosen, on=KEY, how="semi", maintain_order="left")
    width, out = len(stage.entity.key), [pl.col(KEY), pl.col(PLACE), pl.col(_NUMBER)]
    for slot, source in enumerate(stage.slots):
        name = f"s{slot}"
        if source.entity == KEYS:
            out.append(pl.col(column(source.index)).alias(name))
        elif source.entity == stage.entity.name:
            out.append(pl.col(column(width + source.index)).alias(name))
        else:
            other = frames.objects[source.entity].select(
                KEY, pl.col(column(width + source.index)).alias(f"x{slot}")
            )
            target = target.join(other, on=KEY, how="left", maintain_order="left")
            out.append(pl.col(f"x{slot}").alias(name))
    return target.select(out)


def _run(
    stage: Stage, rules: tuple[AqRule, ...], start: pl.DataFrame, variables: list[Value]
) -> pl.DataFrame:
    from ess_dask.aq.vector.rules import Rules

    program = Program((), None, stage.kinds, (), rules, (), ())
    batch = Batch(stage.kinds, variables, 1, start.height)
    # No rule looks anything up in a file.
    return Rules(program, lambda _: None).run(rules, start, batch)


def _written(stage: Stage, left: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Return the target with what the rules have set in the rows they went through."""
    import polars as pl

    width = len(stage.entity.key)
    names = {
        f"s{reference.slot}": column(width + stage.slots[reference.slot].index)
        for reference in assigned_by(stage)
    }
    news = left.select(_NUMBER, *(pl.col(s).alias(f"new_{c}") for s, c in names.items()))
    marked = before.with_row_index(_NUMBER).join(
        news.with_columns(pl.lit(True).alias("is_new")),
        on=_NUMBER,
        how="left",
        maintain_order="left",
    )
    is_new = pl.col("is_new").fill_null(False)
    return marked.select(
        pl.when(is_new).then(pl.col(f"new_{name}")).otherwise(pl.col(name)).alias(name)
        if name in names.values()
        else pl.col(name)
        for name in before.columns
        if name not in (KEY, HELD)
    )


def _done(
    request: Request,
    variables: tuple[Value, ...],
    frames: Frames,
    left: pl.DataFrame,
    changed: dict[str, pl.DataFrame],
) -> Done:
    import polars as pl

    keys = left[KEY].n_unique() if request.main.rules else int(frames.keys[CHOSEN].sum())
    report = Report(keys, left.height, 0, "", variables)
    out = [pl.col(KEY), pl.col(PLACE)]
    for at, reference in enumerate(request.results if request.action == "exp" else ()):
        out.append(_value(reference, left, variables).alias(result_column(at)))
    return report, plain_arrow(left.select(out)), changed


def _value(reference: Reference, left: pl.DataFrame, variables: tuple[Value, ...]) -> pl.Expr:
    import polars as pl

    if reference.variable:
        return pl.lit(variables[reference.slot], dtype=column_type(reference.kind))
    name = f"s{reference.slot}"
    return pl.col(name) if name in left.columns else blank(reference.kind)
