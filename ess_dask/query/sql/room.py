"""DuckDB for questions: one thread, no files, no network, only the tables that are handed in."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from ess_dask.clean.closed import ASKING
from ess_dask.clean.duck import interrupting, plain, stopped_by_ctrl_c
from ess_dask.clean.running import running
from ess_dask.dataclass import dataclass
from ess_dask.errors import DataError, InterruptedRunError, UsageError
from ess_dask.query.sql.tree import quoted
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


@contextmanager
def room(tables: Mapping[str, pa.Table]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection that sees these tables under their names, and nothing else."""
    connection = ASKING.cursor()
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
            stopped = running.registered(connection.interrupt)
            with ASKING.renewed(), stopped, stopped_by_ctrl_c():
                return connection.sql(query).to_arrow_table()
        except duckdb.InterruptException:
            if late.is_set():
                raise timed_out() from None
            raise InterruptedRunError("the query was cancelled") from None
        finally:
            timer.cancel()


def timed_out() -> DataError:
    """Return the error of a question that took too long."""
    return DataError(
        "the query took longer than query_timeout allows", hint="ask for less, or raise it"
    )


@cache
def _arrow_types() -> dict[str, pa.DataType]:
    """Arrow's types by the names of DuckDB's, where there is one without more words: to ask DuckDB
    itself takes milliseconds."""
    import pyarrow as pa

    return {
        "BOOLEAN": pa.bool_(),
        "TINYINT": pa.int8(),
        "SMALLINT": pa.int16(),
        "INTEGER": pa.int32(),
        "BIGINT": pa.int64(),
        "UTINYINT": pa.uint8(),
        "USMALLINT": pa.uint16(),
        "UINTEGER": pa.uint32(),
        "UBIGINT": pa.uint64(),
        "FLOAT": pa.float32(),
        "DOUBLE": pa.float64(),
        "VARCHAR": pa.string(),
        "BLOB": pa.binary(),
        "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us"),
    }


_UNKNOWN = '"NULL"'
"""DuckDB's type of a null without one."""

_MOMENT = "TIMESTAMP WITH TIME ZONE"
_TRIAL = "__ess_trial"
"""The table of ``Binder.changes``."""


def _is_kept(kind: str) -> bool:
    """Whether values of a type of DuckDB's come back from Arrow as they were."""
    return kind in _arrow_types() or kind.startswith("DECIMAL(") or kind == _MOMENT


def is_simple(kind: pa.DataType) -> bool:
    """Whether DuckDB is known to have a type of Arrow's."""
    return kind in _arrow_types().values()


class Binder:
    """Asks DuckDB what columns a query would give, on tables without rows. Close it when done."""

    def __init__(self) -> None:
        self._connection = ASKING.cursor()
        self._names: set[str] = set()
        self._bound: dict[str, tuple[tuple[str, str], ...]] = {}

    def add(self, name: str, schema: pa.Schema) -> None:
        """Make a table known, also in place of another one of that name."""
        if name in self._names:
            self._bound.clear()
        self._names.add(name)
        self._connection.register(name, empty_table(schema))

    def columns(self, query: str) -> tuple[tuple[str, str], ...]:
        """Return (name, DuckDB's type) of each column; raise DuckDB's error if it does not fit."""
        if query not in self._bound:
            relation = self._connection.sql(query)
            types = map(str, relation.types)
            self._bound[query] = tuple(zip(relation.columns, types, strict=True))
        return self._bound[query]

    def changes(self, query: str) -> bool:
        """Whether a column that ``query`` gives has another type when it comes back from Arrow."""
        kinds = self.columns(query)
        if all(_is_kept(kind) for _, kind in kinds):
            return False
        self.add(_TRIAL, self.schema(query))
        return dict(self.columns(f"select * from {_TRIAL}")) != dict(kinds)  # noqa: S608

    def restored(self, table: str, kinds: Sequence[tuple[str, str]]) -> str:
        """Return the select list that reads a table's columns with the types (name, type) that they
        had before they were Arrow's: a UUID is a text there, a HUGEINT a DECIMAL."""
        if all(_is_kept(kind) for _, kind in kinds):
            return ", ".join(quoted(name) for name, _ in kinds)
        found = dict(self.columns(f"select * from {table}"))  # noqa: S608
        return ", ".join(
            quoted(name)
            if found[name] == kind or kind == _UNKNOWN
            else f"cast({quoted(name)} as {kind}) as {quoted(name)}"
            for name, kind in kinds
        )

    def schema(self, query: str) -> pa.Schema:
        """Return the Arrow columns that ``query`` gives."""
        import pyarrow as pa

        columns = self.columns(query)
        if all(kind in _arrow_types() for _, kind in columns):
            return pa.schema([pa.field(name, _arrow_types()[kind]) for name, kind in columns])
        # Without rows even where there is no table: range(1000000000) is one, too.
        with stopped_by_ctrl_c():
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
def told_plainly() -> Iterator[None]:
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
        raise UsageError(f"sql: {plain(error)}") from None
