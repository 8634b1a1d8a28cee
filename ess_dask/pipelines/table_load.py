"""A table in memory into a warehouse: one version, whole, in one transaction.

Rows of a memory table may be merged and are sorted: whose file they came from cannot be told any
more. The ledger therefore gets an entry for every source file and one for the table's rows, all by
``memory:WORK_DIR:DATABASE.TABLE``, and a load takes all of them or none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask.catalog.model import FileRef
from ess_dask.engine.model import Batch, Piece, Sink
from ess_dask.errors import ConflictError
from ess_dask.pipelines.door import Door, Order, make_key, open_door
from ess_dask.pipelines.run_folder import run_folder
from ess_dask.pipelines.work import everywhere
from ess_dask.records.spec import Column
from ess_dask.runs.machine import Event
from ess_dask.tables.layout import ORDER
from ess_dask.warehouse.changes import MEMORY, names, refuse_shared
from ess_dask.warehouse.connect import open_warehouse
from ess_dask.warehouse.model import LoadFile, LoadRequest, LoadResult, StagedPart, Target
from ess_dask.warehouse.schema import from_arrow

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.settings import Settings
    from ess_dask.tables.table import MemoryTable
    from ess_dask.warehouse.protocol import LedgerEntry, Warehouse


def load_table(
    memory: MemoryTable, target: Target, settings: Settings, warn: Callable[[str], None]
) -> LoadResult:
    """Load this version of a memory table; return what was done.

    ``target.pipeline`` is that of ``ledger_name``. Nothing is done when all source files have been
    loaded from this table before (modes ``append`` and ``upsert``); ``warn`` is told when it was
    imported anew since. Raises ``ConflictError`` when some of them have been, or changed since
    (``upsert``), or another pipeline loaded one (not ``upsert``), and what the warehouse and the
    cluster raise, ``LockedError`` naming a load of it that is under way; nothing is loaded then.
    """
    with open_door(make_key(target.pipeline, target), settings, Order(), warn) as door:
        return _load(memory, target, door, warn)


def _load(
    memory: MemoryTable, target: Target, door: Door, warn: Callable[[str], None]
) -> LoadResult:
    columns = tuple(Column(each.name, from_arrow(each.name, each.type)) for each in memory.schema)
    load_id = door.run_id
    sources = [LoadFile(uri, etag) for uri, etag in memory.sources]
    carrier = LoadFile(f"{target.pipeline}#{load_id}", etag=load_id)
    warehouse = open_warehouse(target.url)
    plan = warehouse.plan(target, columns, [*sources, carrier])
    standing = warehouse.ledger(target.table)
    if target.mode != "replace" and len(plan.done) == len(sources):
        _check_same(memory, target, standing, warn)
        return LoadResult(load_id, 0, 0, 0, already_done=len(plan.done))
    refuse_shared(target, sources, standing, whole=True)
    if plan.changed:
        raise ConflictError(
            f"{len(plan.changed)} file(s) of {memory.name} changed since they were loaded from it: "
            f"{names(plan.changed)}; the rows of their older versions may have other keys",
            hint="use mode replace",
        )
    digest = _digest(memory)
    staged_at = warehouse.staged_at(load_id)
    with run_folder(door.folder, staged_at), door.course_of_table(digest) as course:
        course.advance(Event.BEGIN)
        sink = warehouse.sink(str(door.folder / "stage"), load_id, plan)
        if memory.far:
            parts = _far_parts(memory, warehouse, sink, carrier.uri, str(door.folder))
        else:
            parts = warehouse.spread(sink, _stage(memory, sink, carrier), memory.run)
        rows = sum(part.rows for part in parts)
        course.advance(Event.STAGED, rows_read=rows)
        carrier = replace(carrier, rows_read=rows, rows_loaded=rows)
        files = tuple(carrier if file.uri == carrier.uri else file for file in plan.new)
        fitted = warehouse.fit(plan, parts)
        request = LoadRequest(load_id, fitted, digest, files, parts, whole=True)
        course.advance(Event.LOAD)
        done = warehouse.load(request)
        course.advance(Event.LOADED, files=len(files) - 1, rows_loaded=done.rows_loaded)
        course.advance(Event.FINISH, exit_code=0)
        return replace(done, files=len(files) - 1)


def ledger_name(memory: MemoryTable) -> str:
    """Return the name under which the ledger keeps what came from a memory table: its full one."""
    return f"{MEMORY}{memory.name.workspace}:{memory.name}"


def _stage(memory: MemoryTable, sink: Sink, carrier: LoadFile) -> tuple[StagedPart, ...]:
    staged = memory.map_numbered(stage_partition, sink, carrier.uri)
    return tuple(part for parts in staged for part in parts)


def _far_parts(
    memory: MemoryTable, warehouse: Warehouse, sink: Sink, uri: str, root: str
) -> tuple[StagedPart, ...]:
    """Stage on machines that do not see ``root``: what they write there is fetched."""
    from dask.delayed import delayed

    from ess_dask.engine.remote import RemoteExecutor
    from ess_dask.engine.workplace import prepare

    prepare(memory.client)
    executor = RemoteExecutor(memory.client, str(memory.name), root, Path(root).name)
    try:
        work = executor.prepared(partial(_stage_item, sink=sink, uri=uri))
        tasks = [
            executor.submit(delayed(_one)(work, number, future))
            for number, future in enumerate(memory.futures)
        ]
        staged = [part for task in tasks for part in executor.result(task)]
        return tuple(warehouse.spread(sink, staged, partial(everywhere, executor)))
    except BaseException:
        executor.cancel()
        raise
    finally:
        executor.close()


def _one(work: Callable[[Any], Any], number: int, partition: pa.Table) -> list[Any]:
    return [work((number, partition))]


def _stage_item(item: tuple[int, pa.Table], sink: Sink, uri: str) -> tuple[StagedPart, ...]:
    return stage_partition(item[0], item[1], sink, uri)


def stage_partition(
    number: int, partition: pa.Table, sink: Sink, uri: str
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


def _check_same(
    memory: MemoryTable,
    target: Target,
    standing: Sequence[LedgerEntry],
    warn: Callable[[str], None],
) -> None:
    """Warn when what was loaded came from another version of the table: its rows may differ."""
    digest = _digest(memory)
    if any(e.pipeline == target.pipeline and e.digest != digest for e in standing):
        warn(
            f"the files of {memory.name} are loaded, but from another version of it; if its rows "
            "are to take the place of those, use mode replace"
        )


def _digest(memory: MemoryTable) -> str:
    """Return 32 hexadecimal digits: of the table's version."""
    text = memory.version.label
    return hashlib.sha256(text.encode()).hexdigest()[:32]
