"""What a query finds in each file: worked out by a thread, merged in the order of the files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.aq.vector.writing import column_name, frame_bytes
from ess_dask.catalog.model import FileRef
from ess_dask.dataclass import dataclass
from ess_dask.engine.model import Batch
from ess_dask.engine.stream import Output, Spool
from ess_dask.errors import EssError, InterruptedRunError, TransientError
from ess_dask.query.plan import Plan
from ess_dask.query.reading import FileRows
from ess_dask.query.tally import Tally
from ess_dask.query.texts import Texts

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Task:
    """What a thread needs to answer a query for a file. ``spool`` is a folder for what is long."""

    plan: Plan
    texts: Texts
    spool: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a file holds: kept ``rows``, and ``records``, ``bad`` and ``failed`` (``FileRows``).

    ``output`` has the printed rows of a select (with order by: its rows as an Arrow stream),
    ``tallies`` the counted values, one for each count. ``output.error`` says why a file failed;
    then nothing of it counts.
    """

    output: Output
    rows: int = 0
    records: int = 0
    bad: int = 0
    failed: int = 0
    tallies: tuple[pl.DataFrame | None, ...] = ()

    @classmethod
    def failure(cls, file: FileRef, error: EssError) -> Found:
        """Return that a file failed, and why."""
        hint = f" ({error.hint})" if error.hint else ""
        told = error.message.removeprefix(f"{file.uri}: ") + hint
        return cls(Output(file.uri, "", error=told, transient=isinstance(error, TransientError)))


def answer_batch(
    batch: Batch, task: Task, draining: Callable[[], bool], halted: Callable[[], bool]
) -> list[Found]:
    """Return what the files of a batch hold, in order.

    Once ``draining`` says so no further file is begun, once ``halted`` does no further block.
    """
    found = []
    for number, file in enumerate(batch.files):
        if draining() or halted():
            break
        found.append(_answer_file(f"{batch.number}-{number}", file, task, halted))
    return found


def _answer_file(tag: str, file: FileRef, task: Task, halted: Callable[[], bool]) -> Found:
    reader = FileRows(task.plan.program, task.plan.needed)
    collector = _collector(task, tag)
    try:
        for frame in _frames(file, task, reader):
            collector.add(frame)
            if halted() or collector.is_full:
                break
        return collector.found(file, reader)
    except EssError as error:
        collector.discard()
        if isinstance(error, InterruptedRunError):
            raise
        return Found.failure(file, error)
    except BaseException:
        collector.discard()
        raise


def _frames(file: FileRef, task: Task, reader: FileRows) -> Iterator[pl.DataFrame]:
    for text in task.texts.of(file):
        yield from reader.frames(text)


class _Collector:
    """Keeps what a query wants of a file's rows."""

    is_full = False

    def __init__(self, task: Task) -> None:
        self._plan = task.plan
        self._rows = 0

    def add(self, frame: pl.DataFrame) -> None:
        self._rows += frame.height

    def found(self, file: FileRef, reader: FileRows) -> Found:
        output, tallies = self._result(file)
        return Found(output, self._rows, reader.records, reader.bad, reader.failed, tallies)

    def _result(self, file: FileRef) -> tuple[Output, tuple[pl.DataFrame | None, ...]]:
        return Output(file.uri, ""), ()

    def discard(self) -> None:
        """Remove what was kept."""


class _Spooled(_Collector):
    """Rows of a select as bytes, on disk when they are many."""

    def __init__(self, task: Task, tag: str) -> None:
        super().__init__(task)
        self._spool = Spool(Path(task.spool), tag)

    def _result(self, file: FileRef) -> tuple[Output, tuple[pl.DataFrame | None, ...]]:
        return Output(file.uri, "", *self._spool.finish()), ()

    def discard(self) -> None:
        self._spool.discard()


class _Rows(_Spooled):
    """The printed rows of a select."""

    def __init__(self, task: Task, tag: str) -> None:
        super().__init__(task, tag)
        self._output = task.plan.output

    def add(self, frame: pl.DataFrame) -> None:
        if self._plan.limit is not None:
            frame = frame.head(self._plan.limit - self._rows)
        super().add(frame)
        self.is_full = self._rows == self._plan.limit
        printed = frame.select(
            frame[f"s{column.slot}"].alias(column_name(at))
            for at, column in enumerate(self._plan.columns)
        )
        self._spool.write(frame_bytes(printed, self._output))


class _Sorted(_Spooled):
    """The rows of a select with order by, as Arrow streams; with a small limit the first."""

    def __init__(self, task: Task, tag: str) -> None:
        from ess_dask.query.order import BEST_ROWS, Best

        super().__init__(task, tag)
        few = task.plan.limit is not None and task.plan.limit <= BEST_ROWS
        self._best = Best(task.plan) if few else None

    def add(self, frame: pl.DataFrame) -> None:
        from ess_dask.query.order import sortable

        super().add(frame)
        rows = sortable(frame, self._plan)
        if self._best is None:
            self._spool.write(_stream(rows))
        else:
            self._best.add(rows)

    def _result(self, file: FileRef) -> tuple[Output, tuple[pl.DataFrame | None, ...]]:
        if self._best is not None and self._rows:
            self._spool.write(_stream(self._best.rows()))
        return super()._result(file)


def _stream(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_ipc_stream(out)
    return out.getvalue()


class _Counted(_Collector):
    """How many rows there are, and of which values."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._tallies = [
            Tally([f"s{column.slot}" for column in columns]) for columns in task.plan.counted
        ]

    def add(self, frame: pl.DataFrame) -> None:
        super().add(frame)
        for tally in self._tallies:
            tally.add(frame)

    def _result(self, file: FileRef) -> tuple[Output, tuple[pl.DataFrame | None, ...]]:
        return Output(file.uri, ""), tuple(tally.counted() for tally in self._tallies)


def _collector(task: Task, tag: str) -> _Collector:
    if task.plan.shape != "rows":
        return _Counted(task)
    return _Sorted(task, tag) if task.plan.order else _Rows(task, tag)
