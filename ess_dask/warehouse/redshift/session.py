"""One connection to Redshift as the load uses it: statements with values apart from their text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from ess_dask.errors import EssError, InterruptedRunError
from ess_dask.warehouse.redshift.names import quoted

MAX_VALUES = 30_000
"""Values of one statement; the protocol counts them in 16 bits."""

Rows = list[tuple[Any, ...]]


class Session:
    """A connection with autocommit off. What the server or the network says is translated.

    ``translating`` is a context manager that turns the driver's errors into ours.
    """

    def __init__(self, connection: Any, translating: Callable[[str], Any]) -> None:
        self._connection = connection
        self._translating = translating
        self._cursor = connection.cursor()
        self._cursor.paramstyle = "qmark"
        self._abandoned = False

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A connection that is lost cannot be closed; what was wrong before is what counts.
        with suppress(Exception):
            self._connection.close()

    def run(self, sql: str, *values: Any) -> int:
        """Execute a statement; return how many rows it changed (-1 when that is not known)."""
        with self._asking(_head(sql)):
            self._cursor.execute(sql, list(values) if values else None)
        return int(self._cursor.rowcount)

    def rows(self, sql: str, *values: Any) -> Rows:
        """Return the rows of a query."""
        with self._asking(_head(sql)):
            self._cursor.execute(sql, list(values) if values else None)
            return [tuple(row) for row in self._cursor.fetchall()]

    def value(self, sql: str, *values: Any) -> Any:
        """Return the only value of a query's only row."""
        return self.rows(sql, *values)[0][0]

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows; ``table`` is quoted SQL. As many in a statement as it can hold."""
        waiting = list(rows)
        size = max(MAX_VALUES // len(columns), 1)
        names = ", ".join(quoted(name) for name in columns)
        one = f"({', '.join('?' for _ in columns)})"
        for start in range(0, len(waiting), size):
            some = waiting[start : start + size]
            values = [value for row in some for value in row]
            rows_sql = ", ".join([one] * len(some))
            self.run(f"INSERT INTO {table} ({names}) VALUES {rows_sql}", *values)  # noqa: S608

    def commit(self) -> None:
        """Commit the transaction."""
        with self._asking("COMMIT"):
            self._connection.commit()

    def rollback(self) -> None:
        """Take back the transaction; a connection that is lost has done so already.

        Where the answer to a statement was not waited for, closing takes back: a rollback would
        wait for that answer.
        """
        if self._abandoned:
            return
        with suppress(Exception):
            self._connection.rollback()

    def limit(self, seconds: float) -> None:
        """Let each statement from here on take no longer than this; 0 for as long as it takes.

        One that takes longer raises ``LockedError``: what it waits for is held by others.
        """
        milliseconds = max(int(seconds * 1000), 1) if seconds else 0
        self.run(f"SET statement_timeout TO {milliseconds}")

    def outside(self, sql: str) -> None:
        """Execute a statement outside a transaction; none may be open."""
        self._connection.autocommit = True
        try:
            self.run(sql)
        finally:
            self._connection.autocommit = False

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            with self._translating(what):
                yield
        except BaseException as error:
            answered = isinstance(error, EssError) and not isinstance(error, InterruptedRunError)
            self._abandoned = self._abandoned or not answered
            raise


def _head(sql: str) -> str:
    """Return the first words of a statement, to name it by: nothing of its values."""
    return " ".join(word for word in sql.split(None, 3)[:2] if "'" not in word)
