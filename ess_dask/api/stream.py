"""``ess stream`` and ``ess exec`` as calls: a category's files through a command, in file order."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import BinaryIO

from ess_dask.api.warn import tell
from ess_dask.catalog.model import Category, Datastore, FileRef
from ess_dask.clean.protocol import StepContext
from ess_dask.cluster.machines import is_remote
from ess_dask.dataclass import dataclass
from ess_dask.engine.batches import make_batches
from ess_dask.engine.destinations import refuse_shared, refuse_words_of_a_file
from ess_dask.engine.executor import ThreadExecutor, usable_cores
from ess_dask.engine.hands import refuse_unseen
from ess_dask.engine.interrupt import Interrupt
from ess_dask.engine.model import Batch
from ess_dask.engine.stages import leading_stages
from ess_dask.engine.stream import (
    STREAM_BYTES,
    STREAM_FILES,
    Output,
    StreamJob,
    bulk_away,
    stream_away,
    stream_batch,
    stream_bulk,
)
from ess_dask.engine.turns import Turns
from ess_dask.engine.window import run_ordered
from ess_dask.errors import DataError, TransientError, UsageError, WorkerLostError
from ess_dask.records.spec import ReadSpec
from ess_dask.settings import load_settings
from ess_dask.spool import spool_folder
from ess_dask.udb.programs.inside import find_program


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The options of ``ess stream`` (SPEC 2.3). ``threads`` 0 is all cores, ``window`` (batches in
    flight) 0 two for each of them; ``out`` is the store and path that outputs are sent to in place
    of stdout; ``master``: this machine does the work, whatever cluster is in force."""

    exclude: tuple[str, ...] = ()
    label: str = ""
    archive: str = ""
    limit: int | None = None
    threads: int = 0
    window: int = 0
    bulk: bool = False
    debug: bool = False
    quit_on_error: bool = False
    out: str = ""
    master: bool = False


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What a stream did: files that went well, and (uri, error, transient) of those that failed."""

    files: int
    selected: int
    failed: tuple[tuple[str, str, bool], ...] = ()
    drained: bool = False

    @property
    def exit_code(self) -> int:
        """0; 130 when interrupted; 1 when all failures may pass, else 3."""
        if self.drained:
            return 130
        if not self.failed:
            return 0
        return 1 if all(transient for _, _, transient in self.failed) else 3


@dataclass(frozen=True, slots=True)
class StreamListener:
    """Who is told what: ``say`` a line for a person, ``begin`` the number of files, ``watch`` each
    finished file."""

    say: Callable[[str], None] = lambda text: None
    begin: Callable[[int], None] = lambda files: None
    watch: Callable[[Output], None] = lambda output: None


def stream(
    category: str,
    lower: str,
    upper: str,
    command: str,
    target: BinaryIO,
    options: StreamOptions | None = None,
    listener: StreamListener | None = None,
) -> StreamReport:
    """Send each file of a registered category through a shell command; outputs go to ``target``.

    Outputs come whole and in file order, whatever the number of threads; that of a command that
    failed is left out and the file is named in the report, the others go on. Raises ``UsageError``
    for unknown names and wrong bounds, ``InterruptedRunError`` when aborted.
    """
    from ess_dask.catalog.registry import select_registered

    options = options or StreamOptions()
    store, found, selection = select_registered(
        category, lower, upper, label=options.label, exclude=options.exclude, limit=options.limit
    )
    return stream_files(store, found, selection.files, command, target, options, listener)


def stream_files(
    store: Datastore,
    category: Category,
    files: Sequence[FileRef],
    command: str,
    target: BinaryIO,
    options: StreamOptions,
    listener: StreamListener | None = None,
) -> StreamReport:
    """Send each of these files of a category through a command; see ``stream``."""
    listener = listener or StreamListener()
    away = _is_away(store, command, options, listener.say)
    listener.begin(len(files))
    with spool_folder("stream") as spool:
        job = _job(store, category, command, spool, options, away=away)
        with Interrupt(listener.say) as interrupt:
            told = listener.say if away else None
            # Closed before the folder goes that outputs are spooled in.
            with closing(_outputs(files, job, options, interrupt, told)) as outputs:
                report = deliver(outputs, target, options, listener)
    return StreamReport(report.files, len(files), report.failed, drained=interrupt.draining)


def stream_shown(
    store: Datastore,
    category: Category,
    files: Sequence[FileRef],
    command: str,
    target: BinaryIO,
    options: StreamOptions,
) -> StreamReport:
    """Do what ``stream_files`` does; a person who looks on sees how far it is."""
    from ess_dask.api.progress import counting

    with counting(len(files), "files") as count:
        listener = StreamListener(watch=lambda output: count(1))
        return stream_files(store, category, files, command, target, options, listener)


def iterate_files(
    store: Datastore,
    category: Category,
    files: Callable[[], Sequence[FileRef]],
    command: str,
    options: StreamOptions,
) -> Iterator[bytes]:
    """Yield the outputs of a command on each file, in blocks, whole and in file order.

    ``files`` is asked at the first block. Raises ``DataError`` or ``TransientError`` at a file that
    fails; ends the commands that run when it is closed.
    """
    away = _is_away(store, command, options, tell)
    with spool_folder("stream") as spool:
        job = _job(store, category, command, spool, options, away=away)
        # Not entered: Ctrl-C belongs to the program that iterates.
        never = Interrupt(lambda text: None)
        with closing(_outputs(files(), job, options, never, tell if away else None)) as outputs:
            for output in outputs:
                if output.error:
                    kind = TransientError if output.transient else DataError
                    raise kind(_named(output))
                yield from output.blocks()


def _job(
    store: Datastore,
    category: Category,
    command: str,
    spool: str,
    options: StreamOptions,
    *,
    away: bool,
) -> StreamJob:
    read = ReadSpec(
        columns=(),
        compression=category.compression,
        archive=options.archive or category.archive,
    )
    out, path = destination(options.out)
    return StreamJob(
        store=store,
        read=read,
        command="" if command.strip() == "cat" else command,
        spool=spool,
        words={
            "cols": category.columnspec,
            "delim": category.delimiter,
            **node_words(options.threads or _own_threads(command)),
        },
        context=_context(away=away),
        out=out,
        out_path=path,
        find_program=find_program,
        turns=Turns() if _imports_inside(command) else None,
    )


def _context(*, away: bool) -> StepContext:
    """Return that of the user's own command, here or on the workers of other machines."""
    here = StepContext.of_user()
    return here.away(f"stream-{secrets.token_hex(8)}") if away else here


_OF_MASTER = re.compile(
    r"(?<![\w-])(?:-imp|-exp|-cnt|aq_udb|udbsql)(?![\w-])|(?:^|(?<=[|;&({]))\s*ess(?=\s)"
)


def _is_away(
    store: Datastore, command: str, options: StreamOptions, say: Callable[[str], None]
) -> bool:
    """Whether the workers of other machines do the work; refuses files that they cannot see.

    A command that asks or fills tables in memory works here: the list of them is here, and only one
    process can give imports the order of the files.
    """
    settings = load_settings()
    if options.master or not is_remote(settings.cluster):
        return False
    if found := _OF_MASTER.search(command):
        what = f"{found[0].strip()} reaches tables in memory"
        if _IMPORT.search(command) and not settings.shared_tables:
            from ess_dask.tables.homes import no_shared_place

            # Each file would find it out for itself.
            raise no_shared_place()
        say(f"{what}: the command runs on this machine, not on the workers")
        return False
    refuse_unseen(store, settings)
    return True


_IMPORT = re.compile(r"(?<![\w-])-imp(?![\w-])")


def _imports_inside(command: str) -> bool:
    """Whether there are imports, and all in stages that run inside: they wait for their turn."""
    stages = leading_stages(command, {}, find_program)
    inside = any(_IMPORT.match(word) for words in stages.words for word in words)
    return inside and not _IMPORT.search(stages.rest)


def _own_threads(command: str) -> int:
    """Return how many pipelines run side by side if the user does not say.

    Imports of processes become visible as those end: only one after the other is file order.
    """
    one_by_one = _IMPORT.search(command) and not _imports_inside(command)
    return 1 if one_by_one else usable_cores()


def _batches(files: Sequence[FileRef], job: StreamJob) -> tuple[Batch, ...]:
    """Return the files in batches; where imports have an order, each file has its own."""
    return make_batches(files, STREAM_BYTES, 1 if job.turns else STREAM_FILES)


def node_words(threads: int) -> dict[str, str]:
    """Return the substitutions that tell a command about the machines: this one is all there is."""
    return {"num_nodes": "1", "node_id": "0", "num_threads": str(threads)}


def destination(text: str) -> tuple[Datastore | None, str]:
    """Return store and path of ``LABEL:PATH``."""
    from ess_dask.catalog.index import open_catalog
    from ess_dask.catalog.registry import find_store

    if not text:
        return None, ""
    label, colon, path = text.partition(":")
    if not colon or not label or not path.strip("/"):
        raise UsageError(f"{text!r} is no place for outputs", hint="write LABEL:PATH")
    with open_catalog() as catalog:
        return find_store(catalog, label), path


def _outputs(
    files: Sequence[FileRef],
    job: StreamJob,
    options: StreamOptions,
    interrupt: Interrupt,
    say: Callable[[str], None] | None,
) -> Generator[Output, None, None]:
    """Yield the outputs in file order; ``say`` is given when workers of other machines work."""
    if job.out is not None:
        if options.bulk:
            refuse_words_of_a_file(job.out_path)
        else:
            refuse_shared(job.store, files, job.out, job.out_path)
    if say is not None:
        yield from _away(files, job, options, interrupt, say)
        return
    if options.bulk:
        yield stream_bulk(files, job)
        return
    executor = ThreadExecutor(int(job.words["num_threads"]))
    work = partial(stream_batch, job=job, draining=interrupt.is_draining)
    try:
        batches = _batches(files, job)
        for outputs in run_ordered(batches, work, executor, interrupt, limit=options.window):
            yield from outputs
    finally:
        executor.close()


def _away(
    files: Sequence[FileRef],
    job: StreamJob,
    options: StreamOptions,
    interrupt: Interrupt,
    say: Callable[[str], None],
) -> Iterator[Output]:
    from ess_dask.engine.hands import Errand, far_executor

    stores = (job.store, *([job.out] if job.out else []))
    errand = Errand(job.spool, job.context.owner, stores, options.threads)
    work: Callable[[Batch], Sequence[Output]] = partial(
        stream_away, job=job, threads=options.threads
    )
    with far_executor(say, load_settings().cluster, errand) as executor:
        least = -(-options.threads // min(node.threads for node in executor.nodes))
        each = _files_each(len(files), executor.slots, least)
        batches = make_batches(files, STREAM_BYTES, each)
        if options.bulk:
            work, batches = partial(bulk_away, job=job), (Batch(0, tuple(files)),)
        done = run_ordered(batches, work, executor, interrupt, lost_outputs, options.window)
        with closing(done):
            for outputs in done:
                yield from outputs


def _files_each(files: int, slots: int, least: int) -> int:
    """Return the files of a batch: few where there are not many for each worker, and ``least`` that
    a batch runs side by side. Outputs are kept apart, so no result depends on it."""
    return max(1, least, min(STREAM_FILES, files // (4 * slots)))


def lost_outputs(batch: Batch, error: WorkerLostError) -> Sequence[Output]:
    """Return the outputs of a batch whose worker died too often: all its files failed."""
    return tuple(Output(file.uri, "", error=error.message, transient=True) for file in batch.files)


def deliver(
    outputs: Iterator[Output], target: BinaryIO, options: StreamOptions, listener: StreamListener
) -> StreamReport:
    """Write outputs in their order; those that failed are told, and of a stream left out."""
    files, failed = 0, []
    for output in outputs:
        if options.debug:
            target.write(output.shown.encode("utf-8", "surrogateescape") + b"\n")
        listener.watch(output)
        if output.said:
            listener.say(output.said)
        # Of a file that failed there is none.
        output.copy_to(target)
        if output.error:
            listener.say(_named(output))
            failed.append((output.uri, output.error, output.transient))
            if options.quit_on_error:
                break
        else:
            files += 1
    target.flush()
    return StreamReport(files, files, tuple(failed))


def _named(output: Output) -> str:
    """Return why an output failed; the file is named once."""
    return output.error if output.uri in output.error else f"{output.uri}: {output.error}"
