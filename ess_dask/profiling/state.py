"""What is known of a batch's rows, and of two batches together. Bounded, whatever their size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.engine.model import BatchResult, Piece
from ess_dask.errors import DataError
from ess_dask.profiling.column import ColumnState
from ess_dask.profiling.kinds import kind_of, plain_type
from ess_dask.profiling.model import RejectSample
from ess_dask.profiling.sample import SAMPLE, SampledColumn, chosen_rows, smallest_keys

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(slots=True)
class RejectTally:
    """Rejected rows of one reason: how many, and the first few."""

    count: int = 0
    samples: list[RejectSample] = field(default_factory=list)


@dataclass(slots=True)
class State:
    """Figures of the columns of ``schema``, a sample of rows, the account, and the rejects.

    Rows may be added in any grouping, rejects in the order of the files.
    """

    schema: pa.Schema
    columns: list[ColumnState]
    sampled: list[SampledColumn]
    keys: NDArray[np.uint64]
    """Of the sampled rows: the smallest hashes of a row's file and place in it."""
    read: int = 0
    kept: int = 0
    dropped: int = 0
    rejected: dict[str, RejectTally] = field(default_factory=dict)

    def add(self, piece: Piece, before: int) -> None:
        """Add rows; ``before`` are those of the same file that came before, where it has parts."""
        import numpy as np

        keys = chosen_rows(piece, before)
        rows = np.arange(len(keys))
        if len(self.keys) == SAMPLE:
            rows = np.flatnonzero(keys < self.keys[-1])
        rows = rows[smallest_keys(keys[rows])]
        keep = self._keep(keys[rows])
        for state, sampled, field_ in zip(self.columns, self.sampled, self.schema, strict=True):
            column = _column(piece.table, field_.name, state.kind.type)
            for part in _parts(column):
                state.add(part)
            sampled.add(state.kind, column, rows)
            sampled.keep(keep)

    def merge(self, other: State) -> None:
        """Add another batch, whose files come after those that are here."""
        keep = self._keep(other.keys)
        for mine, its in zip(self.columns, other.columns, strict=True):
            mine.merge(its)
        for sample, its_sample in zip(self.sampled, other.sampled, strict=True):
            sample.merge(its_sample)
            sample.keep(keep)
        self.read += other.read
        self.kept += other.kept
        self.dropped += other.dropped
        for reason, tally in other.rejected.items():
            mine_ = self.rejected.setdefault(reason, RejectTally())
            mine_.count += tally.count
            mine_.samples += tally.samples

    def account(self, result: BatchResult, rejects: Sequence[pa.Table], samples: int) -> None:
        """Add a batch's account, and of its rejected rows up to ``samples`` for each reason."""
        from ess_dask.records.rejects import reason_class

        for count in result.counts:
            self.read += count.read
            self.kept += count.kept
            self.dropped += count.dropped
        for table in rejects:
            classes = [
                reason_class(reason, column)
                for reason, column in zip(
                    table["reason"].to_pylist(), table["column"].to_pylist(), strict=True
                )
            ]
            for row, reason in enumerate(classes):
                tally = self.rejected.setdefault(reason, RejectTally())
                tally.count += 1
                if len(tally.samples) < samples:
                    tally.samples.append(_sample(table, row))

    def _keep(self, keys: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Add keys of sampled rows; return which rows stay, of those that were there and these."""
        import numpy as np

        both = np.concatenate([self.keys, keys])
        keep = smallest_keys(both)
        self.keys = both[keep]
        return keep


def empty_state(schema: pa.Schema) -> State:
    """Return a state of no rows for columns of these names and types."""
    import numpy as np

    kinds = [kind_of(plain_type(field_.type)) for field_ in schema]
    columns = [ColumnState(kind) for kind in kinds]
    return State(schema, columns, [SampledColumn() for _ in kinds], np.zeros(0, np.uint64))


def _column(table: pa.Table, name: str, type_: pa.DataType) -> pa.ChunkedArray:
    """Return a column as it was promised; raise ``DataError`` where a step gave another one."""
    import pyarrow as pa

    try:
        return table.column(name).cast(type_)
    except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"column {name!r} does not come out of the cleaning steps as {type_} for every file:"
            f" {error}",
            hint="let the steps return the same columns and types whatever the rows",
        ) from None


def _parts(column: pa.ChunkedArray) -> list[pa.Array]:
    """Return a column in one piece, or in several where one cannot hold it."""
    import pyarrow as pa

    whole = column.combine_chunks()
    return list(whole.chunks) if isinstance(whole, pa.ChunkedArray) else [whole]


def _sample(table: pa.Table, row: int) -> RejectSample:
    values: dict[str, Any] = table.slice(row, 1).to_pylist()[0]
    return RejectSample(*(values[name] for name in ("uri", "line", "column", "reason", "raw")))
