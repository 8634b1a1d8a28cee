"""What the batches of a run come to: a bounded picture of however many files and batches."""

from __future__ import annotations

import heapq
from pathlib import Path

from ess_dask.dataclass import dataclass
from ess_dask.engine.model import add_steps
from ess_dask.observe.batches import BatchWork, FileWork, read_batches

SLOWEST = 20
FAILED = 100
POINTS = 800
"""Files in a plot: the slowest ones, and of the others every n-th."""


@dataclass(frozen=True, slots=True)
class Span:
    """A batch in time: seconds since the first one began, how long, its files and rows read."""

    number: int
    worker: str
    start: float
    seconds: float
    files: int
    rows: int

    @property
    def end(self) -> float:
        """When it ended, in seconds since the first batch began."""
        return self.start + self.seconds


@dataclass(frozen=True, slots=True)
class Work:
    """All batches of a run. ``points`` are some files for a plot, ``failed`` the first of those
    that failed (``failed_files`` of them)."""

    spans: tuple[Span, ...] = ()
    steps: tuple[tuple[str, int, int], ...] = ()
    slowest: tuple[FileWork, ...] = ()
    points: tuple[FileWork, ...] = ()
    failed: tuple[FileWork, ...] = ()
    failed_files: int = 0
    files: int = 0
    size: int = 0
    rows_read: int = 0
    rows_kept: int = 0
    rows_rejected: int = 0

    @property
    def seconds(self) -> float:
        """From the beginning of the first batch to the end of the last one."""
        return max((span.end for span in self.spans), default=0.0)

    @property
    def workers(self) -> tuple[str, ...]:
        """The workers by name."""
        return tuple(sorted({span.worker for span in self.spans}))


def summarise(folder: Path) -> Work:
    """Return what the batches in a run's folder come to."""
    batches = list(read_batches(folder))
    files = [file for batch in batches for file in batch.files]
    good = [file for file in files if not file.error]
    failed = [file for file in files if file.error]
    slowest = heapq.nlargest(POINTS // 2, good, key=lambda file: file.seconds)
    others = good[:: max(1, len(good) * 2 // POINTS)]
    return Work(
        spans=_spans([batch for batch in batches if batch.started]),
        steps=add_steps(batch.steps for batch in batches),
        slowest=tuple(slowest[:SLOWEST]),
        points=(*slowest, *others[: POINTS // 2]),
        failed=tuple(failed[:FAILED]),
        failed_files=len(failed),
        files=len(files),
        size=sum(file.size for file in files),
        rows_read=sum(file.rows_read for file in good),
        rows_kept=sum(file.rows_kept for file in good),
        rows_rejected=sum(file.rows_rejected for file in good),
    )


def _spans(batches: list[BatchWork]) -> tuple[Span, ...]:
    first = min((batch.started for batch in batches), default=0.0)
    return tuple(
        Span(
            batch.number,
            batch.worker,
            batch.started - first,
            batch.seconds,
            len(batch.files),
            sum(file.rows_read for file in batch.files),
        )
        for batch in batches
    )
