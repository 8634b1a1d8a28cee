"""File versions with known rows, staged and loaded as a pipeline does it; for warehouse tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask.catalog.model import FileRef
from ess_dask.dataclass import dataclass
from ess_dask.engine.model import Batch, Piece, Sink
from ess_dask.records.rejects import build_rejects, write_rejects
from ess_dask.records.spec import Column
from ess_dask.records.types import arrow_type, parse_type
from ess_dask.warehouse.changes import loaded_again
from ess_dask.warehouse.model import LoadFile, LoadPlan, LoadRequest, LoadResult, StagedPart, Target
from ess_dask.warehouse.protocol import Warehouse

if TYPE_CHECKING:
    from ess_dask.catalog.bounds import Bounds

Reject = tuple[int, str, str, bytes]
"""Line, column, reason, raw."""


def columns(**types: str) -> tuple[Column, ...]:
    """Return columns by name and type text."""
    return tuple(Column(name, parse_type(text)) for name, text in types.items())


SALES = columns(id="int32", name="string", price="float64")
"""Columns of the rows that ``sales`` makes."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a file and what cleaning makes of it: rows and rejected rows."""

    uri: str
    rows: tuple[tuple[Any, ...], ...] = ()
    etag: str = "v1"
    date: str = ""
    part: str = ""
    rejected: tuple[Reject, ...] = ()

    @property
    def file(self) -> LoadFile:
        """The version as the ledger counts it."""
        kept, rejected = len(self.rows), len(self.rejected)
        read = kept + rejected
        return LoadFile(self.uri, self.etag, self.date, self.part, read, kept, rejected)


def sales(uri: str, *ids: int, price: float = 1.5, **fields: Any) -> Version:
    """Return a version with one row per id, in the columns ``SALES``."""
    return Version(uri, tuple((number, f"name {number}", price) for number in ids), **fields)


def stage(
    sink: Sink, columns_: Sequence[Column], versions: Sequence[Version], *, per_part: int = 2
) -> tuple[StagedPart, ...]:
    """Stage the rows, ``per_part`` files in one part, with a warehouse's sink."""
    parts: list[StagedPart] = []
    for number, start in enumerate(range(0, len(versions), per_part)):
        some = versions[start : start + per_part]
        files = tuple(FileRef(version.uri, None, 0, version.etag) for version in some)
        writer = sink.open(Batch(number, files))
        writer.write(_piece(columns_, some, files))
        parts += writer.close()
    return tuple(parts)


def _piece(
    columns_: Sequence[Column], versions: Sequence[Version], files: tuple[FileRef, ...]
) -> Piece:
    import numpy as np
    import pyarrow as pa

    rows = [row for version in versions for row in version.rows]
    arrays = [
        pa.array([row[place] for row in rows], arrow_type(column.type))
        for place, column in enumerate(columns_)
    ]
    file_of = np.repeat(np.arange(len(files)), [len(version.rows) for version in versions])
    table = pa.table(arrays, names=[column.name for column in columns_])
    return Piece(table, files, file_of.astype(np.int32))


@dataclass(slots=True)
class Loader:
    """Plans, stages and loads file versions into one warehouse; each load gets its own id."""

    warehouse: Warehouse
    folder: Path
    columns: tuple[Column, ...] = SALES
    digest: str = "plan-1"
    count: int = 0
    again: frozenset[str] = frozenset()
    """uris that are loaded anew although they are loaded."""

    def plan(
        self, target: Target, versions: Sequence[Version], replace_range: Bounds | None = None
    ) -> LoadPlan:
        """Plan these versions."""
        files = [version.file for version in versions]
        plan = self.warehouse.plan(target, self.columns, files, replace_range, self.digest)
        return loaded_again(plan, self.again) if self.again else plan

    def request(
        self, target: Target, *versions: Version, replace_range: Bounds | None = None
    ) -> LoadRequest:
        """Plan these versions and stage those that the plan would load."""
        plan = self.plan(target, versions, replace_range)
        self.count += 1
        load_id = f"load-{self.count:04d}-{target.pipeline}"
        wanted = {file.uri for file in (*plan.new, *plan.changed)}
        some = [version for version in versions if version.uri in wanted]
        folder = self.folder / load_id
        parts = stage(self.warehouse.sink(str(folder), load_id, plan), self.columns, some)
        files, fitted = tuple(version.file for version in some), self.warehouse.fit(plan, parts)
        return LoadRequest(load_id, fitted, self.digest, files, parts, self._rejects(folder, some))

    def load(
        self, target: Target, *versions: Version, replace_range: Bounds | None = None
    ) -> LoadResult:
        """Plan, stage and load these versions."""
        request = self.request(target, *versions, replace_range=replace_range)
        return self.warehouse.load(request)

    def _rejects(self, folder: Path, versions: Sequence[Version]) -> tuple[str, ...]:
        tables = [build_rejects(v.uri, v.rejected) for v in versions if v.rejected]
        if not tables:
            return ()
        path = folder / "rejects.parquet"
        folder.mkdir(parents=True, exist_ok=True)
        write_rejects(path, tables)
        return (str(path),)


def every_type() -> dict[Column, tuple[Any, ...]]:
    """Return a column of each type that tables hold, with its extreme values and nulls."""
    found: dict[str, tuple[Any, ...]] = {}
    for bits in (8, 16, 32, 64):
        found[f"int{bits}"] = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 0)
        found[f"uint{bits}"] = (0, 2**bits - 1, 1)
    found["float32"] = (math.nan, math.inf, 1.5)
    found["float64"] = (math.nan, -math.inf, 1.7976931348623157e308)
    most = Decimal("9" * 28 + "." + "9" * 10)
    found["decimal(38,10)"] = (most.copy_negate(), most, Decimal("1E-10"))
    found["decimal(38,0)"] = (Decimal("9" * 38), Decimal("9" * 38), Decimal("-" + "9" * 38))
    found["decimal(5,2)"] = (Decimal("-999.99"), Decimal("999.99"), Decimal("0.01"))
    found["boolean"] = (True, False, True)
    found["string"] = ("", "a'b\"c\\ \n\t", "żółć 🦆")
    found["binary"] = (b"", b"\x00\xff'", bytes(range(256)))
    found["date"] = (date(1, 1, 1), date(9999, 12, 31), date(2016, 2, 29))
    utc = datetime(2014, 9, 1, 12, 30, tzinfo=UTC)
    naive = utc.replace(tzinfo=None)
    last = naive.replace(year=9999, microsecond=999999)
    found["timestamp"] = (naive.replace(year=1), last, naive.replace(year=1969, microsecond=1))
    found["timestamp[%Y-%m-%d %H:%M:%S, Europe/Berlin]"] = (utc, utc, utc)
    return {
        Column(f"c{place:02d}", parse_type(text)): (*values, None)
        for place, (text, values) in enumerate(found.items())
    }
