"""The plan of a backfill: one listing and one look into the ledger for all of it, then cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from ess_dask.errors import UsageError
from ess_dask.folders import cache_path
from ess_dask.markup import count
from ess_dask.pipelines.backfill import state
from ess_dask.pipelines.backfill.chunks import Calendar, calendar
from ess_dask.pipelines.backfill.cutting import Cutting, Past
from ess_dask.pipelines.backfill.model import BackfillPlan, ChunkPlan
from ess_dask.pipelines.backfill.state import BackfillOrder
from ess_dask.pipelines.execution import Window
from ess_dask.pipelines.plan import RunPlan

if TYPE_CHECKING:
    from ess_dask.pipelines.load import OpenedPipeline
    from ess_dask.warehouse.model import LoadFile


def make_backfill(opened: OpenedPipeline, order: BackfillOrder) -> BackfillPlan:
    """Return what a backfill would do now; nothing is written.

    Raises ``UsageError`` for a pipeline that loads nothing, for files that have ids in place of
    dates, for a wrong range, and what ``prepare.make_plan`` raises.
    """
    from ess_dask.catalog.bounds import parse_bounds
    from ess_dask.catalog.dates import compile_dates
    from ess_dask.pipelines.prepare import make_plan

    pipeline = opened.pipeline
    if pipeline.load is None and pipeline.memory is None:
        raise UsageError(
            f"{pipeline.name} loads nothing, so nothing tells what is done",
            hint="add load: to the pipeline, or use ess run",
        )
    bounds = parse_bounds(order.lower, order.upper, compile_dates(pipeline.source.date))
    days = calendar(order.chunk, bounds.lower, bounds.upper)
    if order.reprocess == "all" and pipeline.load is not None:
        pipeline = replace(pipeline, load=replace(pipeline.load, on_change="reprocess"))
    whole = make_plan(pipeline, opened.folder, opened.settings, Window(order.lower, order.upper))
    _refuse_rebuild(whole)
    past = _past(whole, order, pipeline.rejects.limit)
    cutting = Cutting(whole, order, past, days, opened.settings.batch_bytes, _standing(whole))
    chunks, undated = cutting.chunks()
    warnings = list(whole.warnings)
    if undated:
        files = count(undated, "file has", "files have")
        warnings.append(f"{files} no date and no place in a backfill: ess run loads them")
    return BackfillPlan(
        id=past.id,
        pipeline=whole.pipeline,
        order=order,
        target=whole.target,
        table=whole.table,
        chunks=chunks,
        empty=_empty(days, chunks),
        warnings=tuple(warnings),
    )


def _refuse_rebuild(whole: RunPlan) -> None:
    memory = whole.execution.memory if whole.execution else None
    if memory is not None and memory.rebuild:
        raise UsageError(
            f"a file in the memory table {memory.table} has changed: it must be made anew, whole",
            hint="ess run without a date range does that",
        )


def _past(whole: RunPlan, order: BackfillOrder, limit: str) -> Past:
    from ess_dask.runs.journal import open_journal

    if not (cache_path() / "catalog.db").exists():
        return Past("", frozenset(), {})
    with open_journal() as journal:
        found = state.unfinished(journal, whole.pipeline, order)
        held = state.unloaded(journal, whole.pipeline, whole.digest, limit)
        done = state.done_chunks(journal, found)
    return Past(found, done, held if order.reprocess == "none" else {})


def _standing(whole: RunPlan) -> Mapping[str, LoadFile]:
    """Return what the ledger holds, by uri, where the plan does not say it: in mode replace."""
    from ess_dask.warehouse.connect import open_warehouse

    if whole.load is None or whole.mode != "replace":
        return {}
    target = whole.load.target
    entries = open_warehouse(target.url).ledger(target.table, target.pipeline)
    return {entry.file.uri: entry.file for entry in entries}


def _empty(days: Calendar, chunks: Sequence[ChunkPlan]) -> int:
    if not chunks:
        return 0
    first = chunks[0].chunk.first if days.lower == date.min else days.lower
    last = chunks[-1].chunk.last if days.upper == date.max else days.upper
    return sum(1 for _ in days.chunks(first, last)) - len(chunks)
