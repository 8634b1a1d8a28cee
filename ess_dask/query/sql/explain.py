"""What a plan does, in words: what runs where, what moves, and after the run how long it took."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from ess_dask.markup import count, show_bytes
from ess_dask.query.sql.files import CategoryRows
from ess_dask.query.sql.flat import ParquetRows
from ess_dask.query.sql.memory import MemoryRows
from ess_dask.query.sql.model import Partitioned, SqlPlan, Stage
from ess_dask.query.sql.run import Done, Run


def explain(run: Run) -> str:
    """Return the plan as text; a run that is done has rows, bytes and seconds beside each stage."""
    lines = [f"source {shown}: {_source(run.sources[name])}" for name, shown in _used(run)]
    if run.plan.unsplit:
        lines.append(f"not split: {run.plan.unsplit}")
    lines += [f"collected unreduced: {note}" for note in run.plan.collected]
    done = {each.stage.name: each for each in run.done}
    for number, stage in enumerate(run.plan.stages, 1):
        lines += _stage(number, stage, run.plan, done.get(stage.name))
    return "\n".join(lines)


def _used(run: Run) -> list[tuple[str, str]]:
    return [(name, shown) for name, shown in run.plan.sources.items() if name in run.sources]


def _source(source: Partitioned) -> str:
    if isinstance(source, CategoryRows):
        return _category(source)
    if isinstance(source, MemoryRows):
        layout = source.memory.layout
        key = ", ".join(layout.key) or "none"
        return f"in memory, {_partitions(layout.partitions)} by {key}, {show_bytes(source.size)}"
    if isinstance(source, ParquetRows):
        return count(len(source.files), "Parquet file", "Parquet files")
    return "rows of this process"


def _category(source: CategoryRows) -> str:
    files = count(sum(len(batch.files) for batch in source.batches), "file", "files")
    batches = count(len(source.batches), "batch", "batches")
    size = show_bytes(sum(batch.size for batch in source.batches))
    pruned = f" ({source.pruned} pruned by date)" if source.pruned else ""
    text = f"{files} of the range{pruned}, {size} stored, {batches}"
    account = source.account
    if account.files:
        files = count(account.files, "file", "files")
        rows = count(account.rows, "row", "rows")
        text += (
            f"; read {files}, {show_bytes(account.bytes)}, {rows}, {account.rejected:,} rejected"
        )
    return text


def _stage(number: int, stage: Stage, plan: SqlPlan, done: Done | None) -> Iterator[str]:
    yield f"{number}. {stage.note}"
    if stage.sources:
        read = ", ".join(
            f"{plan.sources[name]} ({', '.join(columns) or 'counted'})"
            for name, columns in zip(stage.sources, stage.columns, strict=True)
        )
        beside = f", beside {', '.join(stage.sides)}" if stage.sides else ""
        which = "every partition" if stage.at is None else "the partition of one key"
        yield f"   on {which} of {read}{beside}:"
        yield f"      {stage.map}"
    if stage.deal:
        key = ", ".join(stage.deal.key)
        yield f"   dealt anew by {key} into {_partitions(stage.deal.partitions)}"
    if stage.merge:
        yield "   once, here:"
        yield f"      {stage.merge}"
    if done is not None:
        yield f"   {_account(done)}"


def _account(done: Done) -> str:
    text = f"{count(done.rows, 'row', 'rows')} in {done.seconds:.3f} s"
    if done.stage.deal:
        return f"begun in {done.seconds:.3f} s"
    if done.stage.sources:
        moved = f"{count(done.moved_rows, 'row', 'rows')} ({show_bytes(done.moved_bytes)}) moved"
        text += f"; {_partitions(done.partitions)} answered, {moved}"
    return text


def _partitions(number: int) -> str:
    return count(number, "partition", "partitions")


def as_json(run: Run) -> str:
    """Return the plan as one JSON object."""
    done = {each.stage.name: each for each in run.done}
    stages = [_stage_fields(stage, run.plan, done.get(stage.name)) for stage in run.plan.stages]
    whole = {
        "sources": {shown: _source(run.sources[name]) for name, shown in _used(run)},
        "unsplit": run.plan.unsplit,
        "collected": list(run.plan.collected),
        "stages": stages,
    }
    return json.dumps(whole, indent=2)


def _stage_fields(stage: Stage, plan: SqlPlan, done: Done | None) -> Mapping[str, object]:
    fields: dict[str, object] = {
        "note": stage.note,
        "sources": [plan.sources[name] for name in stage.sources],
        "columns": [list(columns) for columns in stage.columns],
        "map": stage.map,
        "merge": stage.merge,
    }
    if done is not None:
        fields |= {"partitions": done.partitions, "moved_rows": done.moved_rows}
        fields |= {"moved_bytes": done.moved_bytes, "rows": done.rows, "seconds": done.seconds}
    return fields
