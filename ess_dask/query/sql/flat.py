"""Sources beside categories and tables in memory: frames of the caller, Parquet, a warehouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING, Any

from ess_dask.catalog.model import Datastore, FileRef
from ess_dask.clean.arrow import standard_table
from ess_dask.dataclass import dataclass
from ess_dask.errors import DataError, ReadError, UsageError
from ess_dask.query.sql.model import Partitioned, Work
from ess_dask.query.sql.run import DealtHere, InProcess, work_on

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.engine.executor import Executor


def frame_rows(name: str, frame: Any) -> InProcess:
    """Return a frame of the caller (pandas, Polars, Arrow or what Arrow can read) as a source."""
    import pyarrow as pa

    try:
        if type(frame).__module__.startswith("pandas"):
            table = pa.Table.from_pandas(frame, preserve_index=False)
        else:
            table = pa.table(frame)
    except (AttributeError, TypeError, ValueError, pa.ArrowException) as error:
        raise UsageError(
            f"{name} is no frame: {error}", hint="give a pandas, Polars or Arrow table"
        ) from None
    table = standard_table(table, pa.schema([]))
    check_columns(name, table.schema)
    return InProcess((table,))


def check_columns(name: str, schema: pa.Schema) -> None:
    """Raise ``UsageError`` for columns that SQL cannot tell apart, name or hold."""
    names = schema.names
    twice = next((each for each in names if names.count(each) > 1), None)
    if not names or twice is not None or "" in names:
        what = "a column without a name" if "" in names else f"two columns {twice}"
        hint = "give every column a name of its own"
        raise UsageError(f"{name} has {what if names else 'no columns'}", hint=hint)
    for each in schema:
        if not _is_known(each):
            hint = "cast it to another type, or leave the column out"
            raise UsageError(
                f"{name}: column {each.name} is {each.type}, unknown to SQL", hint=hint
            )


def _is_known(column: pa.Field) -> bool:
    import duckdb
    import pyarrow as pa

    from ess_dask.query.sql.room import Binder, is_simple

    if is_simple(column.type):
        return True
    try:
        with Binder() as binder:
            binder.add("t", pa.schema([column]))
            return bool(binder.columns("select * from t"))
    except duckdb.Error:
        return False


@dataclass(frozen=True, slots=True)
class ParquetRows(DealtHere):
    """Implements ``Partitioned`` for Parquet files of a datastore: one partition for each."""

    store: Datastore
    files: tuple[FileRef, ...]
    schema: pa.Schema
    executor: Callable[[], AbstractContextManager[Executor]]
    key: tuple[str, ...] = ()
    placement: str = ""

    @property
    def size(self) -> int:
        """About what the files take in memory."""
        return 4 * sum(file.size for file in self.files)

    def map(
        self, work: Work, beside: Sequence[Partitioned], sides: Mapping[str, pa.Table]
    ) -> Iterator[pa.Table]:
        """Yield what ``work`` gives for each file, in order; ``ReadError`` names a bad one."""
        from functools import partial

        from ess_dask.engine.window import run_ordered

        answer = partial(
            _answer_parquet, store=self.store, schema=self.schema, work=work, sides=dict(sides)
        )
        with (
            self.executor() as executor,
            closing(run_ordered(self.files, answer, executor)) as all_,
        ):
            yield from all_


def parquet_rows(
    store: Datastore,
    files: tuple[FileRef, ...],
    executor: Callable[[], AbstractContextManager[Executor]],
) -> ParquetRows:
    """Return Parquet files as a source, with the columns of the first."""
    return ParquetRows(store, files, _schema_of(store, files[0]), executor)


def _schema_of(store: Datastore, file: FileRef) -> pa.Schema:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ess_dask.catalog.store import open_file

    try:
        with open_file(store, file) as stream:
            found = pq.read_schema(stream)
    except pa.ArrowException as error:
        raise ReadError(f"{file.uri} is no Parquet file: {error}") from None
    schema = standard_table(found.empty_table(), pa.schema([])).schema
    check_columns(file.uri, schema)
    return schema


def _answer_parquet(
    file: FileRef,
    store: Datastore,
    schema: pa.Schema,
    work: Work,
    sides: Mapping[str, pa.Table],
) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ess_dask.catalog.store import open_file

    columns = list(work.columns[0]) or schema.names[:1]
    try:
        with open_file(store, file) as stream:
            found = pq.ParquetFile(stream).read(columns=columns)
        wanted = pa.schema([schema.field(name) for name in columns])
        table = _unchanged(_standard(found).select(columns), wanted, file)
    except (pa.ArrowException, KeyError) as error:
        raise ReadError(f"{file.uri} cannot be read: {error}") from None
    return work_on((table,), work, sides)


def _unchanged(table: pa.Table, wanted: pa.Schema, file: FileRef) -> pa.Table:
    """Return a file's columns with the types of the first file; ``ReadError`` where a value would
    not come back from there: Arrow rounds decimals, cuts times off dates and drops zones."""
    import polars as pl

    cast = table.cast(wanted)
    for name, before, after in zip(wanted.names, table.columns, cast.columns, strict=True):
        if before.type == after.type:
            continue
        zones = [bool(getattr(kind, "tz", None)) for kind in (before.type, after.type)]
        # NaN equals itself in Polars.
        back = pl.Series(after.cast(before.type))
        if zones[0] != zones[1] or not pl.Series(before).equals(back):
            raise ReadError(
                f"{file.uri} cannot be read: its column {name} is {before.type}, that of the first "
                f"file {after.type}, which would change its values",
                hint="ask such files apart, and put the answers together with union all",
            )
    return cast


@dataclass(frozen=True, slots=True)
class WarehouseRows(DealtHere):
    """Implements ``Partitioned`` for one table of a warehouse; ``read`` answers a SELECT there."""

    read: Callable[[str], pa.Table]
    table: str
    schema: pa.Schema
    size: int = 0
    key: tuple[str, ...] = ()
    placement: str = ""

    def map(
        self, work: Work, beside: Sequence[Partitioned], sides: Mapping[str, pa.Table]
    ) -> Iterator[pa.Table]:
        """Yield what ``work`` gives for the table: one partition."""
        from ess_dask.query.sql.tree import quoted

        names = ", ".join(map(quoted, work.columns[0] or self.schema.names[:1]))
        found = _standard(self.read(f"select {names} from {self.table}"))  # noqa: S608
        yield work_on((found,), work, sides)


def warehouse_rows(read: Callable[[str], pa.Table], names: tuple[str, ...]) -> WarehouseRows:
    """Return a table (or schema and table) of a warehouse as a source; raises what ``read`` does.

    Only the columns that a statement names are read, and all of their rows.
    """
    from ess_dask.query.sql.tree import quoted

    table = ".".join(map(quoted, names))
    return WarehouseRows(read, table, _standard(read(f"select * from {table} where 1 = 0")).schema)  # noqa: S608


def _standard(table: pa.Table) -> pa.Table:
    import pyarrow as pa

    return standard_table(table, pa.schema([]))


def read_duckdb(path: str, query: str) -> pa.Table:
    """Answer a SELECT from a DuckDB file, opened for reading only.

    Raises ``UsageError`` when there is no such table, ``DataError`` when the file cannot be opened.
    """
    import duckdb

    try:
        with duckdb.connect(path, read_only=True, config={"threads": 1}) as connection:
            return connection.sql(query).to_arrow_table()
    except duckdb.CatalogException as error:
        raise UsageError(f"warehouse: {str(error).splitlines()[0]}") from None
    except duckdb.Error as error:
        raise DataError(f"the warehouse {path} cannot be read: {error}") from None
