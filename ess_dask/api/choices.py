"""Words that an argument may be."""

from __future__ import annotations

from typing import Any, get_args

from ess_dask.errors import UsageError


def check_choice(name: str, value: object, words: Any) -> None:
    """Raise ``UsageError`` for a value that is none of the words of a ``Literal``."""
    if value not in get_args(words):
        known = ", ".join(get_args(words))
        raise UsageError(f"{name} cannot be {value!r}", hint=f"it is one of {known}")
