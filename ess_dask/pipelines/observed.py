"""What those who watch a run are told of its plan."""

from __future__ import annotations

import time
from pathlib import Path

from ess_dask.observe.model import Beginning
from ess_dask.pipelines.model import Pipeline
from ess_dask.pipelines.plan import RunPlan


def beginning_of(plan: RunPlan, run_id: str = "", folder: Path | None = None) -> Beginning:
    """Return a plan's run as it begins now; without an id one that has nothing to do."""
    from ess_dask.records.types import format_type

    execution, batches = plan.execution, plan.execution.batches if plan.execution else ()
    return Beginning(
        run_id=run_id,
        pipeline=plan.pipeline,
        started=time.time(),
        folder=folder,
        category=plan.category,
        store=plan.store,
        target=plan.target,
        table=plan.table,
        columns=tuple(
            (column.name, format_type(column.type))
            for column in (execution.columns if execution else ())
        ),
        files=sum(len(batch.files) for batch in batches),
        size=sum(batch.size for batch in batches),
        hook=plan.hook,
    )


def before_plan(pipeline: Pipeline) -> Beginning:
    """Return a run of which there is no plan yet."""
    hook = pipeline.notify.hook() if pipeline.notify else None
    category = pipeline.source.category
    return Beginning("", pipeline.name, time.time(), category=category, hook=hook)
