"""The system tables of loads, written past the clients' transactions so that they survive these."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import field
from datetime import UTC, datetime

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift.postgres import Postgres


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that could not be loaded, as ``stl_load_errors`` shows it."""

    filename: str
    line: int
    column: str
    type: str
    length: str
    position: int
    raw_line: str
    raw_value: str
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A file that was read: its rows without those in error."""

    url: str
    rows: int
    bytes: int
    errors: int


@dataclass
class LoadReport:
    """What one COPY did; filled while it goes on."""

    query: int
    session: int
    table: str
    table_id: int
    source: str
    format: str
    started: datetime = field(default_factory=lambda: _now())
    files: list[LoadedFile] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows that went to the table."""
        return sum(file.rows for file in self.files)


class Journal:
    """A connection of the stand-in's own to write these tables, for all sessions together."""

    def __init__(self, server: Postgres, database: str) -> None:
        self._connection = server.connect(database)
        self._lock = threading.Lock()
        found = self._connection.execute("select coalesce(max(query), 0) from redshift.loads")
        self._queries: Iterator[int] = itertools.count(found.fetchone()[0] + 1)
        # Of a session's last COPY: a file is read past all snapshots and rollbacks.
        self._sessions = server.folder / "sessions"
        shutil.rmtree(self._sessions, ignore_errors=True)
        self._sessions.mkdir()
        self._sessions.chmod(0o755)

    def next_query(self) -> int:
        """Return the number of the next COPY."""
        return next(self._queries)

    def write(self, report: LoadReport, completed: bool) -> None:
        """Write a load that ended; a completed one is the last COPY of its session."""
        user, now = 100, _now()
        with self._lock, self._connection.cursor() as cursor:
            cursor.executemany(
                f"insert into redshift.load_errors values ({', '.join(['%s'] * 15)})",  # noqa: S608
                [
                    (report.query, report.session, user, report.table_id, report.started,
                     e.filename, e.line, e.column, e.type, e.length, e.position, e.raw_line,
                     e.raw_value, e.code, e.reason)
                    for e in report.errors
                ],
            )  # fmt: skip
            if completed:
                cursor.executemany(
                    "insert into redshift.load_files values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    [
                        (report.query, report.session, user, f.url, f.rows + f.errors, f.bytes,
                         f.errors, now, report.format)
                        for f in report.files
                    ],
                )  # fmt: skip
                self._remember(report)
            size = sum(file.bytes for file in report.files)
            cursor.execute(
                f"insert into redshift.loads values ({', '.join(['%s'] * 13)})",  # noqa: S608
                (report.query, report.session, user, report.table, report.source, report.format,
                 "completed" if completed else "aborted", report.rows if completed else 0, size,
                 len(report.files), len(report.errors), report.started, now),
            )  # fmt: skip

    def _remember(self, report: LoadReport) -> None:
        last = self._sessions / str(report.session)
        last.write_text(f"{report.query} {report.rows}")
        last.chmod(0o644)

    def forget(self, session: int) -> None:
        """Forget the last COPY of a session that is over: its number may become another's."""
        (self._sessions / str(session)).unlink(missing_ok=True)

    def interrupt(self, session: int) -> None:
        """Let PostgreSQL end a session in the middle of a statement."""
        import psycopg

        # A server that is gone has no sessions.
        with self._lock, suppress(psycopg.OperationalError):
            self._connection.execute("select pg_terminate_backend(%s)", (session,))

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
