"""``ess stream``: each file's bytes through a shell command; output whole and in file order.

A file's output is kept aside until its command ended well, so that what a failing command printed
first is never taken for a result (and one file's output never mixes with another's).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import field, replace
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ess_dask.catalog.model import Datastore, FileRef
from ess_dask.clean.protocol import StepContext
from ess_dask.clean.running import running
from ess_dask.dataclass import dataclass
from ess_dask.engine.command import Command, file_words, no_program
from ess_dask.engine.crew import node_words, numbers, thread_id, whereabouts, worker_threads
from ess_dask.engine.elsewhere import here
from ess_dask.engine.model import Batch
from ess_dask.engine.substitute import expand
from ess_dask.engine.turns import Place, Turns
from ess_dask.errors import EssError, InterruptedRunError, TransientError
from ess_dask.records.spec import ReadSpec

if TYPE_CHECKING:
    from ess_dask.engine.inside import FindProgram

INLINE_BYTES = 1 << 16
"""Output up to this size travels in the result; more goes through a spool file."""

STREAM_FILES = 8
STREAM_BYTES = 4 << 20
"""Smaller batches than for rows: here a file costs a process, not a share of a read."""


@dataclass(frozen=True, slots=True)
class StreamJob:
    """What a worker needs to stream files through a command.

    ``command`` '' passes the bytes through. ``words`` are the substitutions that do not depend on
    the file. ``spool`` is a folder that the caller can read. ``out`` and ``out_path``: send each
    output to this path (with ``%`` words) of that store instead of back. Programs that a command
    begins with run inside the worker where ``find_program`` gives them; ``turns`` give their
    imports the order of the batches.
    """

    store: Datastore
    read: ReadSpec
    command: str
    spool: str
    words: dict[str, str] = field(default_factory=dict)
    context: StepContext = field(default_factory=StepContext)
    out: Datastore | None = None
    out_path: str = ""
    find_program: FindProgram = no_program
    turns: Turns | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """What a file's command printed: inline bytes or a spool file. ``error`` '' when it went well;
    what a failed one printed is here for ``ess exec`` only.

    ``shown`` is the pipeline as a person would type it (for ``--debug``), ``said`` the end of what
    a command that went well wrote to stderr.
    """

    uri: str
    shown: str
    data: bytes = b""
    spooled: str = ""
    error: str = ""
    transient: bool = False
    said: str = ""

    @contextmanager
    def opened(self) -> Iterator[BufferedReader[Any]]:
        """Give the output as a stream; the spool file is removed behind it."""
        if not self.spooled:
            with BufferedReader(BytesIO(self.data)) as stream:
                yield stream
            return
        with open(self.spooled, "rb") as stream:  # noqa: PTH123
            yield stream
        Path(self.spooled).unlink()

    def blocks(self) -> Iterator[bytes]:
        """Yield the output and remove the spool file."""
        with self.opened() as source:
            while block := source.read(1 << 20):
                yield block

    def copy_to(self, target: BinaryIO) -> None:
        """Write the output and remove the spool file."""
        for block in self.blocks():
            target.write(block)


def stream_batch(
    batch: Batch, job: StreamJob, draining: Callable[[], bool] = lambda: False
) -> tuple[Output, ...]:
    """Stream the files of one batch; runs on a worker. A failing file is told in its output.

    Once ``draining`` says so no further file is begun.
    """
    todo = itertools.takewhile(lambda file: not draining(), batch.files)
    try:
        with running.owned_by(job.context.owner):
            return tuple(_stream_file(batch.number, file, job) for file in todo)
    finally:
        if job.turns:
            job.turns.end(batch.number)


def stream_bulk(files: Iterable[FileRef], job: StreamJob) -> Output:
    """Stream all files, one after the other, into a single run of the command (``--bulk``)."""
    listed = list(files)
    blocks = (block for file in listed for block in _blocks(file, job))
    words = {**job.words, **node_words()}
    task = _Task("(all files)", f"cat ({len(listed)} files) | {job.command or 'cat'}", words)
    return _sent(_captured(task, blocks, job, "bulk"), words, job)


def bulk_away(batch: Batch, job: StreamJob) -> tuple[Output, ...]:
    """Stream the files of a batch into a single run of the command, on a far worker."""
    return (stream_bulk(batch.files, job),)


def run_once(job: StreamJob) -> Output:
    """Run the job's command once, without input (``ess exec``).

    Nothing is made of its output here, so a person sees also what came before a failure.
    """
    words = {**job.words, "thread_id": "0", **node_words()}
    task = _Task("exec", job.command, words)
    return _sent(_captured(task, None, job, "exec", keep_part=job.out is None), words, job)


def stream_away(batch: Batch, job: StreamJob, threads: int) -> tuple[Output, ...]:
    """Stream the files of one batch on a far worker, where ``threads`` pipelines run at a time (0:
    as many as the worker has threads).

    A worker that has fewer threads runs some of the batch's files side by side.
    """
    limit, slots = worker_threads(threads)

    if limit <= slots:
        return stream_batch(batch, job)

    def one(file: FileRef) -> Output:
        with numbers.taken(job.context.owner, limit):
            return _stream_file(batch.number, file, job)

    with ThreadPoolExecutor(-(-limit // slots)) as pool:
        begun = [pool.submit(copy_context().run, one, file) for file in batch.files]
        return tuple(each.result() for each in begun)


def _stream_file(number: int, file: FileRef, job: StreamJob) -> Output:
    words = {**job.words, **file_words(file.uri), "thread_id": thread_id(), **node_words()}
    shown = f"{_fetch_text(file)} | {expand(job.command or 'cat', words)}"
    tag = f"{number}-{file_words(file.uri)['file'][:40].replace(os.sep, '_')}"
    task = _Task(file.uri, shown, words, number)
    return _sent(_captured(task, _blocks(file, job), job, tag), words, job)


def _fetch_text(file: FileRef) -> str:
    import shlex

    return f"ess cat {shlex.quote(file.uri)} --decompress"


def _blocks(file: FileRef, job: StreamJob) -> Iterator[bytes]:
    from ess_dask.catalog.store import check_version, open_file
    from ess_dask.records.archives import read_blocks
    from ess_dask.records.chunk import FileSource

    yield from read_blocks(FileSource(file.uri, lambda: open_file(job.store, file)), job.read)
    check_version(job.store, file)


@dataclass(frozen=True, slots=True)
class _Task:
    """One run of the command: on what, how a person would type it, the ``%`` words, its turn."""

    uri: str
    shown: str
    words: Mapping[str, str]
    number: int = 0


def _output(
    task: _Task, source: Iterable[bytes] | None, job: StreamJob, hear: Callable[[str], object]
) -> Iterator[bytes]:
    """Yield what the command prints, whether it runs inside or in bash."""
    if not job.command:
        return iter(source or ())
    command = Command(job.command, task.words, job.find_program)
    place = Place(job.turns, task.number)
    return command.run(source, replace(job.context, uri=task.uri), place, hear)


def _captured(
    task: _Task,
    source: Iterable[bytes] | None,
    job: StreamJob,
    tag: str,
    *,
    keep_part: bool = False,
) -> Output:
    """Run the command on the bytes, keeping its output aside; tell a failure in the result.

    ``keep_part``: with what was printed before it.
    """
    said: list[str] = []
    spool = Spool(Path(job.spool), tag)
    try:
        for block in _output(task, source, job, said.append):
            spool.write(block)
        data, spooled = spool.finish()
    except EssError as error:
        part = spool.finish() if keep_part else (b"", "")
        if isinstance(error, InterruptedRunError) or not keep_part:
            spool.discard()
        if isinstance(error, InterruptedRunError):
            raise
        transient = isinstance(error, TransientError)
        what = error.message + whereabouts()
        return Output(task.uri, task.shown, *part, error=what, transient=transient)
    except BaseException:
        spool.discard()
        raise
    return Output(task.uri, task.shown, data, spooled, said="".join(said))


def _sent(output: Output, words: Mapping[str, str], job: StreamJob) -> Output:
    """Write an output into the other store, if the job has one; by temporary name and rename where
    it is a folder."""
    from ess_dask.catalog.store import write_file

    if job.out is None or output.error:
        return output
    try:
        with write_file(job.out, expand(job.out_path, words)) as target:
            output.copy_to(target)
    except EssError as error:
        what = error.message + whereabouts()
        return replace(output, data=b"", spooled="", error=what)
    return replace(output, data=b"", spooled="")


class Spool:
    """Bytes in memory up to ``INLINE_BYTES``, then in a private file of the spool folder."""

    def __init__(self, folder: Path, tag: str) -> None:
        self._folder, self._tag = folder, tag
        self._data = bytearray()
        self._file: BinaryIO | None = None
        self._path = Path()

    def write(self, block: bytes) -> None:
        """Add bytes."""
        if self._file is None and len(self._data) + len(block) <= INLINE_BYTES:
            self._data += block
            return
        if self._file is None:
            import tempfile

            own = here(str(self._folder))
            handle, name = tempfile.mkstemp(prefix=f"{self._tag}-", dir=own)
            self._path = Path(name)
            self._file = os.fdopen(handle, "wb")
            self._file.write(self._data)
        self._file.write(block)

    def finish(self) -> tuple[bytes, str]:
        """Return the bytes and ``""``, or nothing and the path of the file that holds them."""
        if self._file is None:
            return bytes(self._data), ""
        self._file.close()
        return b"", str(self._folder / self._path.name)

    def discard(self) -> None:
        """Forget the bytes, and remove the file."""
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)
