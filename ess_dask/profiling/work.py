"""What a worker does to profile a batch: clean its rows piece by piece and keep figures alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ess_dask.catalog.model import FileRef
from ess_dask.dataclass import dataclass
from ess_dask.engine.collect import raise_failures
from ess_dask.engine.model import Batch, Job, Piece
from ess_dask.engine.work import work_through
from ess_dask.profiling.state import State, empty_state

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class ProfileWork:
    """What is wanted of each batch: figures of these columns, and so many rejects of a reason."""

    schema: pa.Schema
    rejects: int

    def __call__(self, batch: Batch, job: Job) -> State:
        """Return the figures of a batch. Raises ``DataError`` or ``TransientError`` naming a file
        that failed."""
        sink = _Figures(self.schema)
        result, rejected = work_through(batch, job, sink)
        raise_failures(result)
        sink.total.account(result, rejected, self.rejects)
        return sink.total


class _Figures:
    """A sink that keeps figures in place of rows; never leaves the task it was made in.

    Those of a file whose parts come one by one are kept apart until another one follows: it may
    still fail.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self.total = empty_state(schema)
        self._alone: tuple[FileRef, State, int] | None = None

    def open(self, batch: Batch) -> _Figures:
        return self

    def write(self, piece: Piece) -> None:
        if len(piece.files) != 1:
            self._settle()
            self.total.add(piece, 0)
            return
        file = piece.files[0]
        if self._alone is None or self._alone[0] != file:
            self._settle()
            self._alone = (file, empty_state(self._schema), 0)
        _, state, before = self._alone
        state.add(piece, before)
        self._alone = (file, state, before + piece.table.num_rows)

    def forget(self, file: FileRef) -> None:
        if self._alone is not None and self._alone[0] == file:
            self._alone = None

    def close(self) -> tuple[Any, ...]:
        self._settle()
        return ()

    def abort(self) -> None:
        self._alone = None

    def _settle(self) -> None:
        alone, self._alone = self._alone, None
        if alone is not None:
            self.total.merge(alone[1])
