"""What a run is to do, and the part of its plan that only the run needs. Frozen values."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ess_dask.catalog.bounds import OPEN
from ess_dask.catalog.model import Category
from ess_dask.dataclass import dataclass
from ess_dask.engine.model import Batch, Job
from ess_dask.observe.model import Hook
from ess_dask.records.spec import Column

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.pipelines.model import Rejects
    from ess_dask.warehouse.model import Target


@dataclass(frozen=True, slots=True)
class Window:
    """The date range of a run, both ends inclusive; ``*`` is open."""

    lower: str = OPEN
    upper: str = OPEN


@dataclass(frozen=True, slots=True)
class MemoryTarget:
    """The memory table a run fills. ``renew``: it then holds the selected files and nothing else;
    otherwise those it does not hold yet are added."""

    table: str
    key: tuple[str, ...]
    sort: tuple[str, ...] = ()
    renew: bool = False


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What a run is to do, made from a pipeline or in Python; nothing was looked at yet.

    ``name`` is what runs and loads are recorded under, ``digest`` of what decides the loaded rows.
    ``whole``: one file that fails stops the run, and nothing is published. ``hook`` is told of the
    run's end.
    """

    name: str
    digest: str
    job: Job
    category: Category
    window: Window
    rejects: Rejects
    target: Target | None = None
    memory: MemoryTarget | None = None
    whole: bool = False
    hook: Hook | None = None


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What goes into the memory table: ``uris`` of the files it does not hold yet.

    ``rebuild``: the table is made anew from all selected files, because that is asked for or
    because a file it holds has changed. ``held``: those whose rows it holds now.
    """

    table: str
    key: tuple[str, ...]
    sort: tuple[str, ...]
    uris: frozenset[str]
    rebuild: bool = False
    held: frozenset[str] = frozenset()

    def would_lose(self, read: Collection[str]) -> bool:
        """Whether the table, made anew from the files ``read``, would lack rows that it holds."""
        return self.rebuild and not self.held <= set(read)


@dataclass(frozen=True, slots=True)
class Execution:
    """How the files of a plan are worked on. ``columns`` are those of the last cleaning step;
    ``slots`` is how many batches run at the same time without a cluster."""

    job: Job
    rejects: Rejects
    columns: tuple[Column, ...]
    batches: tuple[Batch, ...]
    slots: int
    memory: MemoryPlan | None = None
    whole: bool = False
    replayed: pa.Table | None = None
    """The rejected rows (``Warehouse.rejects``) that are read again in place of files."""

    @property
    def is_needed(self) -> bool:
        """Whether a run would change anything: a table made anew may be made empty."""
        return bool(self.batches) or (self.memory is not None and self.memory.rebuild)
