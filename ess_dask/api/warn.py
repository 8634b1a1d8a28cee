"""What a user of the API is warned of: rows or files that are not in a result."""

from __future__ import annotations

import sys
import warnings

PACKAGE = __name__.partition(".")[0]


class RejectWarning(UserWarning):
    """Rows were rejected on the way: they are not in the result. ``Selection.rejects()`` has them,
    each with file, line, column, reason and raw text."""


class NoFilesWarning(UserWarning):
    """No file lies in the range that was asked for: the result is empty."""


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
