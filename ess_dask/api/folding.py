"""What is made of each batch's rows, beside the rows: on this machine or on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ess_dask.catalog.model import FileRef
from ess_dask.dataclass import dataclass
from ess_dask.engine.model import Batch, Job

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Packed:
    """A user's function as bytes: workers need not have the script it stands in."""

    payload: bytes

    def __call__(self, argument: Any) -> Any:
        """Call the function."""
        from ess_dask.clean.carried import unpack

        return unpack(self.payload)(argument)


def packed(function: Callable[[Any], Any], *, away: bool) -> Callable[[Any], Any]:
    """Return a function as it can travel if it is to be called ``away`` from here.

    Raises ``ConfigError`` for one that holds what cannot travel.
    """
    if not away:
        return function
    from ess_dask.clean.carried import pack_callable

    return Packed(pack_callable(function))


def fold_batch(batch: Batch, job: Job, each: Callable[[Any], Any]) -> Any:
    """Return ``each(clean rows of the batch)``; raises when one of its files failed."""
    from ess_dask.engine.collect import collect_table

    return each(collect_table(batch, job))


def num_rows(table: pa.Table) -> int:
    """Return the number of rows."""
    return int(table.num_rows)


def added(counts: Sequence[int]) -> int:
    """Return the sum of counts."""
    return sum(counts)


def rejected_rows(batch: Batch, job: Job) -> pa.Table:
    """Return the rejected rows of a batch; raises when one of its files failed."""
    from ess_dask.engine.collect import collect, raise_failures
    from ess_dask.records.rejects import no_rejects

    _, rows, result = collect(batch, job)
    raise_failures(result)
    return no_rejects() if rows is None else rows


def first_rows(files: Iterable[FileRef], job: Job, rows: int) -> pa.Table:
    """Return the first clean rows; reads no more files than they need."""
    import pyarrow as pa

    from ess_dask.engine.collect import collect_table, empty_table

    tables, missing = [], rows
    for number, file in enumerate(files):
        if missing <= 0:
            break
        tables.append(collect_table(Batch(number, (file,)), job).slice(0, missing))
        missing -= tables[-1].num_rows
    return pa.concat_tables(tables) if tables else empty_table(job)
