"""DuckDB for cleaning: one connection per thread that sees one Arrow table and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ess_dask.clean.closed import ASKING, CLOSED, ClosedDatabase, Settings
from ess_dask.clean.running import running
from ess_dask.errors import CleanError, ConfigError, InterruptedRunError
from ess_dask.records.arrays import empty_table

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

TABLE = "records"

_SETTINGS: Settings = {
    # The order of a join's rows comes from its algorithm and from the side that is hashed: neither
    # may depend on how many rows a batch happens to have. (Lookup tables in a query are short.)
    "disabled_optimizers": "join_order,build_side_probe_side",
    "nested_loop_join_threshold": 10_000,
    **CLOSED,
}

_CLEANING = ClosedDatabase(_SETTINGS)

_CTRL_C = "Query interrupted"
"""What DuckDB makes of a Ctrl-C."""


@contextmanager
def stopped_by_ctrl_c() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` where DuckDB makes an error of its own of it."""
    try:
        yield
    except RuntimeError as error:
        if str(error) == _CTRL_C:
            raise KeyboardInterrupt from None
        raise


def rows(query: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
    """Run one of our own queries, which reads nobody's table, and return all rows."""
    # Whichever database there is: another one would take longer than the question.
    database = ASKING if ASKING.is_open else _CLEANING
    with database.renewed(), stopped_by_ctrl_c():
        # fetchall: a result that is not read to its end blocks the connection.
        return database.connection().execute(query, values or []).fetchall()


def run(query: str, table: pa.Table, timeout: float = 0.0, name: str = TABLE) -> pa.Table:
    """Run ``query`` with ``table`` under its name there; raise DuckDB's errors as they are.

    ``timeout`` in seconds, 0 for none: a query that takes longer raises ``CleanError``. A query
    stopped by ``cancel_all`` raises ``InterruptedRunError``.
    """
    import duckdb

    database = _CLEANING.connection()
    late = threading.Event()
    timer = interrupting(database, timeout, late)
    database.register(name, table)
    try:
        with _CLEANING.renewed(), running.registered(database.interrupt):
            return database.sql(query).to_arrow_table()
    except duckdb.InterruptException:
        if late.is_set():
            raise CleanError(
                f"the query took longer than {timeout:g} s", hint="raise the step's timeout"
            ) from None
        raise InterruptedRunError("the query was cancelled") from None
    finally:
        timer.cancel()
        # A database that has ended has no tables, either.
        with suppress(duckdb.FatalException):
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
