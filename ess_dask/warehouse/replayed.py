"""The names of the rejected rows that a replay read again, as a load takes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.warehouse.model import REPLAYED_FIELDS

if TYPE_CHECKING:
    import pyarrow as pa


def write_replayed(path: Path, rejects: pa.Table) -> str:
    """Write the names of rows (``Warehouse.rejects``) for ``LoadRequest.replayed``; return it."""
    import pyarrow.parquet as pq

    pq.write_table(rejects.select(REPLAYED_FIELDS), path, compression="zstd")
    return str(path)
