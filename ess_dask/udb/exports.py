"""``-exp`` and ``-cnt`` as the source of another aq program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ess_dask.aq.columns import ColumnSpec
from ess_dask.aq.errors import OptionError
from ess_dask.aq.kinds import Kind
from ess_dask.aq.parsing.tokens import Tokens, as_path
from ess_dask.aq.program import ExportRequest
from ess_dask.udb.model import Request
from ess_dask.udb.parsing import parse_request
from ess_dask.udb.specs import find_database

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

BATCH_ROWS = 1 << 16


class TableExport:
    """Gives the rows of one request; implements ``aq.stores.Exporter``."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def columns(self) -> tuple[ColumnSpec, ...]:
        """Return names and types of the columns."""
        return tuple(
            ColumnSpec(column.source.kind, column.title)
            for column in self._request.outputs[0].columns
        )

    def batches(self) -> Iterator[pa.Table]:
        """Yield the rows in order."""
        from ess_dask.udb.execution import execute
        from ess_dask.udb.memory import Memory
        from ess_dask.udb.results import output_frame

        with Memory(self._request.database) as memory:
            frame, _ = execute(memory, self._request)
        rows = output_frame(frame, self._request.outputs[0].columns, self._request)
        for start in range(0, rows.height, BATCH_ROWS):
            yield self._bytes(rows.slice(start, BATCH_ROWS))

    def _bytes(self, rows: pl.DataFrame) -> pa.Table:
        import pyarrow as pa

        from ess_dask.aq.tables import arrow_type
        from ess_dask.udb.texts import output_column

        columns = self._request.outputs[0].columns
        arrays = [
            output_column(rows[:, at])
            if column.source.kind is Kind.S
            else rows[:, at].to_arrow().cast(arrow_type(column.source.kind))
            for at, column in enumerate(columns)
        ]
        return pa.table(arrays, names=[column.title for column in columns])


def export_of(asked: ExportRequest) -> TableExport:
    """Return the export that the options mean; raise ``OptionError`` for wrong ones."""
    option = f"-{asked.action}"
    database = find_database(asked.database, asked.spec_file, option)
    # The options are bytes as characters by now; they are read as arguments once more.
    tokens = Tokens([as_path(text) for text in asked.options])
    request = parse_request(asked.action, database, asked.table, (), tokens)
    if len(request.outputs) != 1 or request.outputs[0].target != "-":
        raise OptionError(f"{option} as a source has no output of its own", hint="only -c is left")
    return TableExport(request)
