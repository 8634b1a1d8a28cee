"""As many parts as keep all slices of a cluster busy, by dividing the largest ones.

Each slice takes one file of a COPY at a time. With a count that is no multiple of the slices, some
have nothing to do while the others finish.
"""

from __future__ import annotations

import heapq
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.catalog.datastores import make_datastore
from ess_dask.dataclass import dataclass
from ess_dask.errors import DataError
from ess_dask.records.spec import MIB
from ess_dask.warehouse.model import StagedPart
from ess_dask.warehouse.protocol import Run
from ess_dask.warehouse.redshift.csv_part import read_csv
from ess_dask.warehouse.redshift.measure import RedshiftMeasure
from ess_dask.warehouse.redshift.place import S3Place
from ess_dask.warehouse.redshift.staging import RedshiftShape, RedshiftSink
from ess_dask.warehouse.schema import FILE_COLUMN
from ess_dask.warehouse.staging_part import OpenPart
from ess_dask.warehouse.staging_place import make_folder

if TYPE_CHECKING:
    import pyarrow as pa

LEAST_BYTES = MIB
"""No part is divided into smaller ones: AWS advises 1 MB to 1 GB."""
_BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Division:
    """A part and the count of parts to make of it. Travels to a worker."""

    part: StagedPart
    into: int
    sink: RedshiftSink


def balanced(
    parts: Sequence[StagedPart], slices: int, run: Run, sink: RedshiftSink
) -> tuple[StagedPart, ...]:
    """Return the parts to load, their count a multiple of ``slices`` where that is possible.

    The largest parts are divided until the count is the next multiple, and none into parts of less
    than 1 MB: a small load keeps the parts it has, and a load of many small parts is not
    joined. ``sink`` is the one the parts were written with. Rows, digests and widths together stay
    what they were. A divided part is named no more; its object goes when the load is swept.
    """
    counts = plan_division(parts, slices)
    wanted = [Division(p, into, sink) for p, into in zip(parts, counts, strict=True) if into > 1]
    made = iter(run(divide, wanted) if wanted else ())
    found: list[StagedPart] = []
    for part, into in zip(parts, counts, strict=True):
        found += next(made) if into > 1 else [part]
    return tuple(found)


def plan_division(parts: Sequence[StagedPart], slices: int) -> list[int]:
    """Return into how many parts each one is to be divided; 1 leaves it as it is."""
    counts = [1] * len(parts)
    missing = -len(parts) % max(slices, 1)
    largest = [(-part.bytes, place) for place, part in enumerate(parts)]
    heapq.heapify(largest)
    while missing and largest:
        _, place = heapq.heappop(largest)
        part, into = parts[place], counts[place] + 1
        if part.bytes < into * LEAST_BYTES or part.rows < into:
            continue
        counts[place] = into
        missing -= 1
        heapq.heappush(largest, (-part.bytes // into, place))
    return counts


def divide(division: Division) -> tuple[StagedPart, ...]:
    """Make several parts of one, of about as many rows each, in order. Runs on a worker.

    The same parts every time, so that it may run again. Raises ``DataError`` when the stored part
    does not hold the rows that were told, and what S3 does.
    """
    own = make_folder(division.sink.folder)
    folder = Path(tempfile.mkdtemp(prefix=".divide-", dir=own))
    try:
        return _divide(division, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _divide(division: Division, folder: Path) -> tuple[StagedPart, ...]:
    from ess_dask.catalog.s3_objects import fetch_file

    part, sink = division.part, division.sink
    store = make_datastore(sink.prefix)
    name = part.path.rpartition("/")[2]
    stored = folder / name
    fetch_file(store, part.path, stored)
    pieces = _pieces(_rows(stored, sink), division, folder)
    if sum(piece.rows for piece in pieces) != part.rows:
        raise DataError(f"staged part {part.path} does not hold its {part.rows} rows")
    stem = name.partition(".")[0]
    named = [(piece.temporary, f"{stem}-{place:02d}") for place, piece in enumerate(pieces)]
    published = S3Place(store, sink.format, sink.load_id).publish(named)
    return tuple(
        StagedPart(path, p.rows, size, _ordered(part, p), p.measure.widths(), p.measure.digest())
        for (path, size), p in zip(published, pieces, strict=True)
    )


def _pieces(rows: Iterator[pa.Table], division: Division, folder: Path) -> list[OpenPart]:
    """Deal the rows to as many new parts as are wanted, each finished."""
    total, into = division.part.rows, division.into
    sink = division.sink
    stops = [total * (place + 1) // into for place in range(into)]
    measured = partial(RedshiftMeasure, sink.columns, text=sink.text_digest)
    pieces: list[OpenPart] = []
    done = 0
    for table in rows:
        while table.num_rows:
            if not pieces or done >= stops[len(pieces) - 1] < total:
                pieces += [OpenPart(folder / "piece", table.schema, False, measured, sink.codec)]
                _finish(pieces[-2:-1])
            # Rows that were not told of go to the last part, to be noticed there.
            room = max(stops[len(pieces) - 1] - done, 0) or table.num_rows
            head, table = table.slice(0, room), table.slice(room)
            pieces[-1].add(head, head[FILE_COLUMN].unique().to_pylist())
            done += head.num_rows
    _finish(pieces[-1:])
    return pieces


def _finish(pieces: Sequence[OpenPart]) -> None:
    for piece in pieces:
        piece.finish()


def _rows(stored: Path, sink: RedshiftSink) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if sink.format == "csv":
        yield from read_csv(stored, RedshiftShape(sink).schema, sink.load_id)
        return
    with pq.ParquetFile(stored) as part:
        for batch in part.iter_batches(_BATCH_ROWS):
            yield pa.table(batch).cast(part.schema_arrow)


def _ordered(part: StagedPart, piece: OpenPart) -> tuple[str, ...]:
    return tuple(uri for uri in part.uris if uri in piece.uris)
