"""A staged part while it is written: a Parquet file (zstd) on the worker's disk."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ess_dask.dataclass import dataclass
from ess_dask.records.spec import MIB
from ess_dask.warehouse.digest import Digest
from ess_dask.warehouse.schema import FILE_COLUMN

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROW_GROUP_BYTES = 32 * MIB
"""Arrow bytes that are held before they are written; bounds the memory of a writer."""
ROW_GROUP_ROWS = 122_880
"""Rows of a row group; DuckDB's own number, and it reads row groups in parallel."""


class Measure(Protocol):
    """What is found out about the rows of one part while they pass."""

    def add(self, table: pa.Table) -> None:
        """Take rows."""

    def widths(self) -> tuple[tuple[str, int], ...]:
        """Return ``StagedPart.widths``."""

    def digest(self) -> Digest | None:
        """Return ``StagedPart.digest``."""


class NoMeasure:
    """Nothing is found out."""

    def add(self, table: pa.Table) -> None:
        """Let the rows pass."""

    def widths(self) -> tuple[tuple[str, int], ...]:
        """Return none."""
        return ()

    def digest(self) -> Digest | None:
        """Return none."""
        return None


@dataclass(slots=True)
class OpenPart:
    """A part on its way: written under a name of its own, so that two attempts cannot mix.

    ``sole`` is whether it is for one large file alone; ``measured`` makes what its rows are
    measured with; ``codec`` compresses the pages of its Parquet.
    """

    path: Path
    schema: pa.Schema
    sole: bool
    measured: Callable[[], Measure] = NoMeasure
    codec: str = "zstd"
    temporary: Path = field(init=False)
    measure: Measure = field(init=False)
    uris: dict[str, None] = field(default_factory=dict)
    rows: int = 0
    closed: bool = False
    _held: list[pa.Table] = field(default_factory=list)
    _held_bytes: int = 0
    _writer: pq.ParquetWriter | None = None

    def __post_init__(self) -> None:
        unique = f".{self.path.name}-{os.getpid()}-{uuid.uuid4().hex}.tmp"
        self.temporary = self.path.with_name(unique)
        self.measure = self.measured()

    def add(self, table: pa.Table, uris: Sequence[str]) -> None:
        """Take rows of these files; they are held until there are enough for a row group."""
        self.uris.update(dict.fromkeys(uris))
        self.rows += table.num_rows
        self.measure.add(table)
        self._held.append(table)
        self._held_bytes += table.nbytes
        if self._held_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def stored(self) -> int:
        """Return the bytes on disk so far."""
        return self.temporary.stat().st_size if self._writer is not None else 0

    def finish(self) -> None:
        """Write what is held, and the file's end."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
        self.closed = True

    def drop(self) -> None:
        """Remove the file."""
        if self._writer is not None:
            self._writer.close()
        self.temporary.unlink(missing_ok=True)

    def without(self, uri: str) -> OpenPart | None:
        """Return the part without one file's rows, None when none are left.

        Of a part that other files share a finished copy is written.
        """
        if uri not in self.uris:
            return self
        if len(self.uris) == 1:
            self.drop()
            return None
        return self._copy_without(uri)

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._held:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.temporary, self.schema, compression=self.codec)
        table = pa.concat_tables(self._held).unify_dictionaries()
        self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        self._held, self._held_bytes = [], 0

    def _copy_without(self, uri: str) -> OpenPart:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        self.finish()
        copy = OpenPart(self.path, self.schema, self.sole, self.measured, self.codec)
        with pq.ParquetFile(self.temporary) as source:
            for group in range(source.num_row_groups):
                table = source.read_row_group(group)
                others = pc.not_equal(table[FILE_COLUMN].cast(pa.string()), uri)
                copy.add(table.filter(others).cast(self.schema), ())
        copy.uris = {other: None for other in self.uris if other != uri}
        copy.finish()
        self.temporary.unlink()
        return copy
