"""A query over files: threads within a bounded window, answers merged in the order of the files."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import field
from functools import partial

from ess_dask.catalog.model import FileRef
from ess_dask.dataclass import dataclass
from ess_dask.engine.batches import growing, make_batches
from ess_dask.engine.executor import ThreadExecutor
from ess_dask.engine.interrupt import Interrupt
from ess_dask.engine.model import Batch
from ess_dask.engine.shared import Shared
from ess_dask.engine.window import run_ordered
from ess_dask.query.answer import Answer
from ess_dask.query.few import FEW_FILES, answer_few, wants_few
from ess_dask.query.files import Found, Task, answer_batch


@dataclass(frozen=True, slots=True)
class Crew:
    """How many threads work, how many batches are under way (0: two for each), their size."""

    threads: int
    window: int
    batch_bytes: int


@dataclass(slots=True)
class Account:
    """What a query read; (uri, error, transient) of the files that failed."""

    records: int = 0
    bad: int = 0
    unevaluated: int = 0
    failed: list[tuple[str, str, bool]] = field(default_factory=list)

    def take(self, found: Found) -> None:
        """Count a file."""
        self.records += found.records
        self.bad += found.bad
        self.unevaluated += found.failed
        if found.output.error:
            self.failed.append((found.output.uri, found.output.error, found.output.transient))


class _Stop(Shared):
    """Tells the threads that nobody waits for them any more."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set


def run_query(
    files: Sequence[FileRef],
    task: Task,
    answer: Answer,
    crew: Crew,
    interrupt: Interrupt,
    say: Callable[[str], None],
) -> Account:
    """Answer a query over files; ``say`` is told of each that fails, the others go on.

    Reading stops when the answer is full. What counts or sorts is not written once ``interrupt``
    drains: it would not be the answer.
    """
    account, stop = Account(), _Stop()
    wanted = () if answer.is_full else files
    with closing(_found(wanted, task, crew, interrupt, stop)) as all_found:
        for found in all_found:
            account.take(found)
            if found.output.error:
                say(f"{found.output.uri}: {found.output.error}")
            else:
                answer.take(found)
            if answer.is_full:
                break
    if not interrupt.draining:
        answer.finish()
    return account


def _found(
    files: Sequence[FileRef], task: Task, crew: Crew, interrupt: Interrupt, stop: _Stop
) -> Generator[Found, None, None]:
    executor = ThreadExecutor(crew.threads)
    few = partial(answer_few, task=task, draining=interrupt.is_draining, halted=stop.is_set)
    work = partial(answer_batch, task=task, draining=interrupt.is_draining, halted=stop.is_set)
    known = 0
    try:
        if wants_few(task):
            ahead = (Batch(0, tuple(files[:FEW_FILES])),)
            with closing(run_ordered(ahead, few, executor, interrupt)) as results:
                for found in results:
                    known += len(found)
                    yield from found
        batches = _batches(files[known:], task, crew)
        with closing(run_ordered(batches, work, executor, interrupt, limit=crew.window)) as results:
            for found in results:
                yield from found
    except GeneratorExit:
        # Each thread ends with its block: what it writes to is removed behind this.
        stop.set()
        executor.join()
        raise
    finally:
        stop.set()
        executor.close()


def _batches(files: Sequence[FileRef], task: Task, crew: Crew) -> tuple[Batch, ...]:
    batches = make_batches(files, crew.batch_bytes)
    return tuple(growing(batches)) if task.plan.ends_early else batches
