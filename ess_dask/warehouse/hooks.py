"""SQL of the user's around a load: checked when it is written, named when it fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ess_dask.errors import (
    ConfigError,
    DataError,
    EssError,
    InterruptedRunError,
    TransientError,
)

if TYPE_CHECKING:
    from ess_dask.warehouse.model import Hooks, LoadResult

PLACE = "{table}"
"""What stands for the loaded table's quoted name."""

Execute = Callable[[str], object]
"""Runs one statement; raises an ``EssError`` when the warehouse refuses it."""

_ENDS = frozenset({"ABORT", "BEGIN", "COMMIT", "END", "ROLLBACK", "START", "TRUNCATE", "VACUUM"})
_SHOWN = 60

# A backslash is an escape in Redshift's literals and none in DuckDB's: both readings are looked at.
_LITERALS = (r"'(?:[^'\\]|''|\\.)*'", "'(?:[^']|'')*'")
_OTHERS = r'"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|--[^\n]*|/\*.*?\*/'


def check_hook(text: str, *, inside: bool) -> None:
    """Raise ``ConfigError`` unless ``text`` is one statement, and one that a transaction can hold.

    ``inside``: it runs in the load's transaction, which it must not end (``TRUNCATE`` does so in
    Redshift).
    """
    if "\0" in text:
        raise ConfigError("an SQL statement holds a NUL character")
    readings = [_bare(text, literal) for literal in _LITERALS]
    if not all(readings):
        raise ConfigError("an SQL statement is empty", hint="write one, or drop it")
    if any(";" in reading for reading in readings):
        raise ConfigError(
            f"more than one SQL statement: {_head(text)}", hint="write a list, one in each entry"
        )
    first = readings[0].split()[0].upper()
    if inside and first in _ENDS:
        raise ConfigError(
            f"{first} cannot be inside a load's transaction: {_head(text)}",
            hint="write it under after, or use DELETE FROM in place of TRUNCATE",
        )


def _bare(text: str, literal: str) -> str:
    """Return a statement without comments, literals, quoted names and the semicolon at its end."""
    skipped = re.compile(f"{literal}|{_OTHERS}", re.DOTALL)
    kept = skipped.sub(lambda found: " " if found[0][:2] in ("--", "/*") else '""', text)
    return kept.strip().rstrip("; \t\r\n")


def run_inside(hooks: Hooks, table: str, execute: Execute) -> None:
    """Run the statements that belong to a load's transaction; ``table`` is quoted SQL.

    Raises ``DataError`` naming the one that failed: the caller takes the transaction back. What
    may be tried again (``TransientError``) stays what it is, and so does an aborted run.
    """
    for number, hook in enumerate(hooks.inside, 1):
        try:
            execute(hook.replace(PLACE, table))
        except (TransientError, InterruptedRunError):
            raise
        except EssError as error:
            raise DataError(
                f"{_name('inside', number, hooks.inside)} failed: {error.message}",
                hint="nothing was loaded; correct it and run again",
            ) from error


class AfterLoadError(DataError):
    """A statement failed that follows a load: the load stands; ``loaded`` is what it did."""

    def __init__(self, message: str, *, hint: str, loaded: LoadResult) -> None:
        super().__init__(message, hint=hint)
        self.loaded = loaded


class AfterLoadAbortedError(InterruptedRunError):
    """A statement was aborted that follows a load: the load stands; ``loaded`` is what it did."""

    def __init__(self, message: str, *, hint: str, loaded: LoadResult) -> None:
        super().__init__(message, hint=hint)
        self.loaded = loaded


def run_after(hooks: Hooks, table: str, execute: Execute, loaded: LoadResult) -> None:
    """Run the statements that follow a committed load; ``table`` is quoted SQL.

    Raises ``AfterLoadError`` naming the first that failed and those that were not run for it, or
    ``AfterLoadAbortedError`` saying the same of one that was aborted.
    """
    for number, hook in enumerate(hooks.after, 1):
        try:
            execute(hook.replace(PLACE, table))
        except EssError as error:
            rest = len(hooks.after) - number
            left = f"; the {rest} after it did not run" if rest else ""
            aborted = isinstance(error, InterruptedRunError)
            raise (AfterLoadAbortedError if aborted else AfterLoadError)(
                f"the load is done, but {_name('after', number, hooks.after)} failed: "
                f"{error.message}{left}",
                hint="run what is missing yourself: the same run again finds nothing to load and "
                "runs no hooks",
                loaded=loaded,
            ) from error


def _name(kind: str, number: int, hooks: Sequence[str]) -> str:
    return f"statement {number} of hooks.{kind} ({_head(hooks[number - 1])})"


def _head(text: str) -> str:
    """Return the beginning of a statement as a message names it: no text or number of it."""
    words = []
    for word in text.split():
        if any(mark in word for mark in "'$0123456789"):
            break
        words.append(word)
    head = " ".join(words)
    shown = head if len(head) <= _SHOWN else head[:_SHOWN].rstrip()
    return shown if shown == " ".join(text.split()) else f"{shown} ..."
