"""Functions that take strings apart with regular expressions."""

from __future__ import annotations

import re
from collections.abc import Callable

from ess_dask.aq.functions.model import Function, Parameter
from ess_dask.aq.kinds import Type
from ess_dask.aq.patterns.regex import REGEX_ATTRIBUTES, Match, Regex, compile_regex
from ess_dask.aq.patterns.render import Template, parse_template, render
from ess_dask.aq.tree import Call

_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
Outcome = tuple[int, tuple[str | None, ...]]


def group_text(regex: Regex, match: Match, name: str) -> str:
    """Return what a number or name of a template stands for in ``match``; '' for none."""
    number = int(name) if _NUMBER.fullmatch(name) else regex.names.get(name, -1)
    if not 0 <= number <= regex.groups:
        return ""
    return match.group(number) or ""


def _map(call: Call) -> Callable[[str], Outcome]:
    regex = compile_regex(call.constants[0], call.attributes)
    templates = [parse_template(text) for text in call.constants[1:]]
    untouched: Outcome = (0, (None,) * len(templates))

    def run(text: str) -> Outcome:
        match = regex.search(text)
        if match is None:
            return untouched
        return 1, tuple(
            render(template, lambda name: group_text(regex, match, name)) for template in templates
        )

    return run


def replace(regex: Regex, template: Template, text: str, *, every: bool) -> tuple[str, int]:
    """Replace the first match, or all that do not overlap; return (text, how many)."""
    out: list[str] = []
    at, done, last = 0, 0, -1
    while at <= len(text):
        match = regex.search(text, at)
        if match is None:
            break
        start, end = match.start(), match.end()
        if start == end == last:
            # An empty match right behind the last one: step over one byte.
            out.append(text[at : at + 1])
            at += 1
            last = -1
            continue
        out.append(text[at:start])
        out.append(render(template, lambda name, match=match: group_text(regex, match, name)))  # type: ignore[misc]
        done += 1
        if start == end:
            out.append(text[end : end + 1])
            at = end + 1
        else:
            at = end
        last = end
        if not every:
            break
    out.append(text[at:])
    return "".join(out), done


def _replacing(call: Call) -> Callable[[str], tuple[str, int]]:
    every = "all" in call.attributes
    regex = compile_regex(call.constants[0], (a for a in call.attributes if a != "all"))
    template = parse_template(call.constants[1])
    return lambda text: replace(regex, template, text, every=every)


def _replace_into(call: Call) -> Callable[[str], Outcome]:
    replacing = _replacing(call)

    def run(text: str) -> Outcome:
        result, done = replacing(text)
        return done, (result,)

    return run


def _replaced(call: Call) -> Callable[[str], str]:
    replacing = _replacing(call)
    return lambda text: replacing(text)[0]


def _check(call: Call) -> str:
    compile_regex(call.constants[0], (a for a in call.attributes if a != "all"))
    for text in call.constants[1:]:
        parse_template(text)
    return ""


_PAIR = (Parameter.TEXT_COLUMN, Parameter.CONSTANT)
_WITH_ALL = REGEX_ATTRIBUTES | {"all"}
FUNCTIONS = (
    Function(
        "RxMap",
        "RxMap(Val, Pattern, Col, To .. [, attributes])",
        (Parameter.TEXT, Parameter.CONSTANT),
        Type.INT,
        _map,
        repeated=_PAIR,
        attributes=REGEX_ATTRIBUTES,
        check=_check,
        sets=True,
        regex=True,
    ),
    Function(
        "RxReplace",
        "RxReplace(Val, Pattern, Col, To [, all|attributes])",
        (Parameter.TEXT, Parameter.CONSTANT, *_PAIR),
        Type.INT,
        _replace_into,
        attributes=_WITH_ALL,
        check=_check,
        sets=True,
        regex=True,
    ),
    Function(
        "RxRep",
        "RxRep(Val, Pattern, To [, all|attributes])",
        (Parameter.TEXT, Parameter.CONSTANT, Parameter.CONSTANT),
        Type.STR,
        _replaced,
        attributes=_WITH_ALL,
        check=_check,
        regex=True,
    ),
)
