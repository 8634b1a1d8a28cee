"""The course of a run: each event goes through the machine and into the journal, and only then its
instructions come out. A thread writes heartbeats meanwhile."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

from ess_dask.catalog.index import state_errors
from ess_dask.errors import EssError, InterruptedRunError
from ess_dask.folders import cache_dir
from ess_dask.runs.journal import Journal, open_journal
from ess_dask.runs.lock import BEAT_SECONDS, PipelineLock
from ess_dask.runs.machine import Event, Instruction, step
from ess_dask.runs.model import RunRecord

_ERROR_LENGTH = 500


class Course:
    """Context in which a run goes its way; what it raises ends the run in the journal, too.

    Entered with the record of a planned run, which is written then. ``lock`` is what the run holds
    its pipeline with. Raises as ``catalog.index.open_state``, from ``advance`` as well.
    """

    def __init__(
        self, record: RunRecord, lock: PipelineLock, detail: Mapping[str, Any] | None = None
    ) -> None:
        self.record, self._lock, self._detail = record, lock, detail
        self._path = cache_dir() / "catalog.db"
        self._open = ExitStack()
        self._heart = _Heart(self._beat)

    def __enter__(self) -> Course:
        self._journal = self._open.enter_context(open_journal(self._path))
        try:
            self._write(lambda: self._journal.begin(self.record, self._detail))
        except BaseException:
            self._open.close()
            raise
        self._heart.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is not None and not self.record.state.is_final:
                # What went wrong is told by the error itself, also on a disk that is full.
                with suppress(EssError):
                    self.advance(ending(error), exit_code=exit_code(error), error=one_line(error))
        finally:
            self._heart.stop()
            self._open.close()

    def advance(
        self, event: Event, detail: Mapping[str, Any] | None = None, **changes: Any
    ) -> tuple[Instruction, ...]:
        """Write what an event changes, and return what is to be done now.

        Raises ``LockedError`` when the run was taken for dead and ended by another one.
        """
        found = step(self.record.state, event)
        self._write(
            lambda: self._journal.append(self.record.run_id, event, found.state, detail, **changes)
        )
        self.record = replace(self.record, state=found.state, **changes)
        return found.instructions

    def _write(self, write: Callable[[], None]) -> None:
        with state_errors(self._path):
            write()

    def _beat(self) -> None:
        self._lock.beat()
        # Its own connection: it is another thread, and few runs last until the first beat.
        with open_journal(self._path) as journal:
            journal.beat(self.record.run_id)


def one_step(journal: Journal, record: RunRecord, event: Event, **changes: Any) -> RunRecord:
    """Bring a run whose process is gone one step on; return its record.

    Raises ``LockedError`` when it was ended by somebody else in the meantime.
    """
    found = step(record.state, event)
    journal.append(record.run_id, event, found.state, None, **changes)
    return replace(record, state=found.state, **changes)


def ending(error: BaseException) -> Event:
    """Return the event that an exception is."""
    stopped = isinstance(error, InterruptedRunError | KeyboardInterrupt)
    return Event.INTERRUPT if stopped else Event.FAIL


def exit_code(error: BaseException) -> int:
    """Return the exit code with which a run ends that raised this."""
    if isinstance(error, EssError):
        return error.exit_code
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def one_line(error: BaseException) -> str:
    """Return an error in one line that may be kept: of a foreign one only what kind it is."""
    return shortened(error.message if isinstance(error, EssError) else type(error).__name__)


def shortened(text: str) -> str:
    """Return a text as the one line that the journal keeps."""
    return " ".join(text.split())[:_ERROR_LENGTH]


class _Heart:
    """A thread that beats every few seconds until it is stopped; what fails is left out."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ess-heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            with suppress(EssError, OSError, sqlite3.Error):
                self._beat()
