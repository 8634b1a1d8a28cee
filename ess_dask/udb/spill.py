"""What an import keeps aside on the disk, in case that it has to be done another way."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from ess_dask.folders import cache_dir
from ess_dask.tables.segment import disk_errors

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.tables.fold import Block


class Spill:
    """Rows in their order, in a file without a name. ``close`` it."""

    def __init__(self) -> None:
        self._folder = cache_dir()
        self._file: BinaryIO | None = None
        self._count = 0

    def add(self, rows: pa.Table | Block) -> None:
        """Keep rows."""
        with disk_errors(f"{self._folder}/(temporary)"):
            if self._file is None:
                file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - see ``close``
                self._file = cast("BinaryIO", file)
            pickle.dump(rows, self._file, pickle.HIGHEST_PROTOCOL)
        self._count += 1

    def read(self) -> Iterator[pa.Table | Block]:
        """Yield what was kept, from the beginning."""
        if self._file is not None:
            self._file.seek(0)
            for _ in range(self._count):
                yield pickle.load(self._file)  # noqa: S301 - nobody else can write into it

    def close(self) -> None:
        """Let it all go."""
        if self._file is not None:
            self._file.close()
            self._file = None
