"""A value that must not be seen: it shows as ``***`` everywhere and does not leave the process."""

from __future__ import annotations

import hmac
from typing import Any, NoReturn

SHOWN = "***"
"""What stands where a secret was."""


class Secret:
    """A password, key or token. ``reveal()`` is the only way to its text.

    It cannot be pickled, so that it never travels to a worker or into a state file unnoticed.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, for the call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return SHOWN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret does not leave the process that holds it")
