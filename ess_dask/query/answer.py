"""What the files hold, put together in their order and written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from ess_dask.aq.kinds import Kind
from ess_dask.aq.outputs.formats import title_of
from ess_dask.aq.program import OutputFormat, OutputSpec, numbered
from ess_dask.aq.vector.writing import column_name, frame_bytes
from ess_dask.query.files import Found
from ess_dask.query.plan import Plan
from ess_dask.query.tally import COUNT, Tally

if TYPE_CHECKING:
    from ess_dask.query.order import Sorting

WRITTEN_ROWS = 1 << 16
"""Rows of a group by that are written at a time."""


class Answer(Protocol):
    """Takes what was found in one file after the other, in their order."""

    @property
    def is_full(self) -> bool:
        """Whether what is still to come cannot change the answer."""

    def take(self, found: Found) -> None:
        """Add what a file holds."""

    def finish(self) -> None:
        """Write what is not written yet."""


def answer_of(plan: Plan, target: BinaryIO, spool: Path) -> Answer:
    """Return the answer of a plan; ``spool`` is a folder for what does not fit into memory."""
    if plan.shape == "groups":
        return _Groups(plan, target)
    if plan.shape == "counts":
        return _Counts(plan, target)
    return _Ordered(plan, target, spool) if plan.order else _Rows(plan, target)


class _Rows:
    """Printed rows, passed on; no more than the limit."""

    def __init__(self, plan: Plan, target: BinaryIO) -> None:
        self._target = target
        self._left = plan.limit

    @property
    def is_full(self) -> bool:
        return self._left == 0

    def take(self, found: Found) -> None:
        if self._left is None or found.rows <= self._left:
            found.output.copy_to(self._target)
            self._left = None if self._left is None else self._left - found.rows
            return
        cut = RowCut(self._left)
        for block in found.output.blocks():
            self._target.write(cut.take(block))
        self._left = 0

    def finish(self) -> None:
        pass


class RowCut:
    """Lets the first rows of printed CSV pass, in blocks of any size; a field may hold lines."""

    def __init__(self, rows: int) -> None:
        self._left = rows
        self._quotes = 0

    def take(self, block: bytes) -> bytes:
        """Return what of a block belongs to the rows that are left."""
        import numpy as np

        if not self._left:
            return b""
        data = np.frombuffer(block, np.uint8)
        quotes = np.cumsum(data == ord('"')) + self._quotes
        ends = np.flatnonzero((data == ord("\n")) & (quotes % 2 == 0))
        self._quotes = int(quotes[-1]) % 2 if len(quotes) else self._quotes
        if len(ends) >= self._left:
            block, self._left = block[: int(ends[self._left - 1]) + 1], 0
        else:
            self._left -= len(ends)
        return block


class _Ordered:
    """The rows of order by."""

    is_full = False

    def __init__(self, plan: Plan, target: BinaryIO, spool: Path) -> None:
        self._plan, self._target, self._spool = plan, target, spool
        self._sorting: Sorting | None = None

    def take(self, found: Found) -> None:
        import pyarrow as pa

        from ess_dask.query.order import Sorting

        if not found.rows:
            return
        if self._sorting is None:
            self._sorting = Sorting(self._plan, self._spool)
        with found.output.opened() as stream:
            # One stream for each block of the file, one behind the other.
            while stream.peek(1):
                self._sorting.add(pa.ipc.open_stream(stream).read_all())

    def finish(self) -> None:
        if self._sorting is not None:
            for frame in self._sorting.frames():
                self._target.write(frame_bytes(frame, self._plan.output))
            self._sorting.close()


class _Counts:
    """``"row"`` and one number for each distinct."""

    is_full = False

    def __init__(self, plan: Plan, target: BinaryIO) -> None:
        self._target = target
        self._titles = ("row", *(title for title, _ in plan.distinct))
        self._rows = 0
        self._tallies = _tallies(plan)

    def take(self, found: Found) -> None:
        self._rows += found.rows
        _merge(self._tallies, found)

    def finish(self) -> None:
        counted = (tally.counted() for tally in self._tallies)
        numbers = [self._rows, *(0 if found is None else found.height for found in counted)]
        self._target.write(_title([(title, Kind.L) for title in self._titles]))
        self._target.write((",".join(map(str, numbers)) + "\n").encode())


class _Groups:
    """The different values of the columns, in the order they first came, and their number."""

    is_full = False

    def __init__(self, plan: Plan, target: BinaryIO) -> None:
        self._plan, self._target = plan, target
        self._tallies = _tallies(plan)

    def take(self, found: Found) -> None:
        _merge(self._tallies, found)

    def finish(self) -> None:
        import polars as pl

        columns = [(column.name, column.kind) for column in self._plan.columns]
        columns.append(("Count", Kind.L))
        self._target.write(_title(columns))
        counted = self._tallies[0].counted()
        if counted is None:
            return
        names = [f"s{column.slot}" for column in self._plan.columns] + [COUNT]
        frame = counted.select(pl.col(n).alias(column_name(at)) for at, n in enumerate(names))
        for part in frame.iter_slices(WRITTEN_ROWS):
            self._target.write(frame_bytes(part, _output(columns)))


def _tallies(plan: Plan) -> list[Tally]:
    return [Tally([f"s{column.slot}" for column in columns]) for columns in plan.counted]


def _merge(tallies: list[Tally], found: Found) -> None:
    for tally, counted in zip(tallies, found.tallies, strict=True):
        if counted is not None:
            tally.merge(counted)


def _output(columns: list[tuple[str, Kind]]) -> OutputSpec:
    return OutputSpec("-", OutputFormat(), numbered(columns))


def _title(columns: list[tuple[str, Kind]]) -> bytes:
    spec = _output(columns)
    return title_of(spec.format, spec.columns)
