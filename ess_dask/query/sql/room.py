"""DuckDB for questions: one thread, no files, no network, only the tables that are handed in."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ess_dask.clean.duck import CLOSED, interrupting, plain
from ess_dask.clean.running import running
from ess_dask.errors import DataError, InterruptedRunError, UsageError
from ess_dask.records.arrays import empty_table

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Limits:
    """What a question may take: ``seconds`` for all of it, ``memory`` in bytes for the rows that
    come together in this process, ``side`` in bytes for a table that is sent to every worker (0:
    no limit)."""

    seconds: float = 0.0
    memory: int = 0
    side: int = 64 << 20


_making = threading.Lock()

_CTRL_C = "Query interrupted"
"""What DuckDB makes of a Ctrl-C."""


@cache
def _database() -> duckdb.DuckDBPyConnection:
    import duckdb

    made = duckdb.connect(":memory:", config=CLOSED)
    # Dates and times do not depend on where a worker stands.
    made.execute("set timezone = 'UTC'")
    made.execute("set lock_configuration = true")
    return made


@contextmanager
def room(tables: Mapping[str, pa.Table]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection that sees these tables under their names, and nothing else."""
    with _making:
        connection = _database().cursor()
    try:
        for name, table in tables.items():
            connection.register(name, table)
        yield connection
    finally:
        connection.close()


def answer(query: str, tables: Mapping[str, pa.Table], seconds: float = 0.0) -> pa.Table:
    """Run ``query`` on ``tables`` with one thread; return its rows.

    Raises DuckDB's errors as they are, ``DataError`` after ``seconds`` (0: no limit), and
    ``InterruptedRunError`` when ``cancel_all`` stopped it.
    """
    import duckdb

    with room(tables) as connection:
        late = threading.Event()
        timer = interrupting(connection, seconds, late)
        try:
            with running.registered(connection.interrupt):
                return connection.sql(query).to_arrow_table()
        except duckdb.InterruptException:
            if late.is_set():
                raise timed_out() from None
            raise InterruptedRunError("the query was cancelled") from None
        except RuntimeError as error:
            if str(error) == _CTRL_C:
                raise KeyboardInterrupt from None
            raise
        finally:
            timer.cancel()


def timed_out() -> DataError:
    """Return the error of a question that took too long."""
    return DataError(
        "the query took longer than query_timeout allows", hint="ask for less, or raise it"
    )


class Binder:
    """Asks DuckDB what columns a query would give, on tables without rows. Close it when done."""

    def __init__(self, schemas: Mapping[str, pa.Schema]) -> None:
        with _making:
            self._connection = _database().cursor()
        for name, schema in schemas.items():
            self.add(name, schema)

    def add(self, name: str, schema: pa.Schema) -> None:
        """Make a table known."""
        self._connection.register(name, empty_table(schema))

    def columns(self, query: str) -> tuple[tuple[str, str], ...]:
        """Return (name, DuckDB's type) of each column; raise DuckDB's error if it does not fit."""
        relation = self._connection.sql(query)
        return tuple(zip(relation.columns, map(str, relation.types), strict=True))

    def schema(self, query: str) -> pa.Schema:
        """Return the Arrow columns that ``query`` gives."""
        # Without rows even where there is no table: range(1000000000) is one, too.
        return self._connection.sql(query).limit(0).to_arrow_table().schema

    def binds(self, query: str) -> bool:
        """Return whether ``query`` fits the tables."""
        import duckdb

        try:
            self.columns(query)
        except duckdb.Error:
            return False
        return True

    def value(self, query: str) -> Any:
        """Return the only value of a query of our own, as Arrow gives it to Python."""
        return self._connection.sql(query).to_arrow_table().column(0)[0].as_py()

    def close(self) -> None:
        """Let the tables go."""
        self._connection.close()

    def __enter__(self) -> Binder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def told_plainly(columns: str = "") -> Iterator[None]:
    """Turn DuckDB's errors about a value or a statement into ours."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise UsageError(f"sql: {plain(error)}", hint="ask for less at a time") from None
    except (duckdb.DataError, duckdb.InvalidInputException) as error:
        hint = "try_cast() gives null where cast() fails"
        raise DataError(f"sql: {plain(error)}", hint=hint) from None
    except duckdb.Error as error:
        raise UsageError(f"sql: {plain(error)}", hint=columns) from None
