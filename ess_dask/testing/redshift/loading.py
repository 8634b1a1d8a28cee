"""One COPY: files in, PostgreSQL's rows out, and a report of what happened."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import field
from functools import partial
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift.binary import HEADER, TRAILER, binary_rows
from ess_dask.testing.redshift.columns import Target
from ess_dask.testing.redshift.commands import Copy
from ess_dask.testing.redshift.delimited import read_delimited
from ess_dask.testing.redshift.errors import ServerError
from ess_dask.testing.redshift.journal import Journal, LoadedFile, LoadReport, RowError
from ess_dask.testing.redshift.options import whole_number
from ess_dask.testing.redshift.parquet import csv_bytes, parquet_batches
from ess_dask.testing.redshift.slices import side_by_side
from ess_dask.testing.redshift.sources import Listed, fetched, listed, none_there

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some rows of a file of so many bytes; ``data`` is what PostgreSQL reads."""

    file_bytes: int
    rows: int = 0
    errors: list[RowError] = field(default_factory=list)
    data: Any = None


class Load:
    """A COPY on its way; ``chunks`` is read once, then ``finish`` says how it ended."""

    def __init__(self, copy: Copy, target: Target, journal: Journal, session: int) -> None:
        self.command = copy
        self._target = target
        self._journal = journal
        self.report = LoadReport(
            query=journal.next_query(),
            session=session,
            table=copy.table[-1],
            table_id=target.table_id,
            source=copy.source,
            format="Parquet" if copy.is_parquet else "Text",
        )

    def chunks(self, client: Any) -> Generator[memoryview]:
        """Yield the rows for PostgreSQL in pieces of bounded size; what cannot be loaded raises.

        Rows in error are left out up to MAXERROR; beyond it all files are looked through, no more
        rows come, and then it raises. Close the iterator: it has threads.
        """
        files = listed(client, self.command)
        if self.command.is_parquet:
            yield memoryview(HEADER)
        with closing(side_by_side(files, partial(self._pieces, client))) as courses:
            for file, pieces in courses:
                yield from self._rows(file, pieces)
        if not self.report.files:
            raise none_there(self.command)
        if len(self.report.errors) >= self._limit:
            raise ServerError(
                f"Load into table '{self.report.table}' failed. "
                "Check 'sys_load_error_detail' system table for details."
            )
        if self.command.is_parquet:
            yield memoryview(TRAILER)

    @property
    def _limit(self) -> int:
        return max(whole_number(self.command.options, "MAXERROR"), 1)

    def _rows(self, file: Listed, pieces: Iterator[_Piece]) -> Iterator[memoryview]:
        rows, errors, size = 0, 0, None
        for piece in pieces:
            size, rows = piece.file_bytes, rows + piece.rows
            self.report.errors += piece.errors[: self._limit - errors]
            errors += len(piece.errors)
            if errors >= self._limit:
                # A slice stops at its own limit: there is no more to be seen of its file.
                break
            if piece.data is not None and len(self.report.errors) < self._limit:
                data = memoryview(piece.data)
                yield from (data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK))
        if size is not None:
            self.report.files.append(LoadedFile(file.url, rows, size, errors))

    def _pieces(self, client: Any, file: Listed) -> Iterator[_Piece]:
        """Read and convert one file, in a thread of its own."""
        source = fetched(client, file)
        if source is None:
            return
        options, columns = self.command.options, self._target.columns
        is_loaded, size = "NOLOAD" not in options, len(source.data)
        # A file without rows is a file, too.
        yield _Piece(size)
        if self.command.is_parquet:
            for table in parquet_batches(source, columns, "SERIALIZETOJSON" in options):
                yield _Piece(size, table.num_rows, data=binary_rows(columns, table.columns))
        else:
            for done in read_delimited(source, columns, options):
                data = csv_bytes(done.table) if is_loaded else None
                yield _Piece(size, done.table.num_rows, done.errors, data)

    def finish(self, error: ServerError | None) -> str:
        """Write the report to the system tables; return what Redshift says of a done load."""
        self._journal.write(self.report, completed=error is None)
        bad = len(self.report.errors)
        return (
            f"Load into table '{self.report.table}' completed, "
            f"{self.report.rows} record(s) loaded successfully."
            + (f" {bad} record(s) could not be loaded. " if bad else "")
            + ("Check 'sys_load_error_detail' system table for details." if bad else "")
        )
