"""A selection into the cluster's memory or a warehouse: a run without a pipeline file."""

from __future__ import annotations

import hashlib
import inspect
import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ess_dask.api.choices import check_choice
from ess_dask.api.cluster import Cluster, active_cluster, connect
from ess_dask.api.warn import NoFilesWarning, warn, warn_of_rejects
from ess_dask.errors import ConflictError, UsageError
from ess_dask.pipelines.execution import MemoryTarget, RunSpec, Window
from ess_dask.warehouse.model import LoadResult, OnChange, Target

if TYPE_CHECKING:
    from ess_dask.api.selection import Selection
    from ess_dask.api.table import Table
    from ess_dask.pipelines.plan import RunPlan
    from ess_dask.pipelines.report import RunReport
    from ess_dask.tables.session import Session
    from ess_dask.tables.table import MemoryTable


def import_rows(selection: Selection, memory: MemoryTarget, cluster: Cluster | None) -> Table:
    """Import a selection into a memory table; see ``Selection.into``."""
    from ess_dask.api.table import Table

    _check_memory(selection, memory)
    found = cluster or active_cluster()
    used = found or connect()
    try:
        table = _import(selection, memory, used.session)
    except BaseException:
        if found is None:
            used.close()
        raise
    return Table(table, used, owns=found is None)


def _import(selection: Selection, memory: MemoryTarget, session: Session) -> MemoryTable:
    from ess_dask.api.pipeline import listening
    from ess_dask.pipelines.memory import layout_of
    from ess_dask.pipelines.model import Rejects
    from ess_dask.pipelines.run import execute
    from ess_dask.tables.session import table_name

    plan = _plan(selection, _spec(selection, selection.category.name, Rejects("100%"), memory))
    execution = plan.execution
    assert execution is not None and execution.memory is not None
    if execution.memory.rebuild and not memory.renew:
        raise ConflictError(
            f"{memory.table} holds another version of a file that was selected",
            hint="import without append: the table then holds this selection and nothing else",
        )
    settings = selection.settings()
    with listening(plan) as listener:
        report, table = execute(plan, settings, listener, session)
    warn_of_rejects(report.rows_rejected, report.rejects)
    if table is None:
        layout = layout_of(execution, settings.partitions)
        table = session.store.create(table_name(memory.table), layout)
    return table


def load_rows(selection: Selection, target: Target, rejects: str) -> RunReport:
    """Load a selection into a warehouse; see ``Selection.load``."""
    from ess_dask.api.pipeline import listening, raise_unless_done
    from ess_dask.pipelines import rules
    from ess_dask.pipelines.model import Load, Rejects
    from ess_dask.pipelines.run import run_plan

    rules.pipeline_name(target.pipeline)
    rules.target_table(target.table)
    rules.limit(rejects)
    # A pipeline file's own check: a key for upsert, and only for it.
    Load(target.table, target.url, target.mode, target.key, target.on_change)
    check_choice("on_change", target.on_change, OnChange)
    spec = _spec(selection, target.pipeline, Rejects(rejects), target=target)
    plan = _plan(selection, spec)
    with listening(plan) as listener:
        report = run_plan(plan, selection.settings(), listener)
    return raise_unless_done(report)


def load_memory(memory: MemoryTable, target: Target) -> LoadResult:
    """Load a memory table into a warehouse; see ``Table.load``. The ledger's name is its own."""
    from ess_dask.pipelines import rules
    from ess_dask.pipelines.model import Load
    from ess_dask.pipelines.table_load import ledger_name, load_table
    from ess_dask.settings import load_settings

    rules.target_table(target.table)
    Load(target.table, target.url, target.mode, target.key)
    own = replace(target, pipeline=ledger_name(memory))
    return load_table(memory, own, load_settings(), partial(warn, kind=UserWarning))


def _plan(selection: Selection, spec: RunSpec) -> RunPlan:
    from ess_dask.pipelines.prepare import plan_run

    selection.check_folder()
    plan = plan_run(spec, selection.settings())
    for warning in plan.warnings:
        warn(warning, UserWarning if plan.new or plan.done or plan.changed else NoFilesWarning)
    return plan


def _spec(
    selection: Selection,
    name: str,
    rejects: Any,
    memory: MemoryTarget | None = None,
    target: Target | None = None,
) -> RunSpec:
    return RunSpec(
        name=name,
        digest=_digest(selection, target),
        job=selection.job(),
        category=selection.category,
        window=Window(selection.lower, selection.upper),
        rejects=rejects,
        target=target,
        memory=memory,
        whole=memory is not None,
    )


def _check_memory(selection: Selection, memory: MemoryTarget) -> None:
    """Raise before a cluster is started for nothing."""
    from ess_dask.pipelines import rules

    rules.memory_table(memory.table)
    if not memory.key:
        hint = "name the column by which rows belong together"
        raise UsageError(f"{memory.table} needs a key", hint=hint)
    columns = selection.schema.names
    for name in (*memory.key, *memory.sort):
        if name not in columns:
            raise UsageError(
                f"there is no column {name!r} in {memory.table}",
                hint=f"the columns are {', '.join(columns)}",
            )


def _digest(selection: Selection, target: Target | None) -> str:
    """Return 32 hexadecimal digits: of how files are read and cleaned, and of the table's mode.

    As a pipeline's digest it leaves out where files and warehouse are, and it covers the source
    text of a Python step but not what that calls.
    """
    from ess_dask.records.types import format_type

    read = selection.read
    parts = {
        "columns": [[column.name, format_type(column.type)] for column in read.columns],
        "read": [read.delimiter, read.header, read.blank, read.encoding, read.compression],
        "more": [read.archive, read.extra_columns, selection.file_columns],
        "steps": [_step(step) for step in [*selection.bytes_steps, *selection.row_steps]],
        "target": [target.table, target.mode, target.key] if target else [],
    }
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def _step(step: Any) -> list[str]:
    """Describe a step by all it says of itself, a function by its source text if there is one."""
    from ess_dask.clean.carried import unpack
    from ess_dask.clean.function import PythonStep

    if not isinstance(step, PythonStep):
        return [repr(step)]
    try:
        source = inspect.getsource(unpack(step.payload))
    except (OSError, TypeError):
        source = ""
    return [step.name, step.per, source]
