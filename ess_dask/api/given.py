"""What Python hands to a question: frames, and what the API itself makes, by their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ess_dask.query.sql.model import Partitioned

if TYPE_CHECKING:
    from ess_dask.api.results import SelectionPlan
    from ess_dask.api.selection import Selection
    from ess_dask.api.workers import Beside


def source_of(name: str, value: Any, beside: Beside) -> Partitioned:
    """Return a value of Python as a source: a frame (pandas, Polars, Arrow, or what Arrow can
    read, an answer too), a table in memory, a selection or a category.

    Raises ``UsageError`` for anything else.
    """
    from ess_dask.api.lake import LakeCategory
    from ess_dask.api.selection import Selection
    from ess_dask.api.table import Table
    from ess_dask.query.sql.flat import frame_rows
    from ess_dask.query.sql.memory import MemoryRows

    if isinstance(value, LakeCategory):
        return rows_of(value.all().plan(), beside)
    if isinstance(value, Selection):
        return rows_of(value.plan(), beside)
    return MemoryRows(value.memory) if isinstance(value, Table) else frame_rows(name, value)


def is_source(value: Any) -> bool:
    """Whether a question may name a value. Only its type is looked at."""
    from ess_dask.api.lake import LakeCategory
    from ess_dask.api.selection import Selection
    from ess_dask.api.table import Table

    own = isinstance(value, LakeCategory | Selection | Table)
    return own or hasattr(type(value), "__arrow_c_stream__")


class Named(Mapping[str, Any]):
    """Those of many names that a question may use."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        value = self._values[name]
        if not is_source(value):
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (name for name, value in list(self._values.items()) if is_source(value))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def may_be_sent(selection: Selection) -> bool:
    """Whether other processes of this machine may read the files: what a cleaning step starts or
    changes belongs to this one."""
    from ess_dask.api.workers import is_away

    has_steps = selection.bytes_steps or selection.row_steps
    return not has_steps and not is_away(selection.store, selection.settings())


def rows_of(plan: SelectionPlan, beside: Beside) -> Partitioned:
    """Return the files of a selection as a source, read by threads of this process and what stands
    beside it, or by workers of other machines."""
    from functools import partial

    from ess_dask.api.workers import executor_for, is_away
    from ess_dask.engine.collect import empty_table
    from ess_dask.query.sql.files import CategoryRows

    selection = plan.selection
    settings = selection.settings()
    job = selection.worked_job()
    helpers = beside if may_be_sent(selection) else None
    return CategoryRows(
        job=job,
        batches=plan.batches,
        schema=empty_table(job).schema,
        executor=partial(executor_for, selection.store, settings, helpers),
        window=settings.window,
        pruned=plan.matched - len(plan.files),
        near=not is_away(selection.store, settings),
    )
