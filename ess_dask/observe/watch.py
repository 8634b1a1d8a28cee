"""Everybody who is told of a run: its log, its folder, metrics, lineage, a command.

None of them changes a run or its exit code: what goes wrong with one is a warning.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ess_dask.errors import ConfigError, EssError, InterruptedRunError, UsageError
from ess_dask.observe import batches, lineage
from ess_dask.observe.logs import LOG, About, is_json, is_told, log, log_said, run_log, tell
from ess_dask.observe.metrics import write_metrics
from ess_dask.observe.model import LOCKED, Beginning, Ending
from ess_dask.observe.notify import hooks_of, notify
from ess_dask.observe.runs import saved_report
from ess_dask.redact import redact
from ess_dask.runs.course import exit_code

if TYPE_CHECKING:
    from ess_dask.engine.model import BatchResult
    from ess_dask.runs.model import RunEvent
    from ess_dask.settings import Settings


class Watch:
    """One run, watched from its beginning to its end; made by ``watching``."""

    def __init__(self, beginning: Beginning, settings: Settings) -> None:
        self._beginning, self._settings = beginning, settings
        self._sender = lineage.Sender(settings.openlineage) if settings.openlineage else None
        self._batches: TextIO | None = None
        self._is_full = False
        self._report: Mapping[str, Any] | None = None

    def begin(self) -> None:
        """Tell that the run begins."""
        beginning = self._beginning
        values = {"files": beginning.files, "bytes": beginning.size, "table": beginning.table}
        log(logging.INFO, "run began", values=values)
        if self._sender is not None and beginning.run_id:
            self._sender.send(lineage.start_event(beginning))

    def say(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """Return a ``say`` that keeps its lines in the log, too."""

        def both(text: str) -> None:
            if not is_json():
                say(text)
            log(logging.INFO, text)

        return both

    def batch(self, result: BatchResult) -> None:
        """Tell of a finished batch."""
        log_said(result)
        for count in result.counts:
            if count.error:
                log(logging.ERROR, count.error, file=count.uri, worker=result.worker)
        values = {
            "batch": result.number,
            "files": len(result.counts),
            "rows_read": sum(count.read for count in result.counts),
            "rows_rejected": sum(count.rejected for count in result.counts),
            "seconds": round(result.seconds, 3),
        }
        log(logging.INFO, "batch done", worker=result.worker, values=values)
        self._keep(result)

    def done(self, report: Mapping[str, Any]) -> None:
        """Take the account of the run (JSON values); it is told when the run is left."""
        self._report = report

    def _keep(self, result: BatchResult) -> None:
        folder = self._beginning.folder
        if folder is None or self._is_full:
            return
        try:
            self._batches = self._batches or _opened(folder / batches.NAME)
            self._batches.write(batches.batch_line(result))
            self._batches.flush()
        except OSError as error:
            self._is_full = True
            LOG.warning("cannot write %s: %s", folder / batches.NAME, error.strerror)

    def end(self, error: BaseException | None) -> None:
        """Tell how the run ended; ``error`` is what ended it, None when it came to its end."""
        if self._batches is not None:
            with suppress(OSError):
                self._batches.close()
        ending = _failure(self._beginning, error) if error else _ending(self._report or {})
        names = ("files", "rows_read", "rows_loaded", "rows_rejected", "seconds", "exit_code")
        values = {name: ending.report[name] for name in names if name in ending.report}
        level = logging.ERROR if ending.is_failure else logging.INFO
        why = f": {ending.error}" if ending.error else ""
        log(level, f"run ended, {ending.state}{why}", values=values)
        self._publish(ending)

    def _publish(self, ending: Ending) -> None:
        beginning, settings = self._beginning, self._settings
        _write_page(beginning.folder, ending)
        # Of a run that left the work to another one, that one's numbers are the last.
        if settings.metrics_file and ending.exit_code != LOCKED:
            _write_metrics(Path(settings.metrics_file), beginning, ending)
        if self._sender is not None and beginning.run_id:
            self._sender.send(lineage.end_event(beginning, ending))
        for hook in hooks_of(beginning.hook, settings.notify, settings.notify_on):
            notify(hook, beginning, ending)


@contextmanager
def watching(beginning: Beginning, settings: Settings) -> Iterator[Watch]:
    """Watch a run while the block runs. What ends the block early is its failure."""
    about = About(beginning.run_id, beginning.pipeline, beginning.category)
    watch = Watch(beginning, settings)
    with run_log(about, beginning.folder, settings):
        watch.begin()
        try:
            yield watch
        except BaseException as error:
            if not is_told(error):
                tell(error)
                watch.end(error)
            raise
        watch.end(None)


@contextmanager
def prepared(beginning: Beginning, settings: Settings) -> Iterator[None]:
    """Watch what comes before a run: when its plan fails, whoever waits for the run is told."""
    try:
        yield
    except EssError as error:
        # What was typed wrong at the moment is told to who typed it.
        is_typed = isinstance(error, UsageError) and not isinstance(error, ConfigError)
        if not is_typed and not is_told(error):
            about = About("", beginning.pipeline, beginning.category)
            with run_log(about, None, settings):
                tell(error)
                Watch(beginning, settings).end(error)
        raise


def _ending(report: Mapping[str, Any]) -> Ending:
    return Ending(
        at=time.time(),
        exit_code=int(report.get("exit_code") or 0),
        state=str(report.get("state") or ""),
        report=report,
        error=_first_failure(report),
    )


def _first_failure(report: Mapping[str, Any]) -> str:
    failed = report.get("failed") or ()
    more = f" (and {len(failed) - 1} more files failed)" if len(failed) > 1 else ""
    return redact(f"{failed[0]['uri']}: {failed[0]['error']}{more}") if failed else ""


def _failure(beginning: Beginning, error: BaseException) -> Ending:
    """Return the end of a run that an error ended; its account is in its folder, if it has one."""
    code = exit_code(error)
    if isinstance(error, EssError):
        message, hint = error.message, error.hint
    else:
        message, hint = f"{type(error).__name__}: {error}", ""
    state = {InterruptedRunError.exit_code: "interrupted", LOCKED: "locked"}.get(code, "failed")
    known = saved_report(beginning.folder) if beginning.folder else {}
    own: dict[str, Any] = {
        "run_id": beginning.run_id,
        "pipeline": beginning.pipeline,
        "state": known.get("state") or state,
        "exit_code": code,
        "error": redact(message),
        "hint": redact(hint),
    }
    return Ending(time.time(), code, own["state"], {**known, **own}, own["error"])


def _write_page(folder: Path | None, ending: Ending) -> None:
    from ess_dask.observe.page import NAME, read_story, render_page

    if folder is None or not folder.is_dir():
        return
    part = folder / f"{NAME}.part"
    try:
        story = read_story(folder, ending.report, _events(folder.name))
        part.write_text(render_page(story), encoding="utf-8")
        part.rename(folder / NAME)
    except (OSError, ValueError) as error:
        LOG.warning("cannot write %s: %s", folder / NAME, error)


def _events(run_id: str) -> list[RunEvent]:
    from ess_dask.runs.journal import open_journal

    try:
        with open_journal() as journal:
            return journal.events(run_id)
    except EssError:
        return []


def _write_metrics(path: Path, beginning: Beginning, ending: Ending) -> None:
    try:
        write_metrics(path, beginning, ending)
    except OSError as error:
        LOG.warning("cannot write the metrics file %s: %s", path, error.strerror)


def _opened(path: Path) -> TextIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", 1, "utf-8")
