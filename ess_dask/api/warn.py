"""What a user of the API is told on the way, and warned of: rows or files that a result lacks."""

from __future__ import annotations

import sys
import warnings

PACKAGE = __name__.partition(".")[0]


class RejectWarning(UserWarning):
    """Rows were rejected on the way: they are not in the result. ``Selection.rejects()`` has them,
    each with file, line, column, reason and raw text."""


class NoFilesWarning(UserWarning):
    """No file lies in the range that was asked for: the result is empty."""


def tell(text: str) -> None:
    """Say a line to the person at the terminal, on stderr."""
    print(f"ess: {text}", file=sys.stderr)  # noqa: T201 - this is the API's way to speak


def warn(message: str, kind: type[UserWarning]) -> None:
    """Warn the line that called the API, however deep we are in it."""
    level = 1
    frame = sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        frame = frame.f_back
        level += 1
    warnings.warn(message, kind, stacklevel=level)


def warn_of_rejects(rows: int, where: str) -> None:
    """Warn when rows were rejected; ``where`` says how to see them."""
    if rows:
        what = "1 row was" if rows == 1 else f"{rows:,} rows were"
        warn(f"{what} rejected; see {where}", RejectWarning)
