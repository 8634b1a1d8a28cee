"""What a worker finds out about the rows of a part: lengths of texts, and the digest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ess_dask.records.spec import Column
from ess_dask.warehouse.digest import Digest
from ess_dask.warehouse.redshift.digest import combine, table_digest
from ess_dask.warehouse.redshift.types import stored

if TYPE_CHECKING:
    import pyarrow as pa


class RedshiftMeasure:
    """Measures the rows of one part (``staging_part.Measure``); ``text`` as of ``table_digest``."""

    def __init__(self, columns: Sequence[Column], *, text: bool) -> None:
        self._columns = columns
        self._text = text
        self._digests: list[Digest] = []
        self._widths = {
            column.name: 0 for column in columns if stored(column.type).name in {"string", "binary"}
        }

    def add(self, table: pa.Table) -> None:
        """Take rows in the types they are stored in."""
        import pyarrow.compute as pc

        self._digests = [
            combine([*self._digests, table_digest(table, self._columns, text=self._text)])
        ]
        for name, known in self._widths.items():
            longest = pc.max(pc.binary_length(table[name])).as_py() or 0
            self._widths[name] = max(known, longest)

    def widths(self) -> tuple[tuple[str, int], ...]:
        """Return the greatest length of each text and binary column, in bytes."""
        return tuple(self._widths.items())

    def digest(self) -> Digest:
        """Return the digest of all rows."""
        return combine(self._digests)
