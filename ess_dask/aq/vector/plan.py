"""Which programs run by batches: decided once, from the program alone."""

from __future__ import annotations

import os

from ess_dask.aq.kinds import Kind
from ess_dask.aq.program import (
    Always,
    Combine,
    Conditional,
    Emit,
    Eval,
    Extract,
    Filter,
    Grep,
    Import,
    InputSpec,
    KeyEncode,
    Program,
    Render,
    Rewrite,
    Rule,
    Stop,
    Substitute,
    Unwrap,
    flat,
)
from ess_dask.aq.rows.steps import multiplies
from ess_dask.aq.tree import Builtin, Call, Node, Reference, walk
from ess_dask.aq.vector.blocks import can_divide, can_read
from ess_dask.aq.vector.scans import find_scan

_CHECKS = (Filter, Always, Grep, Substitute, Combine, Extract, Rewrite, Eval)


def has_columns(spec: InputSpec) -> bool:
    """Whether an input can be read by columns."""
    return can_divide(spec) if spec.format.name in ("div", "fix") else can_read(spec)


def why_rows(program: Program) -> str:
    """Return why a program needs the row interpreter, '' if it runs by batches."""
    if program.export or not all(map(has_columns, program.inputs)):
        return "the input is not read by columns"
    return _outputs(program) or _rules(program.rules) or _variables(program)


def _outputs(program: Program) -> str:
    targets = [os.path.normpath(spec.target) for spec in program.outputs]
    if len(set(targets)) < len(targets):
        return "two outputs share a target"
    if any(spec.follows or spec.format.nodelay for spec in program.outputs):
        return "an output changes its target or waits for nothing"
    return ""


def _rules(rules: tuple[Rule, ...]) -> str:
    for rule in flat(rules):
        if why := _rule(rule):
            return why
    return ""


def _rule(rule: Rule) -> str:
    if isinstance(rule, Stop):
        return "" if rule.how == "skip" else "the run may end early"
    if isinstance(rule, Combine) and rule.order:
        return "a sorted table is merged"
    if isinstance(rule, Combine) and any(key.kind is Kind.F for key, _ in rule.keys):
        return "a key is a float"
    if isinstance(rule, Conditional):
        checks = (branch.check for branch in rule.branches)
        simple = all(isinstance(check, _CHECKS) and not multiplies(check) for check in checks)
        return "" if simple else "a check is not a column"
    if not isinstance(rule, (*_CHECKS, Render, KeyEncode, Unwrap, Emit, Import)):
        return "a rule works row by row"
    return _expressions(rule)


def expressions_of(rule: Rule) -> tuple[Node, ...]:
    """Return the expressions that a rule evaluates."""
    if isinstance(rule, Eval):
        return (rule.expression,)
    return (rule.condition,) if isinstance(rule, Filter) else ()


def _expressions(rule: Rule) -> str:
    for expression in expressions_of(rule):
        for node in walk(expression):
            if isinstance(node, Builtin) and node.name == "random":
                return "random numbers come in the order of the rows"
            if isinstance(node, Call) and _sets(node) and node is not expression:
                return "a function within an expression sets columns"
        if isinstance(expression, Call) and _sets(expression) and not isinstance(rule, Eval):
            return "a condition sets columns"
    return ""


def _sets(call: Call) -> bool:
    from ess_dask.aq.functions.table import find_function

    function = find_function(call.function)
    return bool(function and function.sets)


def assigned(rule: Rule) -> tuple[Reference, ...]:
    """Return the columns and variables that a rule sets."""
    if isinstance(rule, Eval):
        targets = rule.expression.targets if isinstance(rule.expression, Call) else ()
        return (*targets, rule.target) if rule.target else targets
    if isinstance(rule, Render | KeyEncode | Unwrap):
        return (rule.target,)
    if isinstance(rule, Rewrite | Substitute):
        return (rule.column,)
    return tuple(target for target, _ in rule.values) if isinstance(rule, Combine) else ()


def used(rule: Rule, program: Program) -> tuple[Reference, ...]:
    """Return the columns and variables that a rule reads."""
    found = [
        node
        for expression in expressions_of(rule)
        for node in walk(expression)
        if isinstance(node, Reference)
    ]
    if isinstance(rule, Extract | Rewrite | Substitute | Grep):
        found.append(rule.column)
    elif isinstance(rule, KeyEncode):
        found.extend(rule.sources)
    elif isinstance(rule, Unwrap):
        found.append(rule.source)
    elif isinstance(rule, Combine):
        found.extend(reference for reference, _ in rule.keys)
    elif isinstance(rule, Emit):
        found.extend(column.source for column in program.outputs[rule.output].columns)
    elif isinstance(rule, Import):
        found.extend(reference for _, reference in rule.request.columns)
    return tuple(found)


def _variables(program: Program) -> str:
    rules = list(flat(program.rules))
    setting = {
        reference.slot for rule in rules for reference in assigned(rule) if reference.variable
    }
    if not setting:
        return ""
    if any(multiplies(rule) for rule in rules):
        return "a variable is set while rows multiply"
    seen: set[int] = set()
    for rule in rules:
        own = [reference.slot for reference in assigned(rule) if reference.variable]
        if own and not (
            isinstance(rule, Eval) and find_scan(rule) and rule.target and len(own) == 1
        ):
            return "a variable is set in a way that is no scan"
        early = {r.slot for r in used(rule, program) if r.variable} & (setting - seen - set(own))
        if early or seen & set(own):
            return "a variable is read before it is set, or set twice"
        seen.update(own)
    return ""


def is_stateful(program: Program) -> bool:
    """Whether what a batch gives depends on the batches before it."""
    rules = list(flat(program.rules))
    sets = any(reference.variable for rule in rules for reference in assigned(rule))
    nodes = (
        node for rule in rules for expression in expressions_of(rule) for node in walk(expression)
    )
    return sets or any(isinstance(node, Builtin) and node.name == "rownum" for node in nodes)
