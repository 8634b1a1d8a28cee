"""A table in memory into a warehouse: one version, whole, in one transaction.

Rows of a memory table may be merged and are sorted: whose file they came from cannot be told any
more. The ledger therefore gets an entry for every source file and one for the table's rows, all by
``memory:DATABASE.TABLE``, and a load takes all of them or none.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from ess_dask.catalog.model import FileRef
from ess_dask.engine.model import Batch, Piece
from ess_dask.pipelines.run import new_run_id, runs_folder
from ess_dask.pipelines.run_folder import run_folder
from ess_dask.records.spec import Column
from ess_dask.tables.layout import ORDER
from ess_dask.warehouse.changes import refuse_shared
from ess_dask.warehouse.connect import open_warehouse
from ess_dask.warehouse.model import LoadFile, LoadRequest, LoadResult, StagedPart, Target
from ess_dask.warehouse.schema import from_arrow
from ess_dask.warehouse.staging import StagingSink

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.settings import Settings
    from ess_dask.tables.table import MemoryTable


def load_table(memory: MemoryTable, target: Target, settings: Settings) -> LoadResult:
    """Load this version of a memory table; return what was done.

    ``target.pipeline`` is that of ``ledger_name``. Nothing is done when all source files have been
    loaded from this table before (modes ``append`` and ``upsert``). Raises ``ConflictError`` when
    that is so of some of them, or another pipeline loaded one (not ``upsert``), and what the
    warehouse and the cluster raise; nothing is loaded then.
    """
    columns = tuple(Column(each.name, from_arrow(each.name, each.type)) for each in memory.schema)
    load_id = new_run_id()
    sources = [LoadFile(uri, etag) for uri, etag in memory.sources]
    carrier = LoadFile(f"{target.pipeline}#{load_id}", etag=load_id)
    warehouse = open_warehouse(target.url)
    plan = warehouse.plan(target, columns, [*sources, carrier])
    if not sources or (target.mode != "replace" and len(plan.done) == len(sources)):
        return LoadResult(load_id, 0, 0, 0, already_done=len(plan.done))
    refuse_shared(target, sources, warehouse.ledger(target.table))
    folder = runs_folder(settings) / load_id
    with run_folder(folder):
        parts = _stage(memory, StagingSink(str(folder / "stage"), columns), carrier)
        rows = sum(part.rows for part in parts)
        carrier = replace(carrier, rows_read=rows, rows_loaded=rows)
        new = (carrier if file.uri == carrier.uri else file for file in plan.new)
        files = (*new, *plan.changed)
        digest = _digest(memory, target)
        done = warehouse.load(LoadRequest(load_id, plan, digest, files, parts, whole=True))
        return replace(done, files=len(files) - 1)


def ledger_name(memory: MemoryTable) -> str:
    """Return the name under which the ledger keeps what came from a memory table."""
    return f"memory:{memory.name}"


def _stage(memory: MemoryTable, sink: StagingSink, carrier: LoadFile) -> tuple[StagedPart, ...]:
    staged = memory.map_numbered(stage_partition, sink, carrier.uri)
    return tuple(part for parts in staged for part in parts)


def stage_partition(
    number: int, partition: pa.Table, sink: StagingSink, uri: str
) -> tuple[StagedPart, ...]:
    """Write one partition's rows as staged parts of the file ``uri``. Runs on a worker."""
    import numpy as np

    file = FileRef(uri, None, 0, "")
    rows = partition.drop_columns([name for name in (ORDER,) if name in partition.column_names])
    writer = sink.open(Batch(number, (file,)))
    try:
        writer.write(Piece(rows, (file,), np.zeros(rows.num_rows, np.int32)))
        parts: tuple[StagedPart, ...] = writer.close()
    except BaseException:
        writer.abort()
        raise
    return parts


def _digest(memory: MemoryTable, target: Target) -> str:
    """Return 32 hexadecimal digits: of how the table lies and how it is loaded."""
    text = json.dumps([memory.layout.to_json(), target.table, target.mode, target.key])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
