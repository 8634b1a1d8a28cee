"""DuckDB as a closed room: one connection per thread that sees one Arrow table and nothing else."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any

from ess_dask.clean.running import running
from ess_dask.errors import CleanError, ConfigError, InterruptedRunError
from ess_dask.records.arrays import empty_table

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

TABLE = "records"

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

_SETTINGS: Settings = {
    # The order of a join's rows comes from its algorithm and from the side that is hashed: neither
    # may depend on how many rows a batch happens to have. (Lookup tables in a query are short.)
    "disabled_optimizers": "join_order,build_side_probe_side",
    "nested_loop_join_threshold": 10_000,
    **CLOSED,
}

_local = threading.local()
_making = threading.Lock()
_made: list[duckdb.DuckDBPyConnection] = []
"""The closed databases of this process."""


def closed_database(settings: Settings) -> duckdb.DuckDBPyConnection:
    """Return a new database in memory (20 ms) whose settings can be changed no more."""
    import duckdb

    made = duckdb.connect(":memory:", config=settings)
    # Dates and times do not depend on where a worker stands. Cursors take over what is global.
    made.execute("set global timezone = 'UTC'")
    made.execute("set lock_configuration = true")
    _made.append(made)
    return made


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return closed_database(_SETTINGS)


def connection() -> duckdb.DuckDBPyConnection:
    """Return this thread's connection: in memory, no files, no network, settings locked.

    The threads share one empty database; a table that is registered with a connection is seen by
    that one alone.
    """
    found: duckdb.DuckDBPyConnection | None = getattr(_local, "connection", None)
    if found is None:
        with _making:
            found = _local.connection = _database().cursor()
    return found


def rows(query: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
    """Run one of our own queries, which reads nobody's table, and return all rows."""
    found: duckdb.DuckDBPyConnection | None = getattr(_local, "asking", None)
    if found is None:
        with _making:
            # Whichever database there is: another one would take longer than the question.
            found = _local.asking = (_made[0] if _made else _database()).cursor()
    # fetchall: a result that is not read to its end blocks the connection.
    return found.execute(query, values or []).fetchall()


def run(query: str, table: pa.Table, timeout: float = 0.0, name: str = TABLE) -> pa.Table:
    """Run ``query`` with ``table`` under its name there; raise DuckDB's errors as they are.

    ``timeout`` in seconds, 0 for none: a query that takes longer raises ``CleanError``. A query
    stopped by ``cancel_all`` raises ``InterruptedRunError``.
    """
    import duckdb

    database = connection()
    late = threading.Event()
    timer = interrupting(database, timeout, late)
    database.register(name, table)
    try:
        with running.registered(database.interrupt):
            return database.sql(query).to_arrow_table()
    except duckdb.InterruptException:
        if late.is_set():
            raise CleanError(
                f"the query took longer than {timeout:g} s", hint="raise the step's timeout"
            ) from None
        raise InterruptedRunError("the query was cancelled") from None
    finally:
        timer.cancel()
        database.unregister(name)


def interrupting(
    database: duckdb.DuckDBPyConnection, timeout: float, late: threading.Event
) -> threading.Timer:
    """Interrupt what a connection does after ``timeout`` seconds (0: never), and set ``late``.

    Cancel the returned timer when the work is done.
    """

    def stop() -> None:
        late.set()
        database.interrupt()

    timer = threading.Timer(timeout, stop)
    if timeout:
        timer.daemon = True
        timer.start()
    return timer


def describe(query: str, schema: pa.Schema) -> pa.Schema:
    """Return the columns ``query`` gives; raise ``ConfigError`` when it does not fit ``schema``."""
    import duckdb

    try:
        return run(query, empty_table(schema)).schema
    except duckdb.Error as error:
        raise ConfigError(plain(error)) from None


def plain(error: Exception) -> str:
    """Return DuckDB's message without its echo of the (rewritten) query, on one line."""
    text = str(error).partition("\n\nLINE ")[0]
    text = text.partition("\nCandidate bindings")[0].partition("\nDid you mean")[0]
    return " ".join(text.split())
