"""Blocks of CSV that hold some bad records: these are taken out, all others are read by columns.

``BlockReader`` gives up a whole block for one bad record, because the messages about bad records
have their order. Where only their number matters a block is sifted: records with too few or too
many fields are cut out, the rest is parsed with what does not parse as null, and every suspicious
record goes through the row reader alone. Its rows are put back in their place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ess_dask.aq.columns import ColumnSpec
from ess_dask.aq.inputs.reading import Row, typed_rows
from ess_dask.aq.inputs.records import Broken
from ess_dask.aq.inputs.typing import BLANKS
from ess_dask.aq.kinds import Kind
from ess_dask.aq.program import InputSpec
from ess_dask.aq.vector.blocks import column_type, finished, read_type

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from ess_dask.records.split import Records

    Indices = NDArray[np.int64]

RECORD = "record"
"""Name of the column with the number of a row's record in its block, from 0."""


@dataclass(frozen=True, slots=True)
class Sifted:
    """The rows of a block, with the columns ``s<slot>`` and ``RECORD``; its records, bad ones too.

    Of columns that nobody needs only those are there that were read to find bad records.
    """

    frame: pl.DataFrame
    records: int

    @property
    def bad(self) -> int:
        """Records that the column specification refuses."""
        return self.records - self.frame.height


class Sieve:
    """Sifts the blocks of a ``csv`` input (one that ``blocks.can_read``).

    ``needed`` are the slots whose values matter; every column with a type is checked all the same.
    """

    def __init__(self, spec: InputSpec, needed: Iterable[int], blank: Row) -> None:
        wanted = set(needed)
        self._spec = spec
        self._blank = blank
        self._width = len(spec.columns)
        # A string cannot be bad: it is only taken along where it matters.
        self._read = [
            (at, column, f"s{slot}")
            for at, (column, slot) in enumerate(zip(spec.columns, spec.slots, strict=True))
            if column.kind and (slot in wanted or column.kind is not Kind.S)
        ]

    def sift(self, data: bytes, *, final: bool) -> Sifted | None:
        """Return the rows of a block; None if only the row reader can tell its records apart.

        Behind a ``final`` block nothing follows.
        """
        import numpy as np

        from ess_dask.records.split import LF, Fault, Layout, split

        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        if not data.endswith(b"\n"):
            data += b"\n"
        if b"\r" in data:
            return None
        layout = Layout(ord(self._spec.format.separator), LF, self._spec.record_bytes)
        found = split(data, layout, final=True)
        if found.open_fault or found.consumed != len(data):
            return None
        if found.faults.any() and not self._are_lines(data, found, final=final):
            return None
        faulty = found.faults != 0
        wrong = np.flatnonzero((found.fields != self._width) | faulty)
        frame = self._parsed(data, found, wrong)
        if frame is None:
            return None
        frame, odd = self._typed(frame)
        # Too few fields are bad for sure, as is a line whose quotes go wrong.
        open_ = ((found.fields > self._width) & ~faulty) | (found.faults == Fault.STRAY_QUOTE)
        return self._completed(frame, np.union1d(np.flatnonzero(open_), odd), data, found)

    def _are_lines(self, data: bytes, found: Records, *, final: bool) -> bool:
        """Whether each malformed record is one bad line, or one with quotes that mean nothing."""
        import numpy as np

        from ess_dask.records.split import Fault

        at = np.flatnonzero(found.faults)
        if (found.faults[at] == Fault.TOO_LONG).any():
            return False
        unclosed = found.starts[at[found.faults[at] == Fault.OPEN_QUOTE]]
        if not final and (unclosed + self._spec.record_bytes >= len(data)).any():
            # What follows this block may close it.
            return False
        opening = (self._spec.format.separator + '"').encode()
        stray = at[found.faults[at] == Fault.STRAY_QUOTE]
        lines = (data[found.starts[i] : found.stops[i]] for i in stray.tolist())
        return not any(line.startswith(b'"') or opening in line for line in lines)

    def _parsed(self, data: bytes, found: Records, wrong: Indices) -> pl.DataFrame | None:
        """Return the columns of the records with the right number of fields, null where bad."""
        import numpy as np
        import polars as pl

        numbers = np.delete(np.arange(len(found.starts), dtype=np.int64), wrong)
        record = pl.Series(RECORD, numbers)
        types = {at: read_type(column) for at, column, _ in self._read}
        if not types or not len(numbers):
            empty = pl.DataFrame(schema={f"c{at}": kind for at, kind in types.items()})
            return empty.with_columns(record) if types else pl.DataFrame([record])
        kept = _without(data, found, wrong)
        text = kept if kept.isascii() else kept.decode("latin-1").encode("utf-8")
        quoted = b'"' in kept
        frame = self._columns(text, types, quoted=quoted)
        if frame is None or frame.height != len(numbers):
            return None
        # What is null was blank or did not parse: the text tells.
        doubtful = [at for at, c, _ in self._read if _is_parsed(c) and frame[f"c{at}"].null_count()]
        if doubtful:
            as_text = self._columns(text, dict.fromkeys(doubtful, pl.String), quoted=quoted)
            if as_text is None or as_text.height != frame.height:
                return None
            frame = frame.hstack([as_text[f"c{at}"].alias(f"t{at}") for at in doubtful])
        return frame.hstack([record])

    def _columns(
        self, text: bytes, types: dict[int, type[pl.DataType]], *, quoted: bool
    ) -> pl.DataFrame | None:
        import polars as pl

        schema = {f"c{at}": types.get(at, pl.String) for at in range(self._width)}
        try:
            return pl.read_csv(
                text,
                has_header=False,
                schema=schema,
                columns=sorted(types),
                quote_char='"' if quoted else None,
                separator=self._spec.format.separator,
                ignore_errors=True,
            )
        except pl.exceptions.PolarsError:
            return None

    def _typed(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, Indices]:
        """Return the rows that are surely good, and the records of the others."""
        import polars as pl

        odd: list[pl.Expr] = [
            doubt
            for at, column, _ in self._read
            if (doubt := _doubt(at, column, frame)) is not None
        ]
        columns = []
        for at, column, name in self._read:
            value = finished(pl.col(f"c{at}"), column, ascii_only=True)
            assert value is not None
            columns.append(value.alias(name))
        if not odd:
            return frame.select(pl.col(RECORD), *columns), frame[RECORD].head(0).to_numpy()
        flags = frame.select(pl.any_horizontal(odd)).to_series()
        good = frame.filter(~flags) if flags.any() else frame
        return good.select(pl.col(RECORD), *columns), frame[RECORD].filter(flags).to_numpy()

    def _completed(
        self, frame: pl.DataFrame, suspects: Indices, data: bytes, found: Records
    ) -> Sifted | None:
        """Add the suspicious records that are good after all, in their place."""
        import polars as pl

        total = len(found.starts)
        if not len(suspects):
            return Sifted(frame, total)
        starts, ends = _extents(data, found, suspects)
        text = b"".join(data[start:end] for start, end in zip(starts, ends, strict=True))
        read = list(typed_rows(self._spec, (text,), self._blank))
        if len(read) != len(suspects):
            return None
        slots = [int(name[1:]) for _, _, name in self._read]
        rows = [
            (number, *(row[slot] for slot in slots))
            for number, row in zip(suspects.tolist(), read, strict=True)
            if not isinstance(row, Broken)
        ]
        if rows:
            more = pl.DataFrame(rows, schema=frame.schema, orient="row")
            frame = pl.concat([frame, more]).sort(RECORD)
        return Sifted(frame, total)


def _without(data: bytes, found: Records, wrong: Indices) -> bytes:
    """Return a text without some of its records."""
    if not len(wrong):
        return data
    view, pieces, at = memoryview(data), [], 0
    for start, end in zip(*_extents(data, found, wrong), strict=True):
        pieces.append(view[at:start])
        at = end
    return b"".join((*pieces, view[at:]))


def _extents(data: bytes, found: Records, records: Indices) -> tuple[list[int], list[int]]:
    """Return where records begin and where the next ones do."""
    import numpy as np

    following = np.append(found.starts, len(data))[records + 1]
    return found.starts[records].tolist(), following.tolist()


def _is_parsed(column: ColumnSpec) -> bool:
    """Whether the reader of columns turns the text of a column into numbers."""
    return column.kind not in (Kind.S, Kind.IP) and "trm" not in column.flags


def _doubt(at: int, column: ColumnSpec, frame: pl.DataFrame) -> pl.Expr | None:
    """Return where a column's text may not be what its type wants; None for nowhere."""
    import polars as pl

    from ess_dask.aq.addresses import CANONICAL_V4

    assert column.kind
    text = pl.col(f"c{at}")
    if _is_parsed(column):
        shown = pl.col(f"t{at}").fill_null("")
        return text.is_null() & (shown != "") if f"t{at}" in frame.columns else None
    if column.kind is Kind.S:
        folded = column.flags & {"lo", "up"}
        return (text.str.len_bytes() != text.str.len_chars()).fill_null(False) if folded else None
    if "trm" in column.flags:
        text = text.str.strip_chars(BLANKS)
    if column.kind is Kind.IP:
        return text.is_not_null() & ~text.str.contains(CANONICAL_V4)
    parsed = text.cast(column_type(column.kind), strict=False)
    return (parsed.is_null() & (text != "")).fill_null(False)
