"""The first clean rows of a pipeline, without loading anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.engine.collect import collect, empty_table, raise_failures
from ess_dask.engine.model import Batch
from ess_dask.pipelines.execution import Window
from ess_dask.pipelines.prepare import make_job, placed_steps, select_window

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.pipelines.model import Pipeline
    from ess_dask.settings import Settings


@dataclass(frozen=True, slots=True)
class Preview:
    """Clean rows, and how many rows were read and rejected in the files they came from."""

    rows: pa.Table
    read: int
    rejected: int


def preview_rows(
    pipeline: Pipeline, folder: Path, settings: Settings, window: Window, limit: int
) -> Preview:
    """Clean files in order until there are ``limit`` rows. Raises when one of these files fails."""
    import pyarrow as pa

    job = make_job(pipeline, folder, settings)
    with placed_steps(pipeline, job):
        nothing = empty_table(job)
    tables: list[pa.Table] = []
    read = rejected = 0
    _, selection = select_window(job.store, pipeline.source.as_category(), window)
    for number, file in enumerate(selection.files):
        table, _, result = collect(Batch(number, (file,)), job)
        raise_failures(result)
        read += result.counts[0].read
        rejected += result.counts[0].rejected
        if table is not None:
            tables.append(table)
        if sum(each.num_rows for each in tables) >= limit:
            break
    rows = pa.concat_tables(tables) if tables else nothing
    return Preview(rows.slice(0, limit), read, rejected)
