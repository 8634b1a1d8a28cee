"""What a worker does with one batch: open, read, clean, hand to the sink, account for every row.

Small files are cleaned together (one call of a step for many files); a file that does not fit one
chunk is cleaned chunk by chunk, so that memory is bounded by the batch and not by the file. A step
that is ``per: file`` sees each file whole instead.
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.catalog.model import FileRef
from ess_dask.clean.protocol import StepContext
from ess_dask.clean.running import running
from ess_dask.engine.model import Batch, BatchResult, Job, Piece, Sink, SinkWriter
from ess_dask.engine.patience import LIMIT, untried
from ess_dask.engine.rows import add_file_columns, clean, empty_chunk, gather, name_row
from ess_dask.engine.tally import BatchTally, FileTally, StepTally, reasons
from ess_dask.errors import AccessError, CleanError, DataError, TransientError

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.records.chunk import Chunk

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
    with running.owned_by(job.context.owner):
        return _work_through(batch, job, sink)


def _work_through(batch: Batch, job: Job, sink: Sink) -> tuple[BatchResult, list[pa.Table]]:
    started = time.monotonic()
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
        reasons=reasons(rejects),
        parts=parts,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        seconds=time.monotonic() - started,
    )
    return result, rejects


def _keep_rejects(batch: Batch, job: Job, rejects: list[pa.Table]) -> str:
    if not rejects or not job.rejects_folder:
        return ""
    from ess_dask.records.rejects import write_rejects

    path = Path(job.rejects_folder) / f"rejects-{batch.number:06d}.parquet"
    write_rejects(path, rejects)
    return str(path)


@dataclass(slots=True)
class _Work:
    batch: Batch
    job: Job
    writer: SinkWriter
    tally: BatchTally = field(default_factory=BatchTally)
    waiting: list[tuple[FileTally, list[Chunk]]] = field(default_factory=list)
    waiting_rows: int = 0
    failed: int = 0
    """Files in a row that failed in a way that may pass."""
    reason: str = ""

    def take(self, file: FileRef) -> None:
        """Read one file; leave it waiting for its neighbours, or clean it chunk by chunk."""
        if self.failed >= LIMIT:
            self.tally.take_failure(file, TransientError(untried(self.reason)))
            return
        for attempt in itertools.count(1):
            try:
                self._read(file)
                self.failed = 0
            except TransientError as error:
                self.writer.forget(file)
                if attempt < ATTEMPTS:
                    continue
                self.tally.take_failure(file, error)
                self.failed, self.reason = self.failed + 1, error.message
            except (DataError, AccessError) as error:
                self.writer.forget(file)
                self.tally.take_failure(file, error)
            return

    def _read(self, file: FileRef) -> None:
        tally = FileTally(file)
        chunks = _chunks(file, self.job, tally)
        start = list(itertools.islice(chunks, 2))
        if len(start) < 2 or self._whole_files():
            self._wait(tally, [*start, *chunks])
            return
        self.flush()
        for chunk in itertools.chain(start, chunks):
            self._clean_part(tally, chunk)
        self.tally.take_file(tally)

    def _wait(self, tally: FileTally, chunks: list[Chunk]) -> None:
        # A file without rows goes on, too: the sinks are to know that it was there.
        chunks = chunks or [empty_chunk(self.job.read)]
        self.waiting.append((tally, chunks))
        self.waiting_rows += sum(chunk.table.num_rows for chunk in chunks)
        if self.waiting_rows >= GATHER_ROWS or self._whole_files():
            self.flush()

    def _whole_files(self) -> bool:
        return any(step.per == "file" for step in self.job.row_steps)

    def _clean_part(self, tally: FileTally, chunk: Chunk) -> None:
        piece, steps = self._clean(gather([tally.file], [[chunk]]))
        tally.kept += piece.table.num_rows
        tally.steps.merge(steps)
        self.writer.write(piece)

    def flush(self) -> None:
        """Clean the waiting files together and hand them to the sink."""
        waiting, self.waiting, self.waiting_rows = self.waiting, [], 0
        if not waiting:
            return
        try:
            self._flush(waiting)
        except CleanError as error:
            if len(waiting) > 1:
                # One file's rows must not take its neighbours down: each on its own.
                for one in waiting:
                    self.waiting = [one]
                    self.flush()
            else:
                self.tally.take_failure(waiting[0][0].file, error)

    def _flush(self, waiting: list[tuple[FileTally, list[Chunk]]]) -> None:
        import numpy as np

        files = [tally.file for tally, _ in waiting]
        piece, steps = self._clean(gather(files, [chunks for _, chunks in waiting]))
        self.writer.write(piece)
        self.tally.steps.merge(steps)
        for (tally, _), kept in zip(
            waiting, np.bincount(piece.file_of, minlength=len(files)), strict=True
        ):
            tally.kept = int(kept)
            self.tally.take_file(tally)

    def _clean(self, piece: Piece) -> tuple[Piece, StepTally]:
        piece = add_file_columns(piece, self.job.file_columns)
        alone = piece.files[0].uri if len(piece.files) == 1 else ""
        steps = StepTally()
        try:
            cleaned, counts = clean(piece, self.job.row_steps, replace(self.job.context, uri=alone))
        except CleanError as error:
            raise name_row(error, piece) from None
        steps.take(counts, first=len(self.job.bytes_steps))
        return cleaned, steps


def _chunks(file: FileRef, job: Job, tally: FileTally) -> Iterator[Chunk]:
    """Yield the chunks of one file and count them."""
    made = job.reader.chunks(file, job.read) if job.reader else _stored_chunks(file, job, tally)
    for chunk in made:
        tally.take_chunk(chunk)
        yield chunk


def _stored_chunks(file: FileRef, job: Job, tally: FileTally) -> Iterator[Chunk]:
    """Yield the chunks of a stored file; raise unless it was the recorded version to the end."""
    from ess_dask.catalog.store import check_version, open_file
    from ess_dask.records.chunk import FileSource
    from ess_dask.records.codecs import read_blocks
    from ess_dask.records.csv import read_chunks

    source = FileSource(file.uri, lambda: open_file(job.store, file))
    blocks: Iterable[bytes] | None = None
    if job.bytes_steps:
        blocks = _pipe(read_blocks(source, job.read), job, file, tally)
    yield from read_chunks(source, job.read, blocks)
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
    tally.lines_dropped = counters[0].lines - counters[-1].lines
    for number, step in enumerate(job.bytes_steps):
        rows = (counters[number].lines, counters[number + 1].lines)
        tally.steps.rows[number, step.name] = rows


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
