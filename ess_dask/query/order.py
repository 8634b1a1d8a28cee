"""Order by: rows go to DuckDB, which sorts them and spills to disk what does not fit into memory.

Behind the columns that are ordered by stands the place of the row among the files, so that there
is only one order, whatever sorts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask.aq.vector.writing import column_name

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from ess_dask.query.plan import Plan

MEMORY = "512MB"
"""What the sorting may take of memory."""

SORTED_ROWS = 1 << 16
"""Rows that come out at a time."""

BEST_ROWS = 1 << 16
"""Up to this limit only so many rows of each file are sorted with those of the others."""

PLACE = "place"
_FIRST = "create table found as select * from more"
_MORE = "insert into found select * from more"


def sortable(frame: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Return the rows as they travel: ``o0`` .. to be printed, ``k0`` .. to sort by."""
    import polars as pl

    from ess_dask.aq.vector.texts import sort_key

    printed = [
        pl.col(f"s{column.slot}").alias(column_name(at)) for at, column in enumerate(plan.columns)
    ]
    keys = [
        sort_key(frame[f"s{column.slot}"], column.type).alias(f"k{at}")
        for at, column in enumerate(plan.order)
    ]
    return frame.select(*printed, *keys)


class Best:
    """The first rows of an order as far as they are known: no more than the limit are held."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._keys = [f"k{at}" for at in range(len(plan.order))]
        self._parts: list[pl.DataFrame] = []
        self._rows = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Take rows, in the order of the file."""
        self._parts.append(frame)
        self._rows += frame.height
        limit = self._plan.limit or 0
        if self._rows > 2 * limit + SORTED_ROWS:
            self._parts = [self.rows()]
            self._rows = self._parts[0].height

    def rows(self) -> pl.DataFrame:
        """Return the rows, no more than the limit, with ties in the order of the file."""
        import polars as pl

        found = pl.concat(self._parts).sort(
            self._keys, descending=self._plan.descending, maintain_order=True
        )
        return found.head(self._plan.limit or 0)


class Sorting:
    """All rows of a query with ``order by``; they come in by files and go out sorted."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        import duckdb

        config: dict[str, Any] = {
            "memory_limit": MEMORY,
            "temp_directory": str(folder / "sorting"),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        }
        self._plan = plan
        self._database = duckdb.connect(":memory:", config=config)
        self._rows = 0

    def add(self, rows: pa.Table) -> None:
        """Take rows, in the order of the files."""
        import numpy as np
        import pyarrow as pa

        places = pa.array(np.arange(self._rows, self._rows + rows.num_rows, dtype=np.int64))
        self._database.register("more", rows.append_column(PLACE, places))
        self._database.execute(_MORE if self._rows else _FIRST)
        self._database.unregister("more")
        self._rows += rows.num_rows

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield all rows in their order, with the columns ``o0`` .. that are printed."""
        import polars as pl

        if not self._rows:
            return
        down = " desc" if self._plan.descending else ""
        keys = [f"k{at}{down}" for at in range(len(self._plan.order))]
        printed = [column_name(at) for at in range(len(self._plan.columns))]
        found = self._database.table("found").order(", ".join((*keys, PLACE)))
        if self._plan.limit is not None:
            found = found.limit(self._plan.limit)
        for batch in found.project(*printed).to_arrow_reader(SORTED_ROWS):
            yield pl.DataFrame(pl.from_arrow(batch))

    def close(self) -> None:
        """Let go of the rows."""
        self._database.close()
