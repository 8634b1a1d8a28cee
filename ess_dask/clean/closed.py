"""DuckDB as a closed room: in memory, no files, no network, settings locked.

An internal error of DuckDB ends a whole database with all its connections. The next who asks gets a
new one, so that one query in a notebook or on a worker does not end all others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

Settings = dict[str, str | bool | int | float | list[str]]

CLOSED: Settings = {
    # One thread: with more, the order of rows and of float sums changes from run to run.
    "threads": 1,
    "preserve_insertion_order": True,
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    # Otherwise a query could name any Python variable of the caller as a table.
    "python_enable_replacements": False,
}
"""What makes a database a closed room whose answers are always the same."""


class ClosedDatabase:
    """A closed database, made (20 ms) when it is first asked; threads may share it.

    A table that is registered with a connection is seen by that one alone.
    """

    def __init__(self, settings: Settings = CLOSED) -> None:
        self._settings = settings
        self._making = threading.Lock()
        self._made: duckdb.DuckDBPyConnection | None = None
        self._local = threading.local()

    @property
    def is_open(self) -> bool:
        """Whether it was made."""
        return self._made is not None

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a new connection."""
        with self._making:
            if self._made is None:
                self._made = self._make()
            return self._made.cursor()

    def connection(self) -> duckdb.DuckDBPyConnection:
        """Return this thread's connection."""
        found: duckdb.DuckDBPyConnection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = self.cursor()
        return found

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Let the database be made anew after an internal error of DuckDB in the block."""
        import duckdb

        try:
            yield
        except (duckdb.InternalException, duckdb.FatalException):
            with self._making:
                self._made, self._local = None, threading.local()
            raise

    def _make(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        made = duckdb.connect(":memory:", config=self._settings)
        # Dates and times do not depend on where a worker stands. Cursors take over what is global.
        made.execute("set global timezone = 'UTC'")
        made.execute("set lock_configuration = true")
        return made


ASKING = ClosedDatabase()
"""The room of questions."""
