"""``-mapf``, ``-mapc`` and ``-map`` on single values."""

from __future__ import annotations

from collections.abc import Callable

from ess_dask.aq.patterns.extract import compile_extraction
from ess_dask.aq.patterns.regex import compile_regex, is_regex
from ess_dask.aq.patterns.render import Template, Variable
from ess_dask.aq.program import Extract, Matcher, Rewrite

Values = tuple[str, ...]


def extraction(rule: Extract) -> Callable[[str], Values | None]:
    """Return what gives the values for the rule's slots, None without a match."""
    names, run = matcher_values(rule.matcher)
    del names
    return run


def matcher_values(matcher: Matcher) -> tuple[Values, Callable[[str], Values | None]]:
    """Return the names of a rule's results and what extracts them from a value.

    A regular expression gives its whole match as ``0``, then its groups, then the named ones.
    """
    if is_regex(matcher.attributes):
        return _regex_values(matcher)
    compiled = compile_extraction(matcher.rule, ncas="ncas" in matcher.attributes)
    match = compiled.pattern.fullmatch

    def run(text: str) -> Values | None:
        found = match(text)
        return None if found is None else found.groups("")

    return compiled.names, run


def _regex_values(matcher: Matcher) -> tuple[Values, Callable[[str], Values | None]]:
    regex = compile_regex(matcher.rule, matcher.attributes)
    numbers = [*range(regex.groups + 1), *regex.names.values()]
    names = (*map(str, range(regex.groups + 1)), *regex.names)

    def run(text: str) -> Values | None:
        found = regex.search(text)
        return None if found is None else tuple(found.group(number) or "" for number in numbers)

    return names, run


def rendering(template: Template, names: tuple[str, ...]) -> Callable[[Values], str]:
    """Return what renders a template from the values of ``names``; unknown names are blank."""
    parts: list[tuple[str, int, Variable | None]] = []
    for part in template:
        if isinstance(part, str):
            parts.append((part, -1, None))
        elif part.name in names:
            # The last one of a name given twice counts.
            at = len(names) - 1 - names[::-1].index(part.name)
            parts.append(("", at, None if part.is_plain else part))

    def run(values: Values) -> str:
        return "".join(
            literal if at < 0 else (values[at] if variable is None else variable.apply(values[at]))
            for literal, at, variable in parts
        )

    return run


def rewriting(rule: Rewrite) -> Callable[[str, Values], str | None]:
    """Return what rewrites a value, given those of the slots the template names; None: no match."""
    names, extract = matcher_values(rule.matcher)
    slots = tuple(name for name, _ in rule.slots)
    render = rendering(rule.template, (*slots, *names))

    def run(text: str, others: Values) -> str | None:
        values = extract(text)
        return None if values is None else render((*others, *values))

    return run
