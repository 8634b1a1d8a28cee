"""One COPY: files in, PostgreSQL's CSV out, and a report of what happened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ess_dask.testing.redshift.columns import Target
from ess_dask.testing.redshift.commands import Copy
from ess_dask.testing.redshift.errors import ServerError
from ess_dask.testing.redshift.journal import Journal, LoadedFile, LoadReport
from ess_dask.testing.redshift.parquet import csv_bytes, parquet_batches
from ess_dask.testing.redshift.sources import Source, sources

_CHUNK = 1 << 20


class Load:
    """A COPY on its way; ``chunks`` is read once, then ``finish`` says how it ended."""

    def __init__(self, copy: Copy, target: Target, journal: Journal, session: int) -> None:
        self._copy = copy
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
        """Yield the rows as CSV in pieces of bounded size; what cannot be loaded raises."""
        for source in sources(client, self._copy):
            rows = 0
            for table in self._tables(source):
                rows += table.num_rows
                if "NOLOAD" not in self._copy.options:
                    data = csv_bytes(table)
                    yield from (data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK))
            self.report.files.append(LoadedFile(source.url, rows, len(source.data), 0))

    def _tables(self, source: Source) -> Iterator[Any]:
        to_json = "SERIALIZETOJSON" in self._copy.options
        return parquet_batches(source, self._target.columns, to_json)

    def finish(self, error: ServerError | None) -> str:
        """Write the report to the system tables; return what Redshift says of a load that is done."""
        self._journal.write(self.report, completed=error is None)
        return (
            f"Load into table '{self.report.table}' completed, "
            f"{self.report.rows} record(s) loaded successfully."
        )
