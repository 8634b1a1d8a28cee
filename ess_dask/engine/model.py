"""What travels to a worker and what comes back: frozen, small, never with Arrow data inside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol

from ess_dask.catalog.model import Datastore, FileRef
from ess_dask.clean.protocol import BytesStep, RowStep, StepContext
from ess_dask.dataclass import dataclass
from ess_dask.engine.heard import Said
from ess_dask.records.spec import ReadSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa

    from ess_dask.records.chunk import Chunk


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that one task handles, in order. ``number`` counts from 0 over the whole job.

    A function of the files and settings only, never of the number of workers.
    """

    number: int
    files: tuple[FileRef, ...]

    @property
    def size(self) -> int:
        """Stored bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Piece:
    """Clean rows on their way into a sink; stays inside a worker.

    ``files[file_of[i]]`` is the file row ``i`` came from (int32). A piece holds either whole files
    or one part of one file, never a mixture.
    """

    table: pa.Table
    files: tuple[FileRef, ...]
    file_of: np.ndarray


@dataclass(frozen=True, slots=True)
class FileCount:
    """The account of one file: ``read == kept + rejected + dropped`` (rows).

    ``dropped`` is what cleaning commands removed, negative when they made rows. A file that failed
    has ``error`` set and nothing of it is published. ``size`` is its stored bytes, ``seconds`` its
    own reading and its share of what was done to several files together.
    """

    uri: str
    etag: str
    read: int = 0
    kept: int = 0
    rejected: int = 0
    dropped: int = 0
    error: str = ""
    transient: bool = False
    size: int = 0
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one task did. ``parts`` is what the sink's writer returned: small values only."""

    number: int
    counts: tuple[FileCount, ...]
    steps: tuple[tuple[str, int, int], ...] = ()
    """Per step: name, rows in, rows out."""
    reasons: tuple[tuple[str, int], ...] = ()
    """Rejected rows by reason."""
    rejects: str = ""
    """Path of the Parquet file with the rejected rows of this batch, or ''."""
    parts: tuple[Any, ...] = ()
    worker: str = field(default="", compare=False)
    started: float = field(default=0.0, compare=False)
    """Seconds since the epoch, by the worker's clock."""
    seconds: float = field(default=0.0, compare=False)
    said: tuple[Said, ...] = field(default=(), compare=False)
    """What steps logged, and shell steps wrote to stderr, in order."""
    unsaid: int = field(default=0, compare=False)
    """How many records more there were than are kept."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """Clean rows that the destination cannot hold: their places in the table (ascending, int64),
    and for each the column ('' for the whole row) and why."""

    rows: np.ndarray
    columns: list[str]
    reasons: list[str]


class RowCheck(Protocol):
    """Finds clean rows that the destination cannot hold. A small picklable value."""

    def unfit(self, table: pa.Table) -> Unfit:
        """Return such rows of ``table``: they become rejects and reach no sink."""


class SinkWriter(Protocol):
    """Takes the pieces of one batch, in order. Nothing it wrote counts until ``close`` returned."""

    def write(self, piece: Piece) -> None:
        """Take one piece."""

    def forget(self, file: FileRef) -> None:
        """The file failed after some pieces were written: none of its rows may be in a part."""

    def close(self) -> tuple[Any, ...]:
        """Finish; return the parts (small picklable values)."""

    def abort(self) -> None:
        """Remove whatever was written."""


class Sink(Protocol):
    """Where rows go. A small picklable value; ``open`` runs on the worker."""

    def open(self, batch: Batch) -> SinkWriter:
        """Begin a batch."""


class Reader(Protocol):
    """Where a file's typed rows come from when they are not read from the store."""

    def chunks(self, file: FileRef, read: ReadSpec) -> Iterator[Chunk]:
        """Yield the rows and rejects of one file."""


@dataclass(frozen=True, slots=True)
class Job:
    """All a worker needs to turn a batch of files into clean rows in a sink.

    ``file_columns`` are those of ``file_date``, ``file_uri`` that are asked for as columns.
    ``rejects_folder`` is where rejected rows are written ('' keeps none).
    """

    store: Datastore
    read: ReadSpec
    bytes_steps: tuple[BytesStep, ...] = ()
    row_steps: tuple[RowStep, ...] = ()
    context: StepContext = field(default_factory=StepContext)
    file_columns: tuple[str, ...] = ()
    rejects_folder: str = ""
    reader: Reader | None = None
    """In place of reading the files themselves; bytes steps are then not run."""
    check: RowCheck | None = None
    """Finds clean rows that the destination cannot hold: they become rejects."""
    hear: int = 0
    """Least level (as in ``logging``) of what steps say that comes back; 0 brings nothing back."""


def add_steps(
    batches: Iterable[Sequence[tuple[str, int, int]]],
) -> tuple[tuple[str, int, int], ...]:
    """Add up the steps of batches by their place: all ran the same ones, or none when all their
    files failed. Each is a name, rows in and rows out."""
    total: list[tuple[str, int, int]] = []
    for steps in batches:
        for number, (name, rows_in, rows_out) in enumerate(steps):
            if number == len(total):
                total.append((name, 0, 0))
            _, before_in, before_out = total[number]
            total[number] = (name, before_in + rows_in, before_out + rows_out)
    return tuple(total)
