"""Results to files and the standard output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ess_dask.aq.outputs.formats import row_formatter, title_of
from ess_dask.aq.outputs.targets import Targets
from ess_dask.aq.program import OutputSpec
from ess_dask.aq.vector.writing import frame_bytes
from ess_dask.udb.model import Request
from ess_dask.udb.results import output_frame

if TYPE_CHECKING:
    import polars as pl

SLICE_ROWS = 1 << 18


def write_outputs(frame: pl.DataFrame, request: Request) -> None:
    """Write all outputs of a request; those to one place share it, rows of one by one in turn."""
    targets = Targets()
    for spec in request.outputs:
        target = targets.get(spec.target, append=spec.format.append)
        target.write(title_of(spec.format, spec.columns))
        rows = output_frame(frame, spec.columns, request)
        for start in range(0, rows.height, SLICE_ROWS):
            target.write(frame_bytes(rows.slice(start, SLICE_ROWS), spec))
    targets.close()


def write_values(values: list[int], outputs: Sequence[OutputSpec]) -> None:
    """Write one row of numbers to every output."""
    targets = Targets()
    for spec in outputs:
        target = targets.get(spec.target, append=spec.format.append)
        target.write(title_of(spec.format, spec.columns))
        target.write(row_formatter(spec.format, spec.columns)(list(values)))
    targets.close()
