"""One COPY: files in, PostgreSQL's CSV out, and a report of what happened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ess_dask.testing.redshift.columns import Target
from ess_dask.testing.redshift.commands import Copy
from ess_dask.testing.redshift.delimited import read_delimited
from ess_dask.testing.redshift.errors import ServerError
from ess_dask.testing.redshift.journal import Journal, LoadedFile, LoadReport, RowError
from ess_dask.testing.redshift.options import whole_number
from ess_dask.testing.redshift.parquet import csv_bytes, parquet_batches
from ess_dask.testing.redshift.sources import Source, sources

_CHUNK = 1 << 20


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

    def chunks(self, client: Any) -> Iterator[bytes]:
        """Yield the rows as CSV in pieces of bounded size; what cannot be loaded raises.

        Rows in error are left out up to MAXERROR; beyond it all files are looked through, no more
        rows come, and then it raises.
        """
        limit = max(whole_number(self.command.options, "MAXERROR"), 1)
        for source in sources(client, self.command):
            rows, errors = 0, 0
            for table, bad in self._tables(source):
                rows += table.num_rows
                self.report.errors += bad[: limit - errors]
                errors += len(bad)
                if errors >= limit:
                    # A slice stops at its own limit: there is no more to be seen of its file.
                    break
                if "NOLOAD" not in self.command.options and len(self.report.errors) < limit:
                    data = csv_bytes(table)
                    yield from (data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK))
            self.report.files.append(LoadedFile(source.url, rows, len(source.data), errors))
        if len(self.report.errors) >= limit:
            raise ServerError(
                f"Load into table '{self.report.table}' failed. "
                "Check 'sys_load_error_detail' system table for details."
            )

    def _tables(self, source: Source) -> Iterator[tuple[Any, list[RowError]]]:
        options, columns = self.command.options, self._target.columns
        if self.command.is_parquet:
            for table in parquet_batches(source, columns, "SERIALIZETOJSON" in options):
                yield table, []
        else:
            for done in read_delimited(source, columns, options):
                yield done.table, done.errors

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
