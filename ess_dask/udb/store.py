"""The aq programs' ``Store`` over the tables of the local cluster."""

from __future__ import annotations

from ess_dask.aq.program import ExportRequest, ImportRequest
from ess_dask.aq.stores import Exporter, Importer
from ess_dask.aq.surroundings import turn


class MemoryStore:
    """Implements ``aq.stores.Store``. Nothing heavy is imported before a table is needed."""

    def narrowed(self, request: ImportRequest) -> ImportRequest:
        """Return the request with the columns that its target takes."""
        from ess_dask.udb.imports import narrowed
        from ess_dask.udb.specs import find_database

        return narrowed(request, find_database(request.database, request.spec_file, "-imp"))

    def importer(self, request: ImportRequest) -> Importer:
        """Begin an import; the cluster is started if it does not run."""
        from ess_dask.udb.imports import TableImport
        from ess_dask.udb.memory import Memory
        from ess_dask.udb.specs import find_database

        return TableImport(
            Memory(find_database(request.database, request.spec_file, "-imp")), request
        )

    def exporter(self, request: ExportRequest) -> Exporter:
        """Begin an export."""
        from ess_dask.udb.exports import export_of

        turn().wait()
        return export_of(request)
