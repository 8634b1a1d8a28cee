"""Clean rows that the destination cannot hold become rejects, each with its file and line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ess_dask.engine.model import Job, Piece
from ess_dask.engine.rows import Cleaned
from ess_dask.records.arrays import from_numpy, select, take

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ess_dask.records.chunk import Chunk


def refuse_unfit(
    cleaned: Cleaned, before: Piece, chunks: Sequence[Sequence[Chunk]], job: Job
) -> tuple[Piece, dict[int, pa.Table]]:
    """Return the piece without the rows that ``job.check`` finds, and these by file as rejects.

    ``before`` is the piece that was cleaned, made of ``chunks`` (one list per file). The raw text
    of a reject is the row as it was read, told again; the line is 0 where a step lost it.
    """
    import numpy as np

    piece = cleaned.piece
    if job.check is None or not piece.table.num_rows:
        return piece, {}
    unfit = job.check.unfit(piece.table)
    if not len(unfit.rows):
        return piece, {}
    origins = unfit.rows if cleaned.origins is None else cleaned.origins[unfit.rows]
    lines = _lines(origins, [chunk for of_file in chunks for chunk in of_file])
    raws = _raws(cleaned, before, unfit.rows, origins, job)
    rows = list(zip(lines, unfit.columns, unfit.reasons, raws, strict=True))
    kept = np.ones(piece.table.num_rows, np.bool_)
    kept[unfit.rows] = False
    left = replace(piece, table=select(piece.table, kept), file_of=piece.file_of[kept])
    return left, _by_file(piece, piece.file_of[unfit.rows], rows, job)


def _by_file(
    piece: Piece,
    owners: NDArray[np.int32],
    rows: Sequence[tuple[int, str, str, bytes]],
    job: Job,
) -> dict[int, pa.Table]:
    import numpy as np

    from ess_dask.records.rejects import build_rejects
    from ess_dask.records.retold import retold_title

    title = retold_title(job.read)
    found = {}
    for owner in np.unique(owners).tolist():
        own = (rows[place] for place in np.flatnonzero(owners == owner).tolist())
        found[owner] = build_rejects(piece.files[owner].uri, own, title=title)
    return found


def _lines(origins: NDArray[np.int64], chunks: Sequence[Chunk]) -> list[int]:
    """Return the line of each row by its place in all chunks together, 0 for places below 0."""
    import numpy as np

    stops = np.cumsum([len(chunk) for chunk in chunks])
    numbers = np.searchsorted(stops, origins, "right")
    lines = np.zeros(len(origins), np.int64)
    for number in np.unique(numbers[origins >= 0]).tolist():
        here = (numbers == number) & (origins >= 0)
        start = int(stops[number]) - len(chunks[number])
        lines[here] = chunks[number].lines[origins[here] - start]
    found: list[int] = lines.tolist()
    return found


def _raws(
    cleaned: Cleaned,
    before: Piece,
    rows: NDArray[np.int64],
    origins: NDArray[np.int64],
    job: Job,
) -> list[bytes]:
    from ess_dask.records.retold import retell, show

    known = origins >= 0
    told = iter(retell(take(before.table, from_numpy(origins[known])), job.read))
    shown = iter(show(take(cleaned.piece.table, from_numpy(rows[~known]))))
    return [next(told) if is_known else next(shown) for is_known in known.tolist()]
