"""The account of a batch while it is worked on: every row of every file ends up somewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from ess_dask.catalog.model import FileRef
from ess_dask.dataclass import dataclass
from ess_dask.engine.aside import HELD_BYTES, Rejected
from ess_dask.engine.crew import whereabouts
from ess_dask.engine.model import FileCount

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.engine.rows import StepCount
    from ess_dask.records.chunk import Chunk


@dataclass(slots=True)
class StepTally:
    """Rows into and out of each step, in step order; adds up over pieces."""

    rows: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)

    def take(self, steps: Sequence[StepCount], first: int = 0) -> None:
        """Add one piece's counts; ``first`` is the position of the first step."""
        for number, step in enumerate(steps, first):
            self._add((number, step.name), step.rows_in, step.rows_out)

    def merge(self, other: StepTally) -> None:
        """Add another tally."""
        for key, (rows_in, rows_out) in other.rows.items():
            self._add(key, rows_in, rows_out)

    def _add(self, key: tuple[int, str], rows_in: int, rows_out: int) -> None:
        before = self.rows.get(key, (0, 0))
        self.rows[key] = (before[0] + rows_in, before[1] + rows_out)

    def listed(self) -> tuple[tuple[str, int, int], ...]:
        """Return (name, rows in, rows out) in step order."""
        return tuple((name, *self.rows[number, name]) for number, name in sorted(self.rows))


@dataclass(slots=True)
class FileTally:
    """Counts and rejects of one file; thrown away when the file fails or is tried again.

    ``lines_dropped`` is what bytes steps removed before the reader saw it (may be negative).
    ``seconds`` is the time that was spent on it.
    """

    file: FileRef
    read: int = 0
    kept: int = 0
    lines_dropped: int = 0
    rejects: Rejected = field(default_factory=Rejected)
    steps: StepTally = field(default_factory=StepTally)
    seconds: float = 0.0

    def take_chunk(self, chunk: Chunk) -> None:
        """Count what was read and keep what was rejected."""
        self.read += chunk.rows_read
        self.rejects.add(chunk.rejects)

    def count(self) -> FileCount:
        """Return the account of a file that was worked on to its end."""
        rejected, read = self.rejects.rows, self.read + self.lines_dropped
        dropped = read - rejected - self.kept
        return FileCount(
            self.file.uri,
            self.file.etag,
            read,
            self.kept,
            rejected,
            dropped,
            size=self.file.size,
            seconds=self.seconds,
        )


@dataclass(slots=True)
class BatchTally:
    """The accounts of a batch's files and of its steps."""

    counts: dict[str, FileCount] = field(default_factory=dict)
    rejects: dict[str, Rejected] = field(default_factory=dict)
    steps: StepTally = field(default_factory=StepTally)
    held: int = 0
    """Bytes of rejected rows that are in memory."""

    def take_file(self, tally: FileTally) -> None:
        """Count a file that was read and cleaned to its end."""
        self.counts[tally.file.uri] = tally.count()
        self.rejects[tally.file.uri] = tally.rejects
        if self.held + tally.rejects.held > HELD_BYTES:
            tally.rejects.set_aside()
        self.held += tally.rejects.held
        self.steps.merge(tally.steps)

    def take_failure(self, file: FileRef, error: Exception, seconds: float = 0.0) -> None:
        """Count a file that failed: it is named, and nothing of it is published."""
        from ess_dask.errors import EssError, TransientError

        message = str(error)
        if isinstance(error, EssError):
            # The account names the file already.
            hint = f" ({error.hint})" if error.hint else ""
            message = error.message.removeprefix(f"{file.uri}: ") + hint
        message += whereabouts()
        transient = isinstance(error, TransientError)
        self.counts[file.uri] = FileCount(
            file.uri,
            file.etag,
            error=message,
            transient=transient,
            size=file.size,
            seconds=seconds,
        )

    def rejected_rows(self, files: Sequence[FileRef]) -> list[pa.Table]:
        """Return the rejects of the files that succeeded, in file order."""
        found = (self.rejects[file.uri] for file in files if file.uri in self.rejects)
        return [table for rejected in found for table in rejected.tables]


def reasons(rejects: Sequence[pa.Table]) -> tuple[tuple[str, int], ...]:
    """Count rejected rows by class of reason, most frequent first."""
    import pyarrow as pa

    from ess_dask.records.rejects import count_reasons

    if not rejects:
        return ()
    # One call: there may be a small table for each of many files.
    counts = count_reasons(pa.concat_tables(rejects))
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
