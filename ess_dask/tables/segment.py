"""Segments: the rows of one import batch as an immutable Arrow IPC file, grouped by partition.

A segment is a sequence of stripes; a stripe is exactly one record batch for each partition, in
their order (empty ones too), so that record batch ``i`` belongs to partition ``i % partitions`` and
a reader needs no index. Any Arrow tool can open the file. It is written into a temporary file and
becomes visible in its place (``places``) when complete.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError, ReadError
from ess_dask.tables.layout import ORDER, TableLayout
from ess_dask.tables.partition import split
from ess_dask.tables.places import place_of, remove_files

if TYPE_CHECKING:
    import pyarrow as pa

STRIPE_BYTES = 64 << 20
"""Arrow bytes that are held before they are split and written: bounds the writer's memory."""

ORDINAL_SHIFT = 32
"""A row's ``ORDER`` is ``segment ordinal << 32 | row of the segment``."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished segment: its path or URL, rows per partition, bytes, and whose rows it holds.

    ``sources`` are (uri, etag) of the files, in order.
    """

    path: str
    rows: tuple[int, ...]
    bytes: int
    sources: tuple[tuple[str, str], ...] = ()


class SegmentWriter:
    """Writes one segment. ``close`` or ``abort`` ends it; nothing is visible before ``close``.

    ``folder`` is a path or ``s3://bucket/prefix``.
    """

    def __init__(self, folder: Path | str, layout: TableLayout) -> None:
        self._layout = layout
        self._path = f"{folder}/{uuid.uuid4().hex}.arrow"
        self._place = place_of(self._path)
        self._temporary: Path | None = None
        self._pending: list[pa.Table] = []
        self._bytes = 0
        self._added = 0
        self._rows = [0] * layout.partitions
        self._file: pa.NativeFile | None = None
        self._writer: pa.ipc.RecordBatchFileWriter | None = None

    @property
    def num_rows(self) -> int:
        """Rows added so far."""
        return self._added

    def add(self, table: pa.Table) -> None:
        """Take rows with the layout's schema (with ``ORDER`` already, or without)."""
        if self._layout.ordered and ORDER not in table.column_names:
            table = self._numbered(table)
        self._pending.append(table)
        self._added += table.num_rows
        self._bytes += table.nbytes
        if self._bytes >= STRIPE_BYTES:
            self._flush()

    def close(self, sources: tuple[tuple[str, str], ...] = ()) -> Segment:
        """Write what is pending, make the file visible and return its description."""
        self._flush()
        assert self._writer and self._file and self._temporary
        with disk_errors(self._path):
            self._writer.close()
            self._file.close()
            size = self._temporary.stat().st_size
            self._place.put(self._temporary, self._path)
        return Segment(self._path, tuple(self._rows), size, sources)

    def abort(self) -> None:
        """Remove whatever was written."""
        self._pending.clear()
        if self._file is not None:
            self._file.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)

    def _numbered(self, table: pa.Table) -> pa.Table:
        import numpy as np
        import pyarrow as pa

        numbers = np.arange(self._added, self._added + table.num_rows, dtype=np.int64)
        return table.append_column(pa.field(ORDER, pa.int64()), pa.array(numbers))

    def _flush(self) -> None:
        import pyarrow as pa

        writer = self._writer or self._open()
        schema = self._layout.stored_schema
        rows = pa.concat_tables([schema.empty_table(), *self._pending])
        self._pending, self._bytes = [], 0
        parts = dict(split(rows, self._layout.key, self._layout.partitions))
        if not parts:
            return
        empty = pa.RecordBatch.from_pylist([], schema=schema)
        with disk_errors(self._path):
            for number in range(self._layout.partitions):
                part = parts.get(number)
                writer.write_batch(_one_batch(part) if part is not None else empty)
                self._rows[number] += part.num_rows if part is not None else 0

    def _open(self) -> pa.ipc.RecordBatchFileWriter:
        import pyarrow as pa

        with disk_errors(self._path):
            self._temporary = self._place.begin(self._path)
            self._file = pa.OSFile(str(self._temporary), "wb")
            self._writer = pa.ipc.new_file(self._file, self._layout.stored_schema)
        return self._writer


def read_partition(path: str, partition: int, layout: TableLayout) -> pa.Table:
    """Return the rows of one partition of a segment, read into memory of our own.

    Of a segment in S3 only the partition's record batches are asked for, and the index behind them.
    ``ReadError`` names a segment that is missing, cut or is not of this layout.
    """
    import pyarrow as pa

    try:
        with place_of(path).open(path) as file, pa.ipc.open_file(file) as reader:
            numbers = range(partition, reader.num_record_batches, layout.partitions)
            table = pa.Table.from_batches([reader.get_batch(i) for i in numbers], reader.schema)
            table.validate()
    except (OSError, ReadError, pa.ArrowInvalid) as error:
        raise ReadError(
            f"segment {path} of a memory table cannot be read: {_first_line(error)}",
            hint="import the table again: its spilled rows are gone or damaged",
        ) from None
    if not table.schema.equals(layout.stored_schema):
        raise ReadError(f"segment {path} holds other columns than its table")
    return table


def remove_segments(paths: Iterable[str]) -> None:
    """Delete segments and the folders they leave empty; what is gone already is no error."""
    remove_files(paths)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    import pyarrow as pa

    if table.num_rows == 0:
        return pa.RecordBatch.from_pylist([], schema=table.schema)
    return table.combine_chunks().to_batches()[0]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


@contextmanager
def disk_errors(path: str) -> Iterator[None]:
    """Say of a file that cannot be written which it is, and what to do."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else _first_line(error)
        hint = "free some space, or set ESS_CACHE_DIR to a larger disk"
        raise EssError(
            f"cannot write the segment {path}: {reason}",
            hint=hint if error.errno in {errno.ENOSPC, errno.EDQUOT} else "",
        ) from None
