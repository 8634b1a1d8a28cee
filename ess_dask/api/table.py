"""A table in the cluster's memory, as a Python user sees it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ess_dask.api.forms import as_frame, as_polars, describe_schema, names_of
from ess_dask.errors import UsageError
from ess_dask.markup import page

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from ess_dask.api.cluster import Cluster
    from ess_dask.api.results import Answer
    from ess_dask.tables.table import MemoryTable
    from ess_dask.warehouse.model import Hooks, LoadResult, Mode, TableLayout


class Table:
    """One version of a table in memory: what it holds does not change, whatever is imported later.

    Made by ``Selection.into`` and ``Cluster.table``. Rows come by partition, within one in order of
    import or sorted: the same rows in the same order whatever the number of workers. Reading raises
    ``TransientError`` when the cluster has gone, ``UsageError`` once the table is closed.
    """

    def __init__(self, memory: MemoryTable, cluster: Cluster, *, owns: bool = False) -> None:
        self._memory: MemoryTable | None = memory
        self._cluster = cluster
        self._owns = owns

    @property
    def memory(self) -> MemoryTable:
        """The table as Dask work sees it: futures of its partitions, ``map``.

        Raises ``UsageError`` when the table or its connection is closed.
        """
        if self._memory is None:
            raise UsageError("the table is closed", hint="take it again: cluster.table(name)")
        _ = self._cluster.session
        return self._memory

    @property
    def name(self) -> str:
        """``database.table``."""
        return str(self.memory.name)

    @property
    def schema(self) -> pa.Schema:
        """The columns and their Arrow types."""
        return self.memory.schema

    @property
    def columns(self) -> dict[str, str]:
        """Name and type of each column, in the words of ``Lake.category(columns=...)``."""
        return describe_schema(self.schema)

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        """(uri, etag) of every file whose rows are in the table, in order of import."""
        return self.memory.sources

    def count(self) -> int:
        """Return the number of rows."""
        return self.memory.count()

    def head(self, rows: int = 10) -> pd.DataFrame:
        """Return the first rows as a pandas frame with Arrow-backed columns."""
        return as_frame(self.memory.head(rows))

    def to_arrow(self) -> pa.Table:
        """Return all rows as a ``pyarrow.Table``, in this process."""
        return self.memory.to_arrow()

    def to_polars(self) -> pl.DataFrame:
        """Return all rows as a Polars frame, in this process."""
        return as_polars(self.to_arrow())

    def to_pandas(self) -> pd.DataFrame:
        """Return all rows as a pandas frame with Arrow-backed columns, in this process."""
        return as_frame(self.to_arrow())

    def sql(self, statement: str) -> Answer:
        """Ask this version one SELECT; the table is called ``this``, DuckDB's dialect.

        Further tables of the same cluster are named ``database.table``. What can be is worked out
        partition by partition on the workers; the answer is the same whatever their number. Raises
        ``UsageError`` with line and column for a statement that reads or does anything else, does
        not fit the tables, or needs more memory here than ``memory_limit`` (half of the machine's
        when that is not set).
        """
        from ess_dask.api.sql import ask, sources_of

        return ask(statement, sources_of(cluster=self._cluster, given={"this": self}))

    def load(
        self,
        url: str,
        *,
        table: str,
        mode: Mode = "append",
        key: str | Iterable[str] = (),
        layout: TableLayout | None = None,
        hooks: Hooks | None = None,
    ) -> LoadResult:
        """Load this version into a warehouse (``duckdb:///shop.duckdb``), whole and only once.

        ``mode``: ``append``, ``replace`` (what was loaded from this table before goes first) or
        ``upsert`` (rows with the same ``key`` are replaced). ``layout``: distribution and sort keys
        of a table that is made (Redshift). ``hooks``: SQL around the load. Returns the account; its
        ``rows_loaded`` is 0 when all files of the table were loaded from it before (with a
        ``UserWarning`` when it was imported anew since). Raises ``ConflictError`` when some of them
        were, or another pipeline loaded one of them into the same table (not for ``upsert``: it
        finds its rows by key), or one changed since it was loaded (``upsert``); ``LockedError``.
        """
        from ess_dask.api.loading import load_memory
        from ess_dask.warehouse.model import Hooks, TableLayout, Target

        target = Target(
            url=url,
            table=table,
            pipeline="",
            mode=mode,
            key=names_of(key),
            layout=layout or TableLayout(),
            hooks=hooks or Hooks(),
        )
        return load_memory(self.memory, target)

    def drop(self) -> None:
        """Remove the table from the cluster's memory, in all versions; this one is closed.

        Who else has a version open can read it on. A table that is gone already is no error.
        """
        self._cluster.session.store.drop(self.memory.name)
        self.close()

    def close(self) -> None:
        """Let this version go, and the connection that was made for it alone; the table stays."""
        memory, self._memory = self._memory, None
        if memory is not None:
            memory.close()
        if self._owns:
            self._cluster.close()

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._memory is None:
            return "<Table: closed>"
        return f"<Table {self.name}: {', '.join(self.columns)}>"

    def _repr_html_(self) -> str:
        if self._memory is None:
            return page("Table: closed")
        from ess_dask.api.show import table_html

        return table_html(self.memory)
