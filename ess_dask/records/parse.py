"""Well-formed records to typed columns: numbers typed by the parser, the rest from text.

Polars reads numbers directly. Only the records in which a number came out null are read again as
text, to tell a blank from a value that is none.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.records.cast import cast, polars_type, reason
from ess_dask.records.spec import Column, ReadSpec
from ess_dask.records.split import CR, QUOTE
from ess_dask.records.title import Fields
from ess_dask.records.types import FLOATS, INTEGERS

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

_TAKEN_AMISS = (BOM_UTF8, b"x\x01", b"x^")
_NUMBERS = frozenset((*INTEGERS, *FLOATS))


@dataclass(frozen=True, slots=True)
class Failure:
    """A value that is none of its type: the record's index, the column's name and the reason."""

    record: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Whole records one after another: ``starts[i]`` is where record ``i`` begins in ``text``,
    ``starts[-1]`` where the last one ends (line end included); more text may follow."""

    text: bytes
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def pick(self, index: NDArray[np.int64]) -> Rows:
        """Return the records with the ascending indices ``index``."""
        import numpy as np

        if len(index) == len(self):
            return self if len(self.text) == self.starts[-1] else self._whole()
        starts, stops = self.starts[index], self.starts[index + 1]
        # Neighbours are copied in one piece: with few gaps there are few pieces.
        gap = np.flatnonzero(starts[1:] != stops[:-1])
        heads = starts[np.concatenate(([0], gap + 1))] if len(index) else starts
        tails = stops[np.concatenate((gap, [len(index) - 1]))] if len(index) else stops
        view = memoryview(self.text)
        text = b"".join([view[a:b] for a, b in zip(heads.tolist(), tails.tolist(), strict=True)])
        return Rows(text, np.concatenate(([0], np.cumsum(stops - starts))))

    def _whole(self) -> Rows:
        return Rows(self.text[: self.starts[-1]], self.starts)


def join_rows(parts: Sequence[Rows]) -> Rows:
    """Return the records of all parts, one part behind the other."""
    import numpy as np

    if len(parts) == 1:
        return parts[0]
    sizes = [0, *(int(part.starts[-1]) for part in parts)]
    offsets = np.cumsum(sizes)
    starts = [part.starts[:-1] + offset for part, offset in zip(parts, offsets, strict=False)]
    return Rows(
        b"".join([part.text for part in parts]), np.append(np.concatenate(starts), offsets[-1])
    )


def parse_rows(rows: Rows, fields: Fields, spec: ReadSpec) -> tuple[pl.DataFrame, list[Failure]]:
    """Return one row per record with columns ``f<position>``, and the failures in record order.

    At most one failure per record: that of the first failing column in declared order.
    """
    numbers = {
        position: column
        for position, column in zip(fields.positions, fields.columns, strict=True)
        if column.type.name in _NUMBERS
    }
    frame = _read(rows.text, fields, spec, numbers)
    failures: dict[int, tuple[int, Failure]] = {}
    for order, position in enumerate(fields.positions):
        column = fields.columns[order]
        if position in numbers:
            continue
        frame = _cast_column(frame, f"f{position}", column, order, spec, failures)
    frame = _numbers_from_text(frame, rows, fields, spec, failures)
    return frame, [failures[record][1] for record in sorted(failures)]


def _read(text: bytes, fields: Fields, spec: ReadSpec, numbers: dict[int, Column]) -> pl.DataFrame:
    import polars as pl

    if not text:
        schema = {
            f"f{i}": polars_type(numbers[i].type) if i in numbers else pl.String()
            for i in fields.positions
        }
        return pl.DataFrame(schema=schema)
    text = _keep_returns(text, spec.delimiter)
    if text.startswith(_TAKEN_AMISS):
        # Polars takes a byte order mark at the start of any text off, where only the file's own is
        # none of the data, and inflates what begins like something deflated.
        empty_row = spec.delimiter * (fields.width - 1) + chr(text[-1])
        return _read(empty_row.encode() + text, fields, spec, numbers)[1:]
    return pl.read_csv(
        text,
        has_header=False,
        schema={
            f"f{i}": polars_type(numbers[i].type) if i in numbers else pl.String()
            for i in range(fields.width)
        },
        columns=sorted(fields.positions),
        separator=spec.delimiter,
        eol_char=chr(text[-1]),
        quote_char='"' if text.find(QUOTE) >= 0 else None,
        ignore_errors=True,
    )


def _keep_returns(text: bytes, delimiter: str) -> bytes:
    """Quote the fields that end in a carriage return: Polars would take it off."""
    # One byte is looked for many times faster than two.
    if text[-1] == CR or text.find(CR) < 0 or text.find(b"\r" + delimiter.encode()) < 0:
        return text
    between = re.escape(delimiter.encode())
    field = re.compile(rb'"(?:[^"]|"")*"|([^"\n%b]*\r)(?=%b)' % (between, between))
    return field.sub(lambda match: b'"%b"' % match[1] if match[1] else match[0], text)


def _cast_column(
    frame: pl.DataFrame,
    name: str,
    column: Column,
    order: int,
    spec: ReadSpec,
    failures: dict[int, tuple[int, Failure]],
    index: NDArray[np.int64] | None = None,
) -> pl.DataFrame:
    """Cast one column of text in place; ``index`` gives the records of a partial frame."""
    text = frame[name]
    casted = cast(text, column.type, spec.blank)
    if casted.failed.any():
        where = casted.failed.arg_true().to_numpy()
        records = (where if index is None else index[where]).tolist()
        for record, value in zip(records, text.filter(casted.failed).to_list(), strict=True):
            known = failures.get(record)
            if known is None or known[0] > order:
                failure = Failure(record, column.name, reason(value, column.type))
                failures[record] = (order, failure)
    return frame.with_columns(casted.values.alias(name))


def _numbers_from_text(
    frame: pl.DataFrame,
    rows: Rows,
    fields: Fields,
    spec: ReadSpec,
    failures: dict[int, tuple[int, Failure]],
) -> pl.DataFrame:
    """Settle the numbers that came out null: blank, written unusually, or none at all."""
    import polars as pl

    order_of = {position: order for order, position in enumerate(fields.positions)}
    doubtful = [
        position
        for position, column in zip(fields.positions, fields.columns, strict=True)
        if column.type.name in _NUMBERS and frame[f"f{position}"].null_count()
    ]
    if not doubtful:
        return frame
    some = frame.select(pl.any_horizontal(pl.col(f"f{p}").is_null() for p in doubtful))
    index = some.to_series().arg_true().to_numpy().astype("int64")
    columns = tuple(fields.columns[order_of[position]] for position in doubtful)
    part = _read(rows.pick(index).text, Fields(fields.width, columns, tuple(doubtful)), spec, {})
    for position, column in zip(doubtful, columns, strict=True):
        name = f"f{position}"
        part = _cast_column(part, name, column, order_of[position], spec, failures, index)
        frame = frame.with_columns(frame[name].scatter(index, part[name]))
    return frame
