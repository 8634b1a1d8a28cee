"""Rules to a chain that a row runs through, from the first rule to the last."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

from ess_dask.aq.inputs.reading import Row
from ess_dask.aq.program import Branch, Conditional, Rule
from ess_dask.aq.rows.state import State
from ess_dask.aq.rows.steps import Step, copies_of, keeps_unmatched, multiplies, step_of

Run = Callable[[Row], None]
Attempt = Callable[[Row], list[Row]]
"""Runs a branch if its check holds for the row; returns the rows that go on to the next branch."""


def compile_chain(rules: Iterable[Rule], state: State, then: Run) -> Run:
    """Return what runs a row through ``rules``; what is left of it goes to ``then``."""
    groups = [(simple, list(group)) for simple, group in groupby(rules, _is_simple)]
    run = then
    for simple, group in reversed(groups):
        if simple:
            run = _steps([step_of(rule, state, check=False) for rule in group], run)
            continue
        for rule in reversed(group):
            run = (
                _conditional(rule, state, run)
                if isinstance(rule, Conditional)
                else _copying(rule, state, run)
            )
    return run


def _is_simple(rule: Rule) -> bool:
    return not isinstance(rule, Conditional) and not multiplies(rule)


def _steps(steps: list[Step], then: Run) -> Run:
    if len(steps) == 1:
        only = steps[0]

        def run_one(row: Row) -> None:
            if only(row):
                then(row)

        return run_one

    def run(row: Row) -> None:
        for step in steps:
            if not step(row):
                return
        then(row)

    return run


def _copying(rule: Rule, state: State, then: Run) -> Run:
    copies, keeps = copies_of(rule, state), keeps_unmatched(rule)

    def run(row: Row) -> None:
        found = copies(row)
        if not found and keeps:
            then(row)
        for copy in found:
            then(copy)

    return run


def _conditional(rule: Conditional, state: State, then: Run) -> Run:
    attempts = [_attempt(branch, state, then) for branch in rule.branches]
    otherwise = compile_chain(rule.otherwise, state, then)

    def run(row: Row) -> None:
        rest = [row]
        for attempt in attempts:
            rest = [left for one in rest for left in attempt(one)]
        for left in rest:
            otherwise(left)

    return run


def _attempt(branch: Branch, state: State, then: Run) -> Attempt:
    inside = compile_chain(branch.rules, state, then)
    if multiplies(branch.check):
        return _attempt_copies(branch, state, inside)
    step, wanted = step_of(branch.check, state, check=True), not branch.negated

    def attempt(row: Row) -> list[Row]:
        if step(row) != wanted:
            return [row]
        inside(row)
        return []

    return attempt


def _attempt_copies(branch: Branch, state: State, inside: Run) -> Attempt:
    copies, negated = copies_of(branch.check, state), branch.negated

    def attempt(row: Row) -> list[Row]:
        found = copies(row)
        if bool(found) == negated:
            return found or [row]
        for copy in found or [row]:
            inside(copy)
        return []

    return attempt
