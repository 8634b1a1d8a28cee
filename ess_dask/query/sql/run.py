"""A plan, carried out: stage by stage, each partition's part where it lies, the merges here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING

from ess_dask.clean.arrow import standard_table
from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError
from ess_dask.query.sql.lookup import partition_of
from ess_dask.query.sql.model import (
    PARTIALS,
    ROW,
    Deal,
    Partitioned,
    SentLostError,
    SqlPlan,
    Stage,
    Work,
)
from ess_dask.query.sql.room import Limits, answer, timed_out, told_plainly

if TYPE_CHECKING:
    import pyarrow as pa


AGAIN = 2
"""How often a question is asked again when workers die with what it had sent to them."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a stage did: partitions that answered, rows and bytes that came here, rows it made."""

    stage: Stage
    partitions: int
    moved_rows: int
    moved_bytes: int
    rows: int
    seconds: float


@dataclass(slots=True)
class Run:
    """One run of a plan. ``done`` grows stage by stage; ``watch`` is called for each part that came
    from a source."""

    plan: SqlPlan
    sources: Mapping[str, Partitioned]
    limits: Limits = field(default_factory=Limits)
    done: list[Done] = field(default_factory=list)
    watch: Callable[[], object] = lambda: None
    _tables: dict[str, pa.Table] = field(default_factory=dict)
    _dealt: dict[str, Partitioned] = field(default_factory=dict)
    _until: float = 0.0

    def rows(self) -> pa.Table:
        """Return the answer.

        Raises ``UsageError`` when more memory is needed than is allowed, ``DataError`` for a value
        that cannot be worked on and when the time is up, and what the sources raise.
        """
        self._until = time.monotonic() + self.limits.seconds if self.limits.seconds else 0.0
        for _ in range(AGAIN):
            # Nothing of the answer is out yet.
            with suppress(SentLostError):
                return self._rows()
            self.done.clear()
        return self._rows()

    def _rows(self) -> pa.Table:
        self._tables.clear()
        self._dealt.clear()
        for stage in self.plan.stages:
            if stage.deal:
                self._deal(stage, stage.deal)
            else:
                self._tables[stage.name] = self._run(stage)
        self._dealt.clear()
        last = self._tables[self.plan.stages[-1].name]
        self._tables.clear()
        return standard_table(last.rename_columns(list(self.plan.columns)), self._given())

    def _given(self) -> pa.Schema:
        """Columns of the sources, for the time zones that answers take over."""
        import pyarrow as pa

        fields = {each.name: each for source in self.sources.values() for each in source.schema}
        return pa.schema(list(fields.values()))

    def _run(self, stage: Stage) -> pa.Table:
        started = time.monotonic()
        partitions, moved = 0, None
        tables = {name: self._tables[name] for name in stage.uses}
        if stage.sources:
            partitions, moved = self._partials(stage)
            tables[PARTIALS] = _numbered(moved) if stage.merge else moved
        made = moved
        if stage.merge:
            with told_plainly():
                made = answer(stage.merge, tables, self._left())
        assert made is not None
        rows, size = (moved.num_rows, moved.nbytes) if moved is not None else (0, 0)
        seconds = time.monotonic() - started
        self.done.append(Done(stage, partitions, rows, size, made.num_rows, seconds))
        return made

    def _deal(self, stage: Stage, deal: Deal) -> None:
        started = time.monotonic()
        first, *beside = self._sources(stage)
        sides = self._sides(stage)
        self._dealt[stage.name] = first.dealt(self._work(stage), beside, sides, deal)
        self.done.append(Done(stage, deal.partitions, 0, 0, 0, time.monotonic() - started))

    def _sources(self, stage: Stage) -> list[Partitioned]:
        return [self._dealt.get(name) or self.sources[name] for name in stage.sources]

    def _sides(self, stage: Stage) -> dict[str, pa.Table]:
        sides = {name: self._tables[name] for name in stage.sides}
        self._check_sides(stage, sides)
        return sides

    def _work(self, stage: Stage) -> Work:
        left = self._left()
        return Work(stage.map, stage.sources, stage.columns, left, stage.limit, stage.at)

    def _partials(self, stage: Stage) -> tuple[int, pa.Table]:
        import pyarrow as pa

        first, *beside = self._sources(stage)
        sides = self._sides(stage)
        parts: list[pa.Table] = []
        rows = size = 0
        answers = iter(first.map(self._work(stage), beside, sides))
        try:
            for part in answers:
                parts.append(part)
                self.watch()
                rows, size = rows + part.num_rows, size + part.nbytes
                self._check_size(stage, size)
                if stage.limit is not None and rows >= stage.limit:
                    break
        finally:
            close = getattr(answers, "close", None)
            if close is not None:
                close()
        return len(parts), pa.concat_tables(parts)

    def _left(self) -> float:
        if not self._until:
            return 0.0
        left = self._until - time.monotonic()
        if left <= 0:
            raise timed_out()
        return left

    def _check_sides(self, stage: Stage, sides: Mapping[str, pa.Table]) -> None:
        size = sum(table.nbytes for table in sides.values())
        allowed = self.limits.memory
        if allowed and size > allowed:
            raise UsageError(
                f"the query sends {size:,} bytes to every worker ({stage.note}), more than the "
                f"{allowed:,} allowed",
                hint="filter more before joining, or set memory_limit",
            )

    def _check_size(self, stage: Stage, size: int) -> None:
        held = size + sum(table.nbytes for table in self._tables.values())
        allowed = self.limits.memory
        if allowed and held > allowed:
            read = " and ".join(
                f"the columns {', '.join(columns)} of {self.plan.sources[name]}"
                for name, columns in zip(stage.sources, stage.columns, strict=True)
            )
            raise UsageError(
                f"{read} take more than the {allowed:,} bytes allowed here ({stage.note})",
                hint="name fewer columns, filter or group more, or set memory_limit",
            )


def _numbered(table: pa.Table) -> pa.Table:
    import numpy as np

    from ess_dask.records.arrays import from_numpy

    return table.append_column(ROW, from_numpy(np.arange(table.num_rows, dtype=np.int64)))


def work_on(tables: tuple[pa.Table, ...], work: Work, sides: Mapping[str, pa.Table]) -> pa.Table:
    """Return what ``work`` gives for one partition (of each of its sources); runs on a worker.

    The rows have types that cross between workers: no dictionaries, no views.
    """
    read = [
        standard_table(table.select(work.carried(place, table)), table.schema)
        for place, table in enumerate(tables)
    ]
    return answer_from(read, work, sides)


def answer_from(tables: Sequence[pa.Table], work: Work, sides: Mapping[str, pa.Table]) -> pa.Table:
    """Return what ``work`` gives for tables that have just the columns it reads."""
    import pyarrow as pa

    seen = dict(sides) | dict(zip(work.names, tables, strict=True))
    with told_plainly():
        made = answer(work.query, seen, work.seconds)
    return standard_table(made, pa.schema([]))


class DealtHere:
    """The part of ``Partitioned`` that deals rows anew, for those that come to this process."""

    __slots__ = ()

    def release(self) -> None:
        """Nothing is held."""

    def dealt(
        self: Partitioned,
        work: Work,
        beside: Sequence[Partitioned],
        sides: Mapping[str, pa.Table],
        deal: Deal,
    ) -> InProcess:
        """Return what ``work`` gives, dealt anew; rows keep their order within a partition."""
        import pyarrow as pa

        rows = [buckets_of(part, deal) for part in self.map(work, beside, sides)]
        tables = tuple(pa.concat_tables(each) for each in zip(*rows, strict=True))
        return InProcess(tables, deal.key, deal.placement)


@dataclass(frozen=True, slots=True)
class InProcess(DealtHere):
    """Implements ``Partitioned``: tables of this process, one after the other."""

    tables: tuple[pa.Table, ...]
    key: tuple[str, ...] = ()
    placement: str = ""

    @property
    def schema(self) -> pa.Schema:
        """The columns that a statement may name."""
        return self.tables[0].schema

    @property
    def size(self) -> int:
        """Bytes of all tables."""
        return sum(table.nbytes for table in self.tables)

    def map(
        self, work: Work, beside: Sequence[Partitioned], sides: Mapping[str, pa.Table]
    ) -> Iterator[pa.Table]:
        """Yield what ``work`` gives for each table."""
        others = [other.tables for other in beside if isinstance(other, InProcess)]
        tables = self.tables
        if work.at is not None and self.placement:
            number = partition_of(work.at, self.schema, self.key, len(tables))
            tables = tables[number : number + 1]
        for parts in zip(tables, *others, strict=True):
            yield work_on(parts, work, sides)


def buckets_of(table: pa.Table, deal: Deal) -> list[pa.Table]:
    """Return the rows of each new partition, empty ones too."""
    from ess_dask.tables.partition import split

    found = dict(split(table, deal.key, deal.partitions))
    return [found.get(number, table.slice(0, 0)) for number in range(deal.partitions)]
