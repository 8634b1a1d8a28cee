"""The part of a plan that only the run needs: jobs, batches, destinations. Frozen like the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ess_dask.engine.model import Batch, Job
from ess_dask.records.spec import Column

if TYPE_CHECKING:
    from ess_dask.pipelines.model import Pipeline


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What goes into the memory table: ``uris`` of the files it does not hold yet.

    ``rebuild``: a file it holds has changed, so the table is made anew from all selected files.
    """

    table: str
    key: tuple[str, ...]
    sort: tuple[str, ...]
    uris: frozenset[str]
    rebuild: bool = False


@dataclass(frozen=True, slots=True)
class Execution:
    """How the files of a plan are worked on. ``columns`` are those of the last cleaning step;
    ``slots`` is how many batches run at the same time without a cluster."""

    pipeline: Pipeline
    job: Job
    columns: tuple[Column, ...]
    batches: tuple[Batch, ...]
    slots: int
    memory: MemoryPlan | None = None
