"""What Redshift says of rows that it could not copy: every one of them, by file, line and column.

Source: Amazon Redshift Database Developer Guide, "SYS_LOAD_ERROR_DETAIL" and "STL_LOAD_ERRORS". The
second is seen on provisioned clusters only, so the first is asked first.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.errors import DataError, EssError

if TYPE_CHECKING:
    from ess_dask.warehouse.redshift.copy import Copy
    from ess_dask.warehouse.redshift.session import Session

PAUSES = (0.0, 1.0, 3.0)
"""Seconds before each look at the views: nothing says how soon a row is seen in them."""

SHOWN = 10
"""Errors that a message lists; ``CopyError.rows`` has them all."""

_FILE = 256
"""Greatest length of a file's name in the views."""
_FIELDS = "file_name, line_number, column_name, error_code, error_message"
_DETAIL = (
    f"SELECT {_FIELDS} FROM sys_load_error_detail WHERE session_id = pg_backend_pid() "  # noqa: S608
    "AND query_id = (SELECT max(query_id) FROM sys_load_error_detail "
    "WHERE session_id = pg_backend_pid()) ORDER BY 1, 2, 3"
)
_ERRORS = (
    "SELECT filename, line_number, colname, err_code, err_reason FROM stl_load_errors "
    "WHERE session = pg_backend_pid() AND query = (SELECT max(query) FROM stl_load_errors "
    "WHERE session = pg_backend_pid()) ORDER BY 1, 2, 3"
)


@dataclass(frozen=True, slots=True)
class LoadError:
    """One row that could not be copied: staged file, line in it, column, Redshift's code, why."""

    file: str
    line: int
    column: str
    code: int
    reason: str

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}"
        column = f", column {self.column!r}" if self.column else ""
        return f"{where}{column}: {self.reason} (error {self.code})"


class CopyError(DataError):
    """A COPY failed on its rows. ``rows`` are all that Redshift has kept of them."""

    rows: tuple[LoadError, ...] = ()


def copy(session: Session, command: Copy, rows: int) -> None:
    """Run a COPY of so many rows. Where it fails on some the ``CopyError`` holds every one.

    The transaction is rolled back then. Other errors come as the session raises them.
    """
    try:
        session.run(command.sql())
    except DataError as error:
        found = _load_errors(session, command, wait="load_error" in error.message.lower())
        raise _copy_error(error.message, error.hint, found) from None
    # A COPY of CSV goes on behind bad rows, so that one answer names them all.
    if command.format == "csv" and (done := _copied(session)) != rows:
        message = f"{rows} rows were staged, Redshift copied {done}"
        raise _copy_error(message, "", _load_errors(session, command, wait=True))


def _copied(session: Session) -> int:
    return int(session.value("SELECT pg_last_copy_count()"))


def _copy_error(message: str, hint: str, found: tuple[LoadError, ...]) -> CopyError:
    error = CopyError(_message(message, found), hint=hint or (_MEND if found else _AGAIN))
    error.rows = found
    return error


_MEND = "nothing was loaded; let the cleaning commands mend or drop such rows, and run again"
_AGAIN = "nothing was loaded; run again"


def _message(message: str, found: tuple[LoadError, ...]) -> str:
    if not found:
        return message
    shown = "; ".join(str(row) for row in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"Redshift could not copy {len(found)} row(s): {shown}{more}"


def _load_errors(session: Session, command: Copy, *, wait: bool) -> tuple[LoadError, ...]:
    """Roll back; return the rows of a COPY that failed. ``wait`` where there must be some."""
    session.rollback()
    folder = command.manifest.rpartition("/")[0]
    for pause in PAUSES if wait else PAUSES[:1]:
        time.sleep(pause)
        # A number of a session comes again: another one may have left errors under it.
        found = tuple(row for row in _seen_errors(session) if row.file.startswith(folder[:_FILE]))
        if found:
            return found
    return ()


def _seen_errors(session: Session) -> tuple[LoadError, ...]:
    for query in (_DETAIL, _ERRORS):
        try:
            rows = session.rows(query)
        except EssError:
            # Not every cluster shows both views to every user.
            rows = []
        session.rollback()
        if rows:
            return tuple(
                LoadError(_trimmed(file), line or 0, _trimmed(column), code or 0, _trimmed(reason))
                for file, line, column, code, reason in rows
            )
    return ()


def _trimmed(text: str | None) -> str:
    return (text or "").strip()
