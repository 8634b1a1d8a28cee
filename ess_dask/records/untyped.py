"""Records told apart but not yet typed, and their typing: that of many small files in one go.

A call of the parser costs about as much as reading a thousand rows. Records are separated file by
file, where quotes, line ends and titles matter; after that a record is a record, and those of
neighbouring files with the same columns are typed together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

from ess_dask.records.arrays import (
    empty_table,
    from_numpy,
    repeated,
    strings,
    take,
)
from ess_dask.records.chunk import Chunk, Origin
from ess_dask.records.parse import Failure, Rows, join_rows, parse_rows
from ess_dask.records.plain import Plain, is_utf8, type_plain
from ess_dask.records.rejects import (
    BLANK_LINE,
    Refused,
    field_count_reason,
    no_raws,
    no_rejects,
    raws_of,
    reject_table,
)
from ess_dask.records.spec import ReadSpec
from ess_dask.records.split import Fault, Records
from ess_dask.records.title import Fields, fields_by_position
from ess_dask.records.types import schema_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray


class Untyped:
    """The records of one buffer: good ones as text, malformed ones as rejects.

    ``len`` is the number of good records, before any value is looked at. Those before index
    ``first`` are left out (the title).
    """

    def __init__(
        self,
        origin: Origin,
        spec: ReadSpec,
        fields: Fields,
        buffer: bytes,
        records: Records,
        first: int,
    ) -> None:
        import numpy as np

        self.origin = origin
        self.spec = spec
        self.fields = fields
        self._buffer = buffer
        self._records = records
        self._rejects: dict[int, tuple[str, str]] = {}
        good = (records.faults == 0) & (records.fields == fields.width)
        good[:first] = False
        self._bad = self._malformed(np.flatnonzero(~good[first:]) + first)
        self._refuse_undecodable(good)
        self.index = np.flatnonzero(good)
        self.rows = Rows(buffer, np.append(records.starts, records.consumed)).pick(self.index)

    def __len__(self) -> int:
        return len(self.index)

    def refuse(self, place: int, failure: Failure) -> None:
        """Reject the good record number ``place``: one of its values is none of its type."""
        self._rejects[int(self.index[place])] = (failure.column, failure.reason)

    def chunk(self, table: pa.Table, kept: NDArray[np.bool_] | None) -> Chunk:
        """Return the chunk with these typed rows; ``kept`` tells them among the good records."""
        index = self.index if kept is None else self.index[kept]
        find_lines = partial(_lines_at, self._records.lines, index, self.origin.line)
        return Chunk(table, self._reject_table(), find_lines)

    def _malformed(self, index: NDArray[np.int64]) -> Refused:
        """Return records that are malformed, have a wrong number of fields or none."""
        import numpy as np

        records = self._records
        faults = records.faults[index].astype(np.int64)
        blank = (records.starts == records.stops)[index]
        counts = np.where(blank, 0, records.fields[index])
        kinds, which = np.unique(np.where(faults, -faults, counts), return_inverse=True)
        reasons = strings([self._reason(kind) for kind in kinds.tolist()])
        columns = repeated("", len(index))
        return Refused(index, columns, take(reasons, from_numpy(which)), self._raws(index))

    def _reason(self, kind: int) -> str:
        """Return what is said about a fault (its negative) or a number of fields (blank: 0)."""
        if kind < 0:
            return fault_reason(Fault(-kind), self.spec)
        return field_count_reason(kind, self.fields.width) if kind else BLANK_LINE

    def _refuse_undecodable(self, good: NDArray[np.bool_]) -> None:
        """Clear ``good`` for records that are not UTF-8."""
        import numpy as np

        buffer, records = self._buffer, self._records
        if is_utf8(buffer, records.consumed):
            return
        data = np.frombuffer(buffer, np.uint8, records.consumed)
        high = np.searchsorted(records.starts, np.flatnonzero(data > 0x7F), "right") - 1
        for record in np.unique(high).tolist():
            if good[record]:
                start = int(records.starts[record])
                try:
                    buffer[start : records.stops[record]].decode()
                except UnicodeDecodeError as error:
                    good[record] = False
                    offset = self.origin.offset + start + error.start
                    self._rejects[record] = ("", f"invalid UTF-8 at byte {offset}")

    def _reject_table(self) -> pa.Table:
        import numpy as np

        order = np.array(sorted(self._rejects), np.int64)
        columns = strings([self._rejects[record][0] for record in order.tolist()])
        reasons = strings([self._rejects[record][1] for record in order.tolist()])
        refused = self._bad.merged(Refused(order, columns, reasons, self._raws(order)))
        lines = self._records.lines[refused.places] + self.origin.line
        return reject_table(self.origin, replace(refused, places=lines))

    def _raws(self, index: NDArray[np.int64]) -> pa.Array:
        import numpy as np

        if not self.spec.keep_rejects:
            return no_raws(len(index))
        data, records = np.frombuffer(self._buffer, np.uint8), self._records
        return raws_of(data, records.starts[index], records.stops[index])


RUN_BYTES = 16 << 20
"""Text that is typed in one go. Texts of this size need not be copied together."""

Part: TypeAlias = Plain | Untyped | Chunk
"""Records of a file on their way to be a chunk: lines, separated records, or typed already."""


def empty_chunk(spec: ReadSpec) -> Chunk:
    """Return a chunk without rows that has the columns of a file."""
    import numpy as np

    table = empty_table(schema_of(fields_by_position(spec).columns))
    return Chunk(table, no_rejects(), partial(np.zeros, 0, np.int64))


def type_chunks(parts: Sequence[Part]) -> list[Chunk]:
    """Return the chunk of each part, in order; what is a chunk already stays as it is."""
    chunks: list[Chunk] = []
    for _, together in groupby(parts, _kind):
        group = list(together)
        plain = [part for part in group if isinstance(part, Plain)]
        untyped = [part for part in group if isinstance(part, Untyped)]
        chunks += [part for part in group if isinstance(part, Chunk)]
        chunks += [chunk for run in _runs(plain) for chunk in type_plain(run)]
        chunks += _typed(untyped) if untyped else []
    return chunks


def _runs(parts: Sequence[Plain]) -> Iterator[list[Plain]]:
    """Yield the parts in runs of about ``RUN_BYTES``; a part is never split."""
    run: list[Plain] = []
    size = 0
    for part in parts:
        if run and size + part.size > RUN_BYTES:
            yield run
            run, size = [], 0
        run.append(part)
        size += part.size
    if run:
        yield run


def _kind(part: Part) -> tuple[type, object, bytes]:
    """What must be the same for parts to be typed together: columns and line end."""
    if isinstance(part, Chunk):
        return Chunk, None, b""
    return type(part), part.fields, part.rows.text[-1:] if isinstance(part, Untyped) else b""


def _typed(parts: Sequence[Untyped]) -> list[Chunk]:
    """Type the records of parts of one kind together."""
    import numpy as np

    spec, fields = parts[0].spec, parts[0].fields
    frame, failures = parse_rows(join_rows([part.rows for part in parts]), fields, spec)
    ends = np.cumsum([len(part) for part in parts])
    kept = _refuse(parts, ends, failures)
    if kept is not None:
        frame = frame.filter(kept)
    table = _table(frame, fields)
    chunks, start, row = [], 0, 0
    for part, stop in zip(parts, ends.tolist(), strict=True):
        own = None if kept is None else kept[start:stop]
        rows = len(part) if own is None else int(np.count_nonzero(own))
        chunks.append(part.chunk(table.slice(row, rows), own))
        start, row = stop, row + rows
    return chunks


def _refuse(
    parts: Sequence[Untyped], ends: NDArray[np.int64], failures: Sequence[Failure]
) -> NDArray[np.bool_] | None:
    """Hand each failure to its part; return which records are left, None for all."""
    import numpy as np

    if not failures:
        return None
    records = np.array([failure.record for failure in failures])
    which = np.searchsorted(ends, records, "right")
    starts = ends - [len(part) for part in parts]
    for failure, part in zip(failures, which.tolist(), strict=True):
        parts[part].refuse(failure.record - int(starts[part]), failure)
    kept = np.ones(int(ends[-1]), bool)
    kept[records] = False
    return kept


def _table(frame: pl.DataFrame, fields: Fields) -> pa.Table:
    import pyarrow as pa

    table = frame.select(f"f{i}" for i in fields.positions).to_arrow()
    schema = schema_of(fields.columns)
    arrays = [column.cast(field.type) for column, field in zip(table.columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _lines_at(lines: NDArray[np.int64], index: NDArray[np.int64], first: int) -> NDArray[np.int64]:
    return lines[index] + first


def fault_reason(fault: Fault, spec: ReadSpec) -> str:
    """Return what is said about a malformed record."""
    return {
        Fault.STRAY_QUOTE: "stray quote in an unquoted field",
        Fault.TEXT_AFTER_QUOTE: "text after a closing quote",
        Fault.OPEN_QUOTE: "quote not closed",
    }.get(fault, f"record longer than {spec.max_record_bytes} bytes")
