"""What a worker does with one batch: open, read, clean, hand to the sink, account for every row.

Small files are cleaned together (one call of a step for many files); a file that does not fit one
chunk is cleaned chunk by chunk, so that memory is bounded by the batch and not by the file. A step
that is ``per: file`` sees each file whole instead.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.catalog.model import FileRef
from ess_dask.clean.protocol import StepContext
from ess_dask.clean.running import running
from ess_dask.dataclass import dataclass
from ess_dask.engine.crew import worker_name
from ess_dask.engine.elsewhere import here
from ess_dask.engine.heard import about, hearing
from ess_dask.engine.model import Batch, BatchResult, Job, Piece, Sink, SinkWriter
from ess_dask.engine.patience import LIMIT, untried
from ess_dask.engine.refusing import refuse_unfit
from ess_dask.engine.rows import StepCount, add_file_columns, clean, gather, name_row
from ess_dask.engine.tally import BatchTally, FileTally, StepTally, reasons
from ess_dask.errors import AccessError, CleanError, DataError, ReadError, TransientError

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.records.chunk import Chunk
    from ess_dask.records.untyped import Part

ATTEMPTS = 3
"""How often a file is read when reading it fails in a way that may pass."""

GATHER_ROWS = 1_000_000
"""Rows of small files that are cleaned in one call."""


def process(batch: Batch, job: Job, sink: Sink) -> BatchResult:
    """Work on one batch; return its account. Runs on a worker; safe to run again.

    A file that cannot be read or cleaned is named in its ``FileCount`` and the others go on.
    Rejected rows are kept in the job's rejects folder. Raises what the sink raises (nothing of the
    batch counts then).
    """
    result, rejects = work_through(batch, job, sink)
    return replace(result, rejects=_keep_rejects(batch, job, rejects))


def work_through(batch: Batch, job: Job, sink: Sink) -> tuple[BatchResult, list[pa.Table]]:
    """Work on one batch; return its account and the rejected rows. Raises as ``process``."""
    with running.owned_by(job.context.owner), hearing(job.hear) as ear:
        result, rejects = _work_through(batch, job, sink)
    return replace(result, said=tuple(ear.said), unsaid=ear.left_out), rejects


def _work_through(batch: Batch, job: Job, sink: Sink) -> tuple[BatchResult, list[pa.Table]]:
    at, started = time.time(), time.monotonic()
    work = _Work(batch, job, sink.open(batch))
    try:
        for file in batch.files:
            work.take(file)
        work.flush()
        parts = work.writer.close()
    except BaseException:
        work.writer.abort()
        raise
    rejects = work.tally.rejected_rows(batch.files)
    result = BatchResult(
        number=batch.number,
        counts=tuple(work.tally.counts[file.uri] for file in batch.files),
        steps=work.tally.steps.listed(),
        reasons=reasons(rejects) if job.read.keep_rejects else (),
        parts=parts,
        worker=worker_name(),
        started=at,
        seconds=time.monotonic() - started,
    )
    return result, rejects


def _keep_rejects(batch: Batch, job: Job, rejects: list[pa.Table]) -> str:
    if not rejects or not job.rejects_folder:
        return ""
    from ess_dask.records.rejects import write_rejects

    name = f"rejects-{batch.number:06d}.parquet"
    write_rejects(here(job.rejects_folder) / name, rejects)
    return str(Path(job.rejects_folder) / name)


@dataclass(slots=True)
class _Work:
    batch: Batch
    job: Job
    writer: SinkWriter
    tally: BatchTally = field(default_factory=BatchTally)
    waiting: list[tuple[FileTally, list[Part]]] = field(default_factory=list)
    waiting_rows: int = 0
    failed: int = 0
    """Files in a row that failed in a way that may pass."""
    reason: str = ""

    def take(self, file: FileRef) -> None:
        """Read one file; leave it waiting for its neighbours, or clean it chunk by chunk."""
        if self.failed >= LIMIT:
            self.tally.take_failure(file, TransientError(untried(self.reason)))
            return
        began = time.monotonic()
        for attempt in itertools.count(1):
            about(file.uri)
            try:
                self._read(file)
                self.failed = 0
            except TransientError as error:
                self.writer.forget(file)
                if attempt < ATTEMPTS:
                    continue
                self.tally.take_failure(file, error, time.monotonic() - began)
                self.failed, self.reason = self.failed + 1, error.message
            except (DataError, AccessError) as error:
                self.writer.forget(file)
                self.tally.take_failure(file, error, time.monotonic() - began)
            return

    def _read(self, file: FileRef) -> None:
        if file.shown != file.uri:
            raise ReadError(
                f"the name of {file.shown} is not UTF-8, so no table can hold it",
                hint="rename the file; ess stream takes any name",
            )
        tally = FileTally(file)
        parts = _parts(file, self.job, tally)
        began = time.monotonic()
        start = list(itertools.islice(parts, 2))
        if len(start) < 2 or self._whole_files():
            whole = [*start, *parts]
            tally.seconds = time.monotonic() - began
            self._wait(tally, whole)
            return
        tally.seconds = time.monotonic() - began
        self.flush()
        began = time.monotonic()
        for part in itertools.chain(start, parts):
            self._clean_part(tally, part)
        tally.seconds += time.monotonic() - began
        self.tally.take_file(tally)

    def _wait(self, tally: FileTally, parts: list[Part]) -> None:
        from ess_dask.records.untyped import empty_chunk

        # A file without rows goes on, too: the sinks are to know that it was there.
        parts = parts or [empty_chunk(self.job.read)]
        self.waiting.append((tally, parts))
        self.waiting_rows += sum(len(part) for part in parts)
        if self.waiting_rows >= GATHER_ROWS or self._whole_files():
            self.flush()

    def _whole_files(self) -> bool:
        return any(step.per == "file" for step in self.job.row_steps)

    def _clean_part(self, tally: FileTally, part: Part) -> None:
        done = self._clean([tally.file], typed([tally], [[part]]))
        self.writer.write(done.piece)
        tally.kept += done.piece.table.num_rows
        for table in done.rejects.values():
            tally.rejects.add(table)
        tally.steps.merge(done.steps)

    def flush(self) -> None:
        """Clean the waiting files together and hand them to the sink."""
        waiting, self.waiting, self.waiting_rows = self.waiting, [], 0
        if waiting:
            tallies = [tally for tally, _ in waiting]
            chunks = typed(tallies, [parts for _, parts in waiting])
            self._clean_files(list(zip(tallies, chunks, strict=True)))

    def _clean_files(self, files: list[tuple[FileTally, list[Chunk]]]) -> None:
        try:
            self._deliver(files)
        except DataError as error:
            # One file's rows must not take its neighbours down: each on its own.
            for tally, _ in files:
                self.writer.forget(tally.file)
            if len(files) == 1:
                self.tally.take_failure(files[0][0].file, error)
                return
            for tally, chunks in files:
                self._clean_files([(tally, chunks)])

    def _deliver(self, files: list[tuple[FileTally, list[Chunk]]]) -> None:
        import numpy as np

        began = time.monotonic()
        done = self._clean([tally.file for tally, _ in files], [chunks for _, chunks in files])
        self.writer.write(done.piece)
        self.tally.steps.merge(done.steps)
        _share([tally for tally, _ in files], time.monotonic() - began)
        rows = np.bincount(done.piece.file_of, minlength=len(files)).tolist()
        for place, ((tally, _), kept) in enumerate(zip(files, rows, strict=True)):
            tally.kept = kept
            if place in done.rejects:
                tally.rejects.add(done.rejects[place])
            self.tally.take_file(tally)

    def _clean(self, files: list[FileRef], chunks: list[list[Chunk]]) -> _Done:
        piece = add_file_columns(gather(files, chunks), self.job.file_columns)
        alone = files[0].uri if len(files) == 1 else ""
        about(alone)
        steps = StepTally()
        try:
            cleaned = clean(piece, self.job.row_steps, replace(self.job.context, uri=alone))
        except CleanError as error:
            raise name_row(error, files, chunks) from None
        steps.take(cleaned.counts, first=len(self.job.bytes_steps))
        return _Done(*refuse_unfit(cleaned, piece, chunks, self.job), steps)


@dataclass(frozen=True, slots=True)
class _Done:
    """A clean piece for the sink, the rejects of each file by its place, and the steps' account."""

    piece: Piece
    rejects: dict[int, pa.Table]
    steps: StepTally


def _share(tallies: list[FileTally], seconds: float) -> None:
    """Count the time of work on several files: to each by its rows."""
    rows = sum(tally.read for tally in tallies)
    for tally in tallies:
        tally.seconds += seconds * (tally.read / rows if rows else 1 / len(tallies))


def typed(tallies: list[FileTally], parts: list[list[Part]]) -> list[list[Chunk]]:
    """Return the chunks of each file, typed together, and count them in its tally."""
    from ess_dask.records.untyped import type_chunks

    chunks = iter(type_chunks([part for of_file in parts for part in of_file]))
    files = [list(itertools.islice(chunks, len(of_file))) for of_file in parts]
    for tally, of_file in zip(tallies, files, strict=True):
        for chunk in of_file:
            tally.take_chunk(chunk)
    return files


def _parts(file: FileRef, job: Job, tally: FileTally) -> Iterator[Part]:
    """Yield the parts of one file, not yet typed where that can wait."""
    yield from job.reader.chunks(file, job.read) if job.reader else _stored(file, job, tally)


def _stored(file: FileRef, job: Job, tally: FileTally) -> Iterator[Part]:
    """Yield the parts of a stored file; raise unless it was the recorded version to the end."""
    from ess_dask.catalog.store import check_version, open_file
    from ess_dask.records.archives import open_files
    from ess_dask.records.chunk import FileSource
    from ess_dask.records.csv import read_untyped

    source = FileSource(file.uri, lambda: open_file(job.store, file))
    files: Iterator[tuple[str, Iterable[bytes]]] | None = None
    if job.bytes_steps:
        # A member of an archive is a file of its own, with its own title line.
        opened = open_files(source, job.read)
        files = ((uri, _pipe(blocks, job, file, tally)) for uri, blocks in opened)
    yield from read_untyped(source, job.read, files)
    check_version(job.store, file)


def _pipe(blocks: Iterable[bytes], job: Job, file: FileRef, tally: FileTally) -> Iterator[bytes]:
    """Send a file's bytes through the bytes steps, counting lines into and out of each."""
    context: StepContext = replace(job.context, uri=file.uri)
    counters = [_LineCounter()]
    stream: Iterable[bytes] = counters[0].watch(blocks)
    for step in job.bytes_steps:
        counters.append(_LineCounter())
        stream = counters[-1].watch(step.pipe(stream, context))
    yield from stream
    tally.lines_dropped += counters[0].lines - counters[-1].lines
    counts = zip(job.bytes_steps, itertools.pairwise(counters), strict=True)
    tally.steps.take([StepCount(step.name, a.lines, b.lines) for step, (a, b) in counts])


@dataclass(slots=True)
class _LineCounter:
    lines: int = 0

    def watch(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        last = b"\n"
        for block in blocks:
            if block:
                self.lines += block.count(b"\n")
                last = block[-1:]
            yield block
        self.lines += last != b"\n"
