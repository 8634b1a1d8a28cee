"""ess_dask: dirty daily files in, a clean, exactly-once loaded warehouse out.

::

    import ess_dask as ess

    lake = ess.select("./lake")
    purchase = lake.category("purchase", "purchase_*.csv.gz", columns={"price": "float64"})
    purchase.between("2014-09-01", "2014-09-30").clean("select * from records").to_pandas()

Everything here is made at its first use: importing the package imports nothing heavy.
"""

from typing import TYPE_CHECKING, Any

from ess_dask._version import __version__

if TYPE_CHECKING:
    from ess_dask.api.cluster import Cluster, connect
    from ess_dask.api.lake import Lake, LakeCategory, select
    from ess_dask.api.pipeline import backfill_pipeline, plan_backfill, plan_pipeline, run_pipeline
    from ess_dask.api.results import Answer, Collected, SelectionPlan
    from ess_dask.api.selection import Selection
    from ess_dask.api.steps import aq, python, shell, sql
    from ess_dask.api.table import Table
    from ess_dask.api.unload import unload
    from ess_dask.api.warn import NoFilesWarning, RejectWarning
    from ess_dask.errors import (
        AccessError,
        CleanError,
        ColumnsError,
        ConfigError,
        ConflictError,
        DataError,
        EssError,
        InterruptedRunError,
        LockedError,
        ReadError,
        RejectLimitError,
        TransientError,
        UsageError,
        WorkerLostError,
    )
    from ess_dask.pipelines.backfill.model import BackfillPlan
    from ess_dask.pipelines.backfill.report import BackfillReport
    from ess_dask.pipelines.plan import RunPlan
    from ess_dask.pipelines.report import RunReport
    from ess_dask.profiling.model import ColumnProfile, Profile
    from ess_dask.warehouse.model import Hooks, TableLayout
    from ess_dask.warehouse.redshift.unload import UnloadedFile

_HOMES = {
    "ess_dask.api.cluster": ("Cluster", "connect"),
    "ess_dask.api.lake": ("Lake", "LakeCategory", "select"),
    "ess_dask.api.pipeline": (
        "backfill_pipeline",
        "plan_backfill",
        "plan_pipeline",
        "run_pipeline",
    ),
    "ess_dask.api.results": ("Answer", "Collected", "SelectionPlan"),
    "ess_dask.api.selection": ("Selection",),
    "ess_dask.api.steps": ("aq", "python", "shell", "sql"),
    "ess_dask.api.table": ("Table",),
    "ess_dask.api.unload": ("unload",),
    "ess_dask.api.warn": ("NoFilesWarning", "RejectWarning"),
    "ess_dask.errors": (
        "AccessError",
        "CleanError",
        "ColumnsError",
        "ConfigError",
        "ConflictError",
        "DataError",
        "EssError",
        "InterruptedRunError",
        "LockedError",
        "ReadError",
        "RejectLimitError",
        "TransientError",
        "UsageError",
        "WorkerLostError",
    ),
    "ess_dask.pipelines.backfill.model": ("BackfillPlan",),
    "ess_dask.pipelines.backfill.report": ("BackfillReport",),
    "ess_dask.pipelines.plan": ("RunPlan",),
    "ess_dask.pipelines.report": ("RunReport",),
    "ess_dask.profiling.model": ("ColumnProfile", "Profile"),
    "ess_dask.warehouse.model": ("Hooks", "TableLayout"),
    "ess_dask.warehouse.redshift.unload": ("UnloadedFile",),
}

__all__ = [
    "AccessError",
    "Answer",
    "BackfillPlan",
    "BackfillReport",
    "CleanError",
    "Cluster",
    "Collected",
    "ColumnProfile",
    "ColumnsError",
    "ConfigError",
    "ConflictError",
    "DataError",
    "EssError",
    "Hooks",
    "InterruptedRunError",
    "Lake",
    "LakeCategory",
    "LockedError",
    "NoFilesWarning",
    "Profile",
    "ReadError",
    "RejectLimitError",
    "RejectWarning",
    "RunPlan",
    "RunReport",
    "Selection",
    "SelectionPlan",
    "Table",
    "TableLayout",
    "TransientError",
    "UnloadedFile",
    "UsageError",
    "WorkerLostError",
    "__version__",
    "aq",
    "backfill_pipeline",
    "connect",
    "plan_backfill",
    "plan_pipeline",
    "python",
    "run_pipeline",
    "select",
    "shell",
    "sql",
    "unload",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(ipython: Any) -> None:
    """Make ``%ess`` and ``%%ess`` known: IPython calls this for ``%load_ext ess_dask``."""
    from ess_dask.notebook.extension import load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Take them away again: IPython calls this for ``%unload_ext ess_dask``."""
    from ess_dask.notebook.extension import unload

    unload(ipython)


def __dir__() -> list[str]:
    return sorted(__all__)
