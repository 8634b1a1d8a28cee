"""Cleaning commands as Python values: what ``Selection.clean`` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ess_dask.clean.protocol import BytesStep, Per, RowStep
from ess_dask.errors import UsageError

Step = str | Callable[..., Any] | BytesStep | RowStep
"""SQL text, a function on pandas or Arrow, or a step of ``shell``, ``sql``, ``python``, ``aq``."""


def shell(command: str) -> BytesStep:
    """Return a step that pipes each file's decompressed bytes through a shell command.

    Shell steps come before all others: they see the bytes before they are parsed.
    """
    from ess_dask.clean.shell import ShellStep

    return ShellStep(command)


def sql(query: str, *, per: Per = "batch") -> RowStep:
    """Return a step ``select ... from records`` (DuckDB's SQL).

    ``per="batch"`` is row by row in meaning and refuses aggregates, windows, distinct, order and
    limit; ``per="file"`` sees one whole file. Raises ``ConfigError`` for what it refuses.
    """
    from ess_dask.clean.sql import SqlStep

    return SqlStep(query, per=per)


def python(function: Callable[..., Any], *, per: Per = "batch") -> RowStep:
    """Return a step that calls ``function`` with rows and takes the rows it returns.

    The function gets a pandas frame (Arrow-backed columns), or a ``pyarrow.Table`` when its first
    parameter is annotated so; it must be pure. ``per`` as in ``sql``. Raises ``UsageError`` for
    what is no function.
    """
    from ess_dask.clean.function import PythonStep

    given: object = function
    if not callable(given):
        hint = "give the function itself; what is named `module:function` stands in pipeline files"
        raise UsageError(f"python: {function!r} is no function", hint=hint)
    return PythonStep.from_callable(function, per=per)


def aq(rules: str, *, per: Per = "batch") -> RowStep:
    """Return a step of rules as behind ``aq_pp``: ``-filt 'price > 0' -eval f:net 'price * 0.9'``.

    Quotes as in a shell. ``per`` as in ``sql``. Columns that no rule sets keep their types and
    nulls; to a rule a null is 0 or ''. Raises ``ConfigError`` for rules that cannot be read.
    """
    from ess_dask.aq.step import AqStep

    return AqStep(rules, per)


def as_step(step: Step) -> BytesStep | RowStep:
    """Return the step that a value stands for: text is SQL, a callable is a Python function."""
    if isinstance(step, str):
        return sql(step)
    if isinstance(step, (BytesStep, RowStep)):
        return step
    given: object = step
    if not callable(given):
        hint = "give SQL as text, a function, or what ess.shell, sql, python or aq return"
        raise UsageError(f"{step!r} is no cleaning step", hint=hint)
    return python(step)
