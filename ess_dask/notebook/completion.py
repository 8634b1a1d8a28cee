"""The Tab key in ``%ess`` and ``%%ess``: commands, options, and what FROM may name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ess_dask.errors import EssError
from ess_dask.notebook.desk import Desk
from ess_dask.notebook.options import NAMES

OWN = ("connect", "disconnect")
"""Words of the desk's own."""


def completer_of(desk: Desk) -> Callable[[Any], dict[str, Any]]:
    """Return what IPython asks for completions (a matcher of its API 2)."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    matcher: Any = context_matcher(identifier="ess_dask")

    def complete(context: Any) -> dict[str, Any]:
        token = context.token
        found = [name for name in _candidates(desk, context) if _begins(name, token)]
        # In a statement names of Python mean nothing.
        return {"completions": [SimpleCompletion(name) for name in found], "suppress": bool(found)}

    made: Callable[[Any], dict[str, Any]] = matcher(complete)
    return made


def _begins(name: str, token: str) -> bool:
    return bool(token) and name.lower().startswith(token.lower())


def _candidates(desk: Desk, context: Any) -> Iterable[str]:
    from ess_dask.cli.main import COMMANDS

    before = context.text_until_cursor
    is_cell = context.full_text.lstrip().startswith("%%ess")
    words = before.split()
    if is_cell and context.cursor_line == 0 and context.token.startswith("-"):
        return NAMES
    if is_cell and context.cursor_line > 0:
        return _sources(desk)
    if not words or words[0] != "%ess":
        return ()
    if len(words) == 2 and not before[-1].isspace():
        return (*sorted(COMMANDS), *OWN, *NAMES)
    return _sources(desk)


def _sources(desk: Desk) -> list[str]:
    try:
        return desk.sources()
    except EssError:
        return []
