"""What the language asks of tables in memory. A higher room implements it and wires it in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from ess_dask.aq.columns import ColumnSpec
from ess_dask.aq.errors import StoreError
from ess_dask.aq.program import ExportRequest, ImportRequest

if TYPE_CHECKING:
    import pyarrow as pa


class Importer(Protocol):
    """Takes the rows of one ``-imp``."""

    def prepare(self, rows: pa.Table) -> Any:
        """Return rows as ``add`` takes them; changes nothing, so that threads may call it.

        ``rows``: the columns of ``ImportRequest.columns`` under their names, see ``tables``.
        """

    def add(self, ready: Any) -> None:
        """Take what ``prepare`` returned, in the order of the rows."""

    def close(self) -> None:
        """Make the rows visible; nothing was before."""

    def abort(self) -> None:
        """Forget the rows of an import that was not closed."""


class Exporter(Protocol):
    """Gives the rows of one ``-exp`` or ``-cnt``."""

    def columns(self) -> tuple[ColumnSpec, ...]:
        """Return names and types of the columns."""

    def batches(self) -> Iterator[pa.Table]:
        """Yield the rows in order, in tables of these columns, see ``tables``."""


class Store(Protocol):
    """Tables in memory: ``Sink`` for imports and ``Source`` for exports in one."""

    def narrowed(self, request: ImportRequest) -> ImportRequest:
        """Return the request with the columns that its target takes, while options are parsed.

        Raises ``OptionError`` for an unknown table, a missing column or one of another type.
        """

    def importer(self, request: ImportRequest) -> Importer:
        """Begin an import that ``narrowed`` has checked."""

    def exporter(self, request: ExportRequest) -> Exporter:
        """Begin an export; raise ``StoreError`` for an unknown table."""


class NoStore:
    """Stands where no tables are wired in: every request is refused."""

    def narrowed(self, request: ImportRequest) -> ImportRequest:
        """Return the request: refused when the run begins, so that options can be tested."""
        return request

    def importer(self, request: ImportRequest) -> Importer:
        """Refuse an import."""
        raise _refusal("-imp", request.database, request.table)

    def exporter(self, request: ExportRequest) -> Exporter:
        """Refuse an export."""
        raise _refusal(f"-{request.action}", request.database, request.table)


def _refusal(option: str, database: str, table: str) -> StoreError:
    return StoreError(
        f"{option} {database}:{table}: there is no database to talk to",
        hint="run the command in a folder with a database, see ess create database",
    )
