"""What a reader yields: typed rows, the rejected ones, and where each row came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file that can be opened (again): ``open()`` gives the bytes as stored, from the start."""

    uri: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a text comes from: its file, the archive's member, the title record, and the bytes
    before it and the number of its first physical line."""

    uri: str
    member: str
    title: str
    offset: int = 0
    line: int = 1


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of one file, in file order. Stays inside a worker; never travels.

    ``table`` has the declared columns with Arrow types; ``rejects`` has ``REJECT_FIELDS``;
    ``rows_read`` = ``table.num_rows + rejects.num_rows``.
    """

    table: pa.Table
    rejects: pa.Table
    find_lines: Callable[[], np.ndarray]
    """Finds ``lines``: few ask for them."""

    @property
    def lines(self) -> np.ndarray:
        """The 1-based physical line on which each row starts (``int64``)."""
        return self.find_lines()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def rows_read(self) -> int:
        """Records met in this part, kept and rejected."""
        return int(self.table.num_rows + self.rejects.num_rows)


REJECT_FIELDS = ("uri", "member", "line", "column", "reason", "raw", "title")
"""Arrow types: string, string, int64, string, string, binary, dictionary of strings.

``member`` is '' unless the file is an archive, ``column`` is '' for a whole bad row, ``title`` is
the file's title record ('' without one): with it the raw text can be read again.
"""
