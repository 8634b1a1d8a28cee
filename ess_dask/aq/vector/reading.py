"""What a block holds: rows in a frame, and the records that give none.

Columns take what is plain. A record that is not, because it is wrong or only written in an unusual
way, is set aside and read by the row interpreter's own reader; a row it gives comes back into the
frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from ess_dask.aq.inputs.reading import Row, Typing, splitter
from ess_dask.aq.inputs.records import Broken, LineSplitter
from ess_dask.aq.kinds import Kind
from ess_dask.aq.program import InputSpec
from ess_dask.aq.vector.batch import ROW
from ess_dask.aq.vector.blocks import Block, column_type
from ess_dask.aq.vector.text_lines import TextLines, with_carriage_returns
from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import polars as pl

    from ess_dask.aq.vector.text_lines import Flags
    from ess_dask.records.bits import Indices

Found = tuple[int, Row | Broken]
"""The number of a record in its block, and its row or what is wrong with it."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that gives no row: its number in the block, from 0, and why."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows of a block in order: columns ``s<slot>``, and in ``ROW`` the number of the record.

    ``bad`` are the other ones of its ``records``. ``unfinished`` is the text of a record that goes
    on in the next block.
    """

    frame: pl.DataFrame
    records: int
    bad: tuple[BadRecord, ...] = ()
    unfinished: bytes = b""

    def through(self, last: BadRecord) -> Reading:
        """Return what stands before a bad record, and that record."""
        import polars as pl

        bad = tuple(record for record in self.bad if record.number <= last.number)
        return Reading(self.frame.filter(pl.col(ROW) < last.number), last.number + 1, bad)


class RecordRun:
    """The records of a block one by one; ``unfinished`` behind them is the text of an open one."""

    def __init__(self, spec: InputSpec, blank: Row, block: Block) -> None:
        self._reader, self._typing = splitter(spec), Typing(spec, blank)
        self._block = block

    def __iter__(self) -> Iterator[Row | Broken]:
        blocks = (self._block.data,)
        if isinstance(self._reader, LineSplitter):
            records = self._reader.records(blocks, final=self._block.final)
        else:
            records = self._reader.records(blocks)
        for record in records:
            yield record if isinstance(record, Broken) else self._typing.row(record)

    @property
    def unfinished(self) -> bytes:
        """The text of the record that goes on in the next block."""
        return open_text(self._reader) if isinstance(self._reader, LineSplitter) else b""


def open_text(reader: LineSplitter) -> bytes:
    """Return the text of the record that a reader left open, to be read again with what follows."""
    text = reader.unfinished.encode("latin-1")
    return with_carriage_returns(text + b"\n") if text else b""


class RowReader:
    """Reads single records as the row interpreter does. Threads may share it."""

    def __init__(self, spec: InputSpec, blank: Row) -> None:
        self._spec = spec
        self._typing = Typing(spec, blank)

    def singles(self, text: bytes) -> list[Row | Broken]:
        """Return what lines give that are one record each, however they are written."""
        records = splitter(self._spec).records((with_carriage_returns(text),))
        return [one if isinstance(one, Broken) else self._typing.row(one) for one in records]

    def walk(self, lines: TextLines, suspects: Indices, *, final: bool) -> Gathering:
        """Read the records that begin on these lines; each may take in lines behind its own.

        All other lines are one record each.
        """
        import numpy as np

        reader, left = LineSplitter(self._spec), np.ones(len(lines), bool)
        continued = np.zeros(len(lines), bool)
        found: list[tuple[int, Row | Broken]] = []
        unfinished, behind = b"", 0
        for line in suspects.tolist():
            if line < behind:
                continue
            record, taken = reader.first(_texts(lines, line), final=final)
            if reader.unfinished:
                unfinished = open_text(reader)
                left[line:], continued[line:] = False, True
                break
            behind = line + taken
            left[line:behind], continued[line + 1 : behind] = False, True
            found.append((line, record if isinstance(record, Broken) else self._typing.row(record)))
        numbers = np.cumsum(~continued) - 1
        places = numbers[[line for line, _ in found]].tolist() if found else []
        return Gathering(
            lines.kept(left),
            numbers[left],
            int(numbers[-1]) + 1,
            self,
            [(number, one) for number, (_, one) in zip(places, found, strict=True)],
            unfinished,
        )


def _texts(lines: TextLines, first: int) -> Iterator[str]:
    for line in range(first, len(lines)):
        yield lines.text(line)[:-1].decode("latin-1")


@dataclass(slots=True)
class Gathering:
    """A block while it is read: lines left for columns, numbers of their records, and the rest."""

    lines: TextLines
    numbers: Indices
    records: int
    reader: RowReader
    found: list[Found] = field(default_factory=list)
    unfinished: bytes = b""

    @classmethod
    def of(cls, lines: TextLines, reader: RowReader) -> Gathering:
        """Begin with a text of which every line is a record."""
        import numpy as np

        return cls(lines, np.arange(len(lines)), len(lines), reader)

    def set_aside(self, flags: Flags) -> None:
        """Leave flagged lines, one record each, to the row reader."""
        if flags.any():
            self.take_out(flags, self.singles(flags))

    def singles(self, flags: Flags) -> list[Row | Broken]:
        """Return what flagged lines give, one record each."""
        return self.reader.singles(self.lines.joined(flags))

    def take_out(self, flags: Flags, found: Sequence[Row | Broken]) -> None:
        """Take out flagged lines, one record each, of which is known what they give."""
        self.note(flags, found)
        self.lines = self.lines.kept(~flags)
        self.forget(flags)

    def note(self, flags: Flags, found: Sequence[Row | Broken]) -> None:
        """Remember what flagged lines give; their text is still among the others."""
        self.found.extend(zip(self.numbers[flags].tolist(), found, strict=True))

    def forget(self, flags: Flags) -> None:
        """Let no row of the frame stand for a flagged line: it is known what it gives."""
        import numpy as np

        self.numbers = np.asarray(self.numbers[~flags])

    def reading(self, frame: pl.DataFrame, columns: Iterable[tuple[int, Kind]]) -> Reading:
        """Return all of the block; ``frame`` has the rows of the lines that are left.

        ``columns`` are slots and kinds of the frame's columns.
        """
        import polars as pl

        frame = pl.DataFrame([*frame.get_columns(), pl.Series(ROW, self.numbers, dtype=pl.Int64)])
        self.found.sort(key=lambda one: one[0])
        bad = tuple(BadRecord(n, row.reason) for n, row in self.found if isinstance(row, Broken))
        rows = [(n, row) for n, row in self.found if not isinstance(row, Broken)]
        if rows:
            added = [
                pl.Series(f"s{slot}", [row[slot] for _, row in rows], dtype=column_type(kind))
                for slot, kind in columns
            ]
            numbers = pl.Series(ROW, [n for n, _ in rows], dtype=pl.Int64)
            frame = pl.concat([frame, pl.DataFrame([*added, numbers])]).sort(ROW)
        return Reading(frame, self.records, bad, self.unfinished)
