"""The options before a statement: ``%%ess -o best --limit 10``."""

from __future__ import annotations

import keyword
import re
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError

FORMS = ("pandas", "polars", "arrow")
"""Forms of an answer besides its own."""

NAMES = ("-o", "--as", "--explain", "--lake", "--limit", "--on")
"""All options."""

_WORD = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|(\S+))""")


@dataclass(frozen=True, slots=True)
class Options:
    """What a cell asks for. ``name``: the variable that takes the answer ('': it is shown);
    ``form``: one of ``FORMS`` or ''; ``lake``, ``on``: where names are looked for ('': as usual).
    """

    name: str = ""
    form: str = ""
    limit: int | None = None
    explain: bool = False
    lake: str = ""
    on: str = ""


def split_options(line: str) -> tuple[Options, str]:
    """Return the options at the begin of a line, and the text behind them.

    Raises ``UsageError`` for an option that is not known or has no good value.
    """
    options, at = Options(), 0
    while (word := _WORD.match(line, at)) and _is_option(word[3]):
        name, equals, value = word[3].partition("=")
        at = word.end()
        if name == "--explain" and not equals:
            options = replace(options, explain=True)
            continue
        if name in NAMES and not equals and (following := _WORD.match(line, at)):
            value = next(part for part in following.groups() if part is not None)
            at = following.end()
        options = replace(options, **_checked(name, value))
    return options, line[at:].strip()


def _is_option(word: str | None) -> bool:
    """Whether a word is an option; ``--`` begins a comment of SQL."""
    return word is not None and word.startswith("-") and word != "--"


def _checked(name: str, value: str) -> dict[str, Any]:
    if name not in NAMES or name == "--explain":
        near = get_close_matches(name, NAMES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(NAMES)}"
        raise UsageError(f"%%ess has no option {name}", hint=hint)
    if not value:
        raise UsageError(f"{name} needs a value", hint="look at: %ess?")
    checks = {"-o": _variable, "--as": _form, "--limit": _limit}
    return checks[name](value) if name in checks else {name.strip("-"): value}


def _variable(value: str) -> dict[str, Any]:
    if not value.isidentifier() or keyword.iskeyword(value):
        raise UsageError(f"-o {value}: that is no name of a variable", hint="such as: -o best")
    return {"name": value}


def _form(value: str) -> dict[str, Any]:
    if value not in FORMS:
        raise UsageError(f"--as {value}: no such form", hint=f"it is one of {', '.join(FORMS)}")
    return {"form": value}


def _limit(value: str) -> dict[str, Any]:
    if not (value.isascii() and value.isdigit()):
        raise UsageError(f"--limit {value}: that is no number of rows", hint="such as: --limit 10")
    return {"limit": int(value)}
