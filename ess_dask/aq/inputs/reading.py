"""An input as rows of the program: typed, placed in their slots, bad records dealt with."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from ess_dask.aq.columns import ColumnSpec
from ess_dask.aq.errors import InputDataError
from ess_dask.aq.inputs.binary import BinaryReader
from ess_dask.aq.inputs.opening import label_of, read_blocks, skip_front
from ess_dask.aq.inputs.records import (
    Broken,
    DividedSplitter,
    Fields,
    FixedSplitter,
    LineSplitter,
    Record,
    TableSplitter,
)
from ess_dask.aq.inputs.typing import converter
from ess_dask.aq.kinds import Value
from ess_dask.aq.program import InputSpec

Row = list[Value]


class RecordReader(Protocol):
    """Takes a text format apart."""

    def records(self, blocks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the records of a stream."""


@dataclass(slots=True)
class Counts:
    """Records seen and records dropped as bad, over all inputs."""

    records: int = 0
    errors: int = 0
    _dropped: dict[str, _Dropped] = field(default_factory=dict)

    def drop(self, spec: InputSpec, label: str, number: int, reason: str) -> None:
        """Count a bad record, with a message; raise ``InputDataError`` if it is one too many."""
        self.errors += 1
        message = f"{label}: record {number}: {reason}"
        policy = spec.errors
        dropped = self._dropped.get(label)
        if dropped is None:
            kept = min((policy.limit or 0) + 1, policy.rows or 1)
            dropped = self._dropped[label] = _Dropped(deque(maxlen=kept))
        dropped.add(number)
        if policy.limit is not None and dropped.exceeds(policy.limit, policy.rows):
            raise InputDataError(message, hint="the attribute eok goes on without bad records")
        if policy.messages is None or dropped.count <= policy.messages:
            sys.stderr.write(f"aq: {message}\n")


@dataclass(slots=True)
class _Dropped:
    """Bad records of one input: how many, and the numbers of the last ones.

    A stream may have any amount of them: no more are kept than can exceed the limit.
    """

    last: deque[int]
    count: int = 0

    def add(self, number: int) -> None:
        self.last.append(number)
        self.count += 1

    def exceeds(self, limit: int, rows: int) -> bool:
        """Whether more than ``limit`` were bad, of the last ``rows`` (0: of all)."""
        if not rows:
            return self.count > limit
        return len(self.last) > limit and self.last[0] > self.last[-1] - rows


def splitter(spec: InputSpec) -> RecordReader:
    """Return what takes the records of a text format apart."""
    name = spec.format.name
    if name == "fix":
        return FixedSplitter(spec)
    if name == "div":
        return DividedSplitter(spec)
    if name == "tab":
        return TableSplitter(spec)
    if name == "jsn":
        from ess_dask.aq.inputs.json import JsonReader

        return JsonReader(spec)
    if name == "xml":
        from ess_dask.aq.inputs.xml import XmlReader

        return XmlReader(spec)
    return LineSplitter(spec)


class Typing:
    """Turns the fields of a specification into rows."""

    def __init__(self, spec: InputSpec, blank: Row) -> None:
        self._blank = blank
        self._plan = [
            (at, slot, convert, column)
            for at, (column, slot) in enumerate(zip(spec.columns, spec.slots, strict=True))
            if (convert := converter(column)) is not None
        ]

    def row(self, fields: Fields) -> Row | Broken:
        """Return the row of a record's fields, or what is wrong with one of them."""
        row = self._blank.copy()
        try:
            for at, slot, convert, _ in self._plan:
                row[slot] = convert(fields[at])
        except ValueError:
            return self._complaint(fields)
        return row

    def _complaint(self, fields: Fields) -> Broken:
        for at, _, convert, column in self._plan:
            try:
                convert(fields[at])
            except ValueError as error:
                reason = str(error)
                if reason.startswith("invalid literal"):
                    reason = "not an integer"
                return Broken(f"column {column.name!r}: {fields[at][:40]!r} is {reason}")
        return Broken("not a record of these columns")


class Inputs:
    """All inputs of a program, each opened once; heads read ahead of time are kept."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, ...], BinaryReader] = {}

    def read_header(self, spec: InputSpec) -> tuple[ColumnSpec, ...]:
        """Return the columns that the first file of an ``aq`` input begins with."""
        reader = self._binary(spec, spec.files[0])
        self._waiting[spec.files] = reader
        columns = reader.start()
        if not columns:
            raise InputDataError(
                f"{label_of(spec.files[0])}: the input is empty, it has no columns"
            )
        return columns

    def blocks(self, spec: InputSpec, file: str) -> Iterator[bytes]:
        """Yield the bytes of a file behind what is skipped."""
        unit = spec.skip_unit
        return skip_front(read_blocks(file), spec.skip if unit != "r" else 0, unit)

    def _binary(self, spec: InputSpec, file: str) -> BinaryReader:
        return BinaryReader(self.blocks(spec, file), label_of(file))

    def rows(self, spec: InputSpec, blank: Row, counts: Counts) -> Iterator[Row]:
        """Yield the rows of all files; ``blank`` is a row without values."""
        for file in spec.files:
            found = self._typed(spec, file, blank)
            if spec.skip_unit == "r" and spec.skip:
                found = islice(found, spec.skip, None)
            yield from good_rows(found, spec, counts, FilePlace(label_of(file)))

    def _typed(self, spec: InputSpec, file: str, blank: Row) -> Iterator[Row | Broken]:
        if spec.format.name in ("bin", "aq"):
            yield from self._binary_rows(spec, file, blank)
            return
        yield from typed_rows(spec, self.blocks(spec, file), blank)

    def _binary_rows(self, spec: InputSpec, file: str, blank: Row) -> Iterator[Row | Broken]:
        reader = self._waiting.pop(spec.files, None) if file == spec.files[0] else None
        if reader is None:
            reader = self._binary(spec, file)
            reader.start()
        places = [(at, slot) for at, slot in enumerate(spec.slots) if slot >= 0]
        for values in reader.records([column.kind for column in spec.columns]):
            if isinstance(values, Broken):
                yield values
                continue
            row = blank.copy()
            for at, slot in places:
                row[slot] = values[at]
            yield row


@dataclass(slots=True)
class FilePlace:
    """How far the records of a file have been counted."""

    label: str
    records: int = 0


def good_rows(
    found: Iterable[Row | Broken], spec: InputSpec, counts: Counts, place: FilePlace
) -> Iterator[Row]:
    """Yield the rows, counted; what is broken is dropped or ends the run."""
    for row in found:
        counts.records += 1
        place.records += 1
        if isinstance(row, Broken):
            counts.drop(spec, place.label, place.records, row.reason)
        else:
            yield row


def typed_rows(spec: InputSpec, blocks: Iterable[bytes], blank: Row) -> Iterator[Row | Broken]:
    """Yield the typed rows of the blocks of one file in a text format."""
    typing = Typing(spec, blank)
    records: Iterator[Record] = splitter(spec).records(blocks)
    for record in records:
        yield record if isinstance(record, Broken) else typing.row(record)
