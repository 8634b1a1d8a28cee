"""Rejected rows while a batch is worked on: few in memory, many in a file that has no name.

A few megabytes of stored text can hold hundreds of millions of bad records.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import pyarrow as pa

HELD_BYTES = 32 << 20
"""Bytes of rejected rows from which on they are set aside: of one file, and of a batch's files."""


@dataclass(slots=True)
class Rejected:
    """The rejected rows of one file, in order. ``held`` is how many bytes of them are in memory."""

    tables: list[pa.Table] = field(default_factory=list)
    held: int = 0
    _aside: int = 0

    def add(self, table: pa.Table) -> None:
        """Take more rows; raises ``OSError`` when the disk has no room for them."""
        if not table.num_rows:
            return
        self.tables.append(table)
        self.held += table.nbytes
        if self.held > HELD_BYTES:
            self.set_aside()

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(table.num_rows for table in self.tables)

    def set_aside(self) -> None:
        """Write what is held in memory into a file; the tables are read out of it as they are
        needed, and it is gone with them. Raises ``OSError``."""
        if self._aside < len(self.tables):
            self.tables[self._aside :] = [_mapped(self.tables[self._aside :])]
        self._aside, self.held = len(self.tables), 0


def _mapped(tables: Sequence[pa.Table]) -> pa.Table:
    import pyarrow as pa

    with tempfile.TemporaryFile(prefix="ess-rejects-") as file:
        # A stream: the files of an archive have titles of their own, which are dictionaries.
        with pa.ipc.new_stream(file, tables[0].schema) as writer:
            for table in tables:
                writer.write_table(table)
        file.flush()
        held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return pa.ipc.open_stream(pa.py_buffer(held)).read_all()
