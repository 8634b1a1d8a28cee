"""The worker's side of a question: partitions of tables in memory, answered one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ess_dask.clean.arrow import standard_table
from ess_dask.clean.running import running
from ess_dask.dataclass import dataclass
from ess_dask.errors import InterruptedRunError
from ess_dask.query.sql.coded import coded
from ess_dask.query.sql.model import Deal, Work
from ess_dask.query.sql.room import timed_out
from ess_dask.query.sql.run import answer_from, buckets_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Call:
    """What a task is told beside its partitions: the ``work``, whose it is, of each source whether
    its partitions stay in memory, and the names of the sides. Picklable."""

    work: Work
    owner: str
    stay: tuple[bool, ...]
    sides: tuple[str, ...]


def answers(call: Call, parts: list[list[pa.Table]], *sides: pa.Table) -> list[pa.Table]:
    """Return what the work gives for each partition (of all sources, read together), in order.

    Raises what ``answer_from`` raises; ``DataError`` when the work's time is up.
    """
    return list(_answers(call, parts, dict(zip(call.sides, sides, strict=True))))


def dealt_parts(
    deal: Deal, call: Call, parts: list[list[pa.Table]], *sides: pa.Table
) -> list[pa.Table]:
    """Return the rows of each new partition that the work gives for one partition."""
    (rows,) = answers(call, parts, *sides)
    return buckets_of(rows, deal)


def part_of(parts: list[pa.Table], number: int) -> pa.Table:
    """Return one of many tables."""
    return parts[number]


def together(parts: list[pa.Table]) -> pa.Table:
    """Return tables as one."""
    import pyarrow as pa

    return pa.concat_tables(parts)


def _answers(
    call: Call, parts: list[list[pa.Table]], sides: Mapping[str, pa.Table]
) -> Iterator[pa.Table]:
    until = time.monotonic() + call.work.seconds
    ended = threading.Event()
    # Beside what stops the query of one partition: that may come between two of them.
    with running.for_task(call.owner), running.registered(ended.set):
        for tables in parts:
            if ended.is_set():
                raise InterruptedRunError("the query was cancelled")
            yield answer_from(_read(call, tables), _with_time(call.work, until), sides)


def _with_time(work: Work, until: float) -> Work:
    if not work.seconds:
        return work
    left = until - time.monotonic()
    if left <= 0:
        raise timed_out()
    return replace(work, seconds=left)


def _read(call: Call, tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Return the columns that the work reads of each source's partition."""
    read = []
    for place, (table, stays) in enumerate(zip(tables, call.stay, strict=True)):
        columns = call.work.carried(place, table)
        read.append(
            coded(table, columns) if stays else standard_table(table.select(columns), table.schema)
        )
    return read
