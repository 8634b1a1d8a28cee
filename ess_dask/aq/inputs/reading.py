"""An input as rows of the program: typed, placed in their slots, bad records dealt with."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import field
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
from ess_dask.aq.program import ErrorPolicy, InputSpec
from ess_dask.aq.surroundings import complain
from ess_dask.dataclass import dataclass

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
        policy, dropped = spec.errors, self._dropped.setdefault(label, _Dropped())
        over = dropped.over(policy, number)
        dropped.add(policy, number)
        if over:
            raise InputDataError(message, hint="the attribute eok goes on without bad records")
        if policy.messages is None or dropped.count <= policy.messages:
            complain(f"aq: {message}\n")

    def first_over(self, spec: InputSpec, label: str, numbers: Iterable[int]) -> int | None:
        """Return which of these bad records would be one too many, None if none of them."""
        if spec.errors.limit is None:
            return None
        known = self._dropped.get(label, _Dropped())
        dropped = _Dropped(known.count, deque(known.last))
        for at, number in enumerate(numbers):
            if dropped.over(spec.errors, number):
                return at
            dropped.add(spec.errors, number)
        return None


@dataclass(slots=True)
class _Dropped:
    """The bad records of one file: how many, and the numbers of as many as the policy looks at."""

    count: int = 0
    last: deque[int] = field(default_factory=deque)

    def over(self, policy: ErrorPolicy, number: int) -> bool:
        """Whether one more is too many."""
        if policy.limit is None:
            return False
        if not policy.rows or not policy.limit:
            return self.count >= policy.limit
        if len(self.last) < policy.limit:
            return False
        return self.last[0] > number - policy.rows

    def add(self, policy: ErrorPolicy, number: int) -> None:
        """Count one."""
        self.count += 1
        if policy.rows and policy.limit:
            self.last.append(number)
            if len(self.last) > policy.limit:
                self.last.popleft()


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
        row, at, column = self._blank.copy(), 0, None
        try:
            for at, slot, convert, column in self._plan:  # noqa: B007 - told below
                row[slot] = convert(fields[at])
        except ValueError as error:
            assert column
            reason = str(error)
            if reason.startswith("invalid literal"):
                reason = "not an integer"
            return Broken(f"column {column.name!r}: {fields[at][:40]!r} is {reason}")
        return row


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
