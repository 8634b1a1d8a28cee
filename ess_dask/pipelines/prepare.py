"""From a pipeline to its plan: list, compare with the ledger, describe; nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.catalog.bounds import Bounds, parse_bounds
from ess_dask.catalog.model import Category, Datastore, FileRef
from ess_dask.clean.protocol import BytesStep, RowStep, StepContext
from ess_dask.engine.batches import make_batches
from ess_dask.engine.collect import empty_table
from ess_dask.engine.executor import usable_cores
from ess_dask.engine.hands import refuse_unseen
from ess_dask.engine.model import Job
from ess_dask.errors import ConfigError, ConflictError
from ess_dask.pipelines.execution import (
    Execution,
    MemoryPlan,
    MemoryTarget,
    RunSpec,
    Window,
)
from ess_dask.pipelines.plan import RunPlan
from ess_dask.pipelines.steps import make_step
from ess_dask.records.spec import Column
from ess_dask.warehouse.model import Hooks, LoadFile, LoadPlan, TableLayout, Target

if TYPE_CHECKING:
    from ess_dask.catalog.selection import Selection
    from ess_dask.documents.yaml import Place
    from ess_dask.pipelines.model import Load, Pipeline
    from ess_dask.settings import Settings


BYTES_PER_SECOND = 8_000_000
"""Stored bytes of gz CSV that one core reads, cleans and stages in a second: a rough guess."""

START_SECONDS = 1.0
CLUSTER_SECONDS = 3.0
"""What a run takes before its first file, and what it takes more to start a cluster: as rough."""


def make_plan(
    pipeline: Pipeline, folder: Path, settings: Settings, window: Window | None = None
) -> RunPlan:
    """Return what a run of the pipeline would do now.

    ``folder`` is the pipeline file's: Python steps are looked up there. Raises ``ConfigError`` for
    steps that are refused, and what ``plan_run`` raises.
    """
    memory, load = pipeline.memory, pipeline.load
    spec = RunSpec(
        name=pipeline.name,
        digest=pipeline.digest(folder),
        job=make_job(pipeline, folder, settings),
        category=pipeline.source.as_category(),
        window=window or Window(),
        rejects=pipeline.rejects,
        target=target_of(pipeline, load, settings) if load else None,
        memory=MemoryTarget(memory.table, memory.key, memory.sort) if memory else None,
        hook=pipeline.notify.hook() if pipeline.notify else None,
    )
    with placed_steps(pipeline, spec.job):
        return plan_run(spec, settings)


@contextmanager
def placed_steps(pipeline: Pipeline, job: Job) -> Iterator[None]:
    """Put the place in the file before what is wrong with a step on the columns it gets."""
    try:
        yield
    except ConfigError as error:
        place = _failing_step(pipeline, job)
        if place is None:
            raise
        raise ConfigError(f"{place}: {error.message}", hint=error.hint) from None


def _failing_step(pipeline: Pipeline, job: Job) -> Place | None:
    """Return where the first step stands that does not fit its columns; None if all do."""
    places = [step.place for step in pipeline.clean][len(job.bytes_steps) :]
    for count, place in enumerate(places, 1):
        try:
            empty_table(replace(job, row_steps=job.row_steps[:count]))
        except ConfigError:
            return place
    return None


def plan_run(spec: RunSpec, settings: Settings) -> RunPlan:
    """Return what a run would do now: list, compare with ledger and memory, write nothing.

    Raises ``UsageError`` for a wrong range, ``ConflictError`` when the table does not fit or a
    loaded file has changed and the policy is ``fail``, and what listing raises.
    """
    refuse_unseen(spec.job.store, settings)
    bounds, selection = select_window(spec.job.store, spec.category, spec.window)
    files = selection.files
    columns = columns_of(spec.job, None if spec.memory else spec.target)
    load = _plan_load(spec, columns, files, bounds)
    memory = _plan_memory(spec.memory, files, settings.cluster)
    wanted = _wanted(files, load, memory)
    execution = Execution(
        job=spec.job,
        rejects=spec.rejects,
        columns=columns,
        batches=make_batches(wanted, settings.batch_bytes),
        slots=settings.threads or usable_cores(),
        memory=memory,
        whole=spec.whole,
    )
    warnings = (*(load.warnings if load else ()), *_warnings(spec, selection))
    return _describe(spec, execution, files, load, warnings)


def _describe(
    spec: RunSpec,
    execution: Execution,
    files: Sequence[FileRef],
    load: LoadPlan | None,
    warnings: tuple[str, ...],
) -> RunPlan:
    from ess_dask.warehouse.connect import resolved_url

    job = execution.job
    to_read = {file.uri for batch in execution.batches for file in batch.files}
    changed = {file.uri for file in load.changed} if load else set()
    new, seen = to_read - changed, to_read | changed
    return RunPlan(
        pipeline=spec.name,
        digest=spec.digest,
        store=job.store.root,
        new=tuple(file for file in files if file.uri in new),
        done=tuple(file for file in files if file.uri not in seen),
        changed=tuple(file for file in files if file.uri in changed),
        on_change=load.target.on_change if load else "fail",
        batches=len(execution.batches),
        target=resolved_url(load.target.url) if load else "",
        table=load.target.table if load else "",
        mode=load.target.mode if load else "",
        memory=execution.memory.table if execution.memory else "",
        steps=(*(s.name for s in job.bytes_steps), *(s.name for s in job.row_steps)),
        ddl=load.ddl if load else (),
        warnings=warnings,
        estimated_seconds=_estimate(execution),
        lower=spec.window.lower,
        upper=spec.window.upper,
        load=load,
        category=spec.category.name,
        hook=spec.hook,
        execution=execution,
    )


def _estimate(execution: Execution) -> float:
    from ess_dask.cluster.machines import attach

    if not execution.is_needed:
        return 0.0
    stored = sum(batch.size for batch in execution.batches)
    start = CLUSTER_SECONDS if execution.memory is not None and attach() is None else 0.0
    return START_SECONDS + start + stored / BYTES_PER_SECOND / execution.slots


def make_job(pipeline: Pipeline, folder: Path, settings: Settings) -> Job:
    """Return what a worker needs to clean the pipeline's files; ``folder`` is the file's."""
    steps = [make_step(step, folder) for step in pipeline.clean]
    row_steps: list[RowStep] = [step for step in steps if isinstance(step, RowStep)]
    bytes_steps: list[BytesStep] = [step for step in steps if not isinstance(step, RowStep)]
    return Job(
        store=named_store(pipeline.source.store),
        read=pipeline.source.read_spec(settings),
        bytes_steps=tuple(bytes_steps),
        row_steps=tuple(row_steps),
        context=StepContext(folder=str(Path.cwd()), timeout=settings.step_timeout),
        file_columns=pipeline.source.file_columns,
    )


def named_store(text: str) -> Datastore:
    """Return the datastore that a text names: a folder, ``s3://bucket``, or a known label."""
    from ess_dask.catalog.datastores import is_source, make_datastore
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.registry import find_store

    if is_source(text):
        return make_datastore(text)
    with open_catalog() as catalog:
        return find_store(catalog, text)


def select_window(store: Datastore, category: Category, window: Window) -> tuple[Bounds, Selection]:
    """List the files of a date range; return the range and what was found."""
    from ess_dask.catalog.dates import compile_dates
    from ess_dask.catalog.selection import select_files

    bounds = parse_bounds(window.lower, window.upper, compile_dates(category.dateregex))
    return bounds, select_files(store, category, window.lower, window.upper)


def columns_of(job: Job, target: Target | None = None) -> tuple[Column, ...]:
    """Return the columns that come out of the last step: found by cleaning no rows at all.

    Raises ``DataError`` for one whose type the target's tables cannot hold; without a target
    nested ones are refused.
    """
    from ess_dask.warehouse.connect import open_warehouse
    from ess_dask.warehouse.schema import from_arrow

    types = open_warehouse(target.url).capabilities.types if target else frozenset()
    return tuple(
        Column(field.name, from_arrow(field.name, field.type, nested="nested" in types))
        for field in empty_table(job).schema
    )


def target_of(pipeline: Pipeline, load: Load, settings: Settings) -> Target:
    """Return the destination that a pipeline's ``load`` names."""
    return Target(
        url=load.to or settings.warehouse,
        table=load.table,
        pipeline=pipeline.name,
        mode=load.mode,
        key=load.key,
        on_change=load.on_change,
        layout=TableLayout(load.dist_style, load.dist_key, load.sort_key),
        hooks=Hooks(load.hooks.inside, load.hooks.after),
        direct=load.direct,
    )


def _plan_load(
    spec: RunSpec, columns: Sequence[Column], files: Iterable[FileRef], bounds: Bounds
) -> LoadPlan | None:
    from ess_dask.warehouse.changes import refuse_changed
    from ess_dask.warehouse.connect import open_warehouse
    from ess_dask.warehouse.dates import date_text

    target = spec.target
    if target is None:
        return None
    listed = [LoadFile(file.uri, file.etag, date_text(file.date)) for file in files]
    in_range = bounds if target.mode == "replace" else None
    plan = open_warehouse(target.url).plan(target, columns, listed, in_range, spec.digest)
    refuse_changed(plan)
    return plan


def _plan_memory(
    memory: MemoryTarget | None, files: Sequence[FileRef], kind: str
) -> MemoryPlan | None:
    if memory is None:
        return None
    from ess_dask.pipelines.memory import held_files

    held = {} if memory.renew else held_files(memory.table, kind)
    changed = [file.uri for file in files if held.get(file.uri, file.etag) != file.etag]
    rebuild = memory.renew or bool(changed)
    if changed and not set(held) <= {file.uri for file in files}:
        # Made anew from these files alone, the table would silently lose the others.
        raise ConflictError(
            f"{changed[0]} has changed since it was imported into {memory.table}, and that table "
            "also holds files outside this selection",
            hint="run without a date range, so that the table can be made anew from all files",
        )
    missing = frozenset(file.uri for file in files if rebuild or file.uri not in held)
    return MemoryPlan(memory.table, memory.key, memory.sort, missing, rebuild, frozenset(held))


def _wanted(
    files: Sequence[FileRef], load: LoadPlan | None, memory: MemoryPlan | None
) -> list[FileRef]:
    """Files that some destination does not hold yet; all when there is no destination."""
    if load is None and memory is None:
        return list(files)
    uris = set(memory.uris) if memory else set()
    if load is not None:
        uris |= {file.uri for file in (*load.new, *load.changed)}
    return [file for file in files if file.uri in uris]


def _warnings(spec: RunSpec, selection: Selection) -> list[str]:
    undated = f"{selection.undated:,} matching file(s) hold no possible date in their name"
    if selection.files:
        return [undated] if selection.undated and spec.category.dateregex != "none" else []
    patterns = ", ".join(spec.category.patterns)
    more = f"; {undated}" if selection.undated else ""
    return [f"no file in {spec.job.store.root} matches {patterns} in this range{more}"]
