"""Log records of a run, for people on stderr or as JSON lines, there and in the run's folder.

Every line of JSON has the same keys. Secrets are taken out of every text on its way out, wherever
it came from: a library's record, a step on a worker, a server's message.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.engine.heard import OwnHandler, foreign, text_of
from ess_dask.errors import EssError
from ess_dask.redact import redact

if TYPE_CHECKING:
    from ess_dask.engine.heard import Said
    from ess_dask.engine.model import BatchResult
    from ess_dask.settings import Settings

LOG = logging.getLogger("ess_dask")

TEXT_LIMIT = 10_000
"""Characters of a record's text that are written."""

_TOLD = "told"

_EARLY = 100
"""Records that are kept until the run's folder is there."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}
_LEVELS |= {"warning": logging.WARNING, "error": logging.ERROR}


@dataclass(frozen=True, slots=True)
class About:
    """The run that this thread works for."""

    run_id: str
    pipeline: str
    category: str


_NOTHING = About("", "", "")
_ABOUT: ContextVar[About] = ContextVar("ess_dask_run", default=_NOTHING)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return a record as it is written: time, level, event, what it is about, further values."""
    about = _ABOUT.get()
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return {
        "time": moment.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "event": without_secrets(text_of(record)[:TEXT_LIMIT]),
        "run_id": about.run_id,
        "pipeline": about.pipeline,
        "category": about.category,
        "file": without_secrets(str(getattr(record, "file", ""))),
        "worker": without_secrets(str(getattr(record, "worker", ""))),
        "logger": record.name,
        **without_secrets(getattr(record, "values", {})),
    }


def without_secrets(value: Any) -> Any:
    """Return a JSON value with secrets taken out of its texts, which become valid Unicode."""
    if isinstance(value, str):
        return redact(value.encode("utf-8", "backslashreplace").decode())
    if isinstance(value, Mapping):
        return {name: without_secrets(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(each) for each in value]
    return value


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        return json.dumps(fields_of(record), ensure_ascii=False, default=str)


class ConsoleFormatter(logging.Formatter):
    """One line for a person: time, level, event, and what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end; nothing in it can steer a terminal."""
        fields = fields_of(record)
        about = " ".join(f"{name}={fields[name]}" for name in ("worker", "file") if fields[name])
        line = f"{fields['time'][11:]} {fields['level']:<7} {fields['event']}"
        return _shown(f"{line}  {about}" if about else line)


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


class StderrHandler(OwnHandler):
    """Writes to stderr as it is when the record comes."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; who cannot be told is not worth a traceback."""
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError, RuntimeError):
            # A RuntimeError: a signal came in the middle of another line.
            return


def configure(settings: Settings, *, quiet: bool = False) -> None:
    """Send log records to stderr as the settings say; called once, by a program.

    Left as they are, people see warnings, bare, and nothing is set up. ``quiet`` raises the
    default level to warning.
    """
    is_json = settings.log_format == "json"
    if not is_json and not settings.log_level:
        return
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, StderrHandler)]:
        root.removeHandler(handler)
    handler = StderrHandler(level_of(settings, quiet=quiet))
    handler.setFormatter(JsonFormatter() if is_json else ConsoleFormatter())
    root.addHandler(handler)
    LOG.setLevel(handler.level)


def level_of(settings: Settings, *, quiet: bool = False) -> int:
    """Return the least level that stderr gets."""
    is_loud = settings.log_format == "json" and not quiet
    return _LEVELS.get(settings.log_level, logging.INFO if is_loud else logging.WARNING)


def heard_level(settings: Settings) -> int:
    """Return the least level that steps are listened to at."""
    return min(level_of(settings), logging.INFO)


def is_json() -> bool:
    """Whether stderr gets JSON lines: a line for people among them would break them."""
    handlers = logging.getLogger().handlers
    return any(
        isinstance(each, StderrHandler) and isinstance(each.formatter, JsonFormatter)
        for each in handlers
    )


def log_error(error: EssError) -> None:
    """Log what ended the program, unless the end of a run has told it."""
    if not is_told(error):
        LOG.error("%s", error.message, extra={"values": {"hint": error.hint}})


def tell(error: BaseException) -> None:
    """Mark an error as told: it ended a run, and whoever is to know of it does."""
    vars(error)[_TOLD] = True


def is_told(error: BaseException) -> bool:
    """Whether an error is told already."""
    return _TOLD in vars(error)


class RunLog(OwnHandler):
    """The ``log.ndjson`` of a run; made when its folder is there and there is something to say."""

    def __init__(self, about: About, folder: Path | None, level: int) -> None:
        super().__init__(level)
        self._about, self._folder = about, folder
        self._file = -1
        self._early: list[bytes] = []
        self.setFormatter(JsonFormatter())

    def filter(self, record: logging.LogRecord) -> bool:
        """Take records of this run: of its threads, and of threads that know no run."""
        return _ABOUT.get().run_id in (self._about.run_id, "") and super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line. A full disk loses records and not the run."""
        try:
            if self._folder is not None:
                self._write(self._folder, self.format(record))
        except OSError:
            return
        finally:
            _show_bare(record)

    def _write(self, folder: Path, line: str) -> None:
        # Without buffers: a signal's handler may log in the middle of a line that is written.
        data = f"{line}\n".encode("utf-8", "backslashreplace")
        if self._file < 0 and folder.is_dir():
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._file = os.open(folder / "log.ndjson", flags, 0o600)
            data = b"".join(self._early) + data
        if self._file >= 0:
            os.write(self._file, data)
        elif len(self._early) < _EARLY:
            self._early.append(data)

    def close(self) -> None:
        """Close the file; what still comes is not written."""
        file, self._file, self._folder = self._file, -1, None
        if file >= 0:
            os.close(file)
        super().close()


def _show_bare(record: logging.LogRecord) -> None:
    """Do what logging does when nobody has set it up: our handlers alone are not somebody."""
    root, last = logging.getLogger(), logging.lastResort
    others = foreign(root) or any(isinstance(each, StderrHandler) for each in root.handlers)
    if others or last is None or record.levelno < last.level or hasattr(record, "was_shown"):
        return
    record.was_shown = True
    fields = fields_of(record)
    about = ", ".join(f"{name} {fields[name]}" for name in ("worker", "file") if fields[name])
    lines = [_shown(line) for line in fields["event"].split("\n")]
    sys.stderr.write("\n".join(lines) + (f" [{_shown(about)}]\n" if about else "\n"))


@contextmanager
def run_log(about: About, folder: Path | None, settings: Settings) -> Iterator[None]:
    """Write what is logged for a run into its folder while the block runs."""
    root, handler = logging.getLogger(), RunLog(about, folder, heard_level(settings))
    token = _ABOUT.set(about)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
        _ABOUT.reset(token)


def log(level: int, event: str, **about: Any) -> None:
    """Log what happened in a run; ``about`` is ``file``, ``worker``, and ``values`` by name.

    The program tells people of it by its own words: without a set-up it is for files only.
    """
    made = {
        "name": LOG.name,
        "levelno": level,
        "levelname": logging.getLevelName(level),
        "msg": event,
        "was_shown": True,
    }
    _hand_on(logging.makeLogRecord(made | about), to_all=True)


def log_said(result: BatchResult) -> None:
    """Log here what the steps of a batch said there."""
    away = result.worker.rpartition(":")[2] != str(os.getpid())
    for said in result.said:
        _hand_on(_record(said, result), to_all=away)
    if result.unsaid:
        LOG.warning(
            "%s more records of batch %s were left out",
            result.unsaid,
            result.number,
            extra={"worker": result.worker},
        )


def _record(said: Said, result: BatchResult) -> logging.LogRecord:
    made = {
        "name": said.name,
        "levelno": said.level,
        "levelname": logging.getLevelName(said.level),
        "msg": said.text,
        "created": said.at,
        "file": said.file,
        "worker": result.worker,
    }
    return logging.makeLogRecord(made)


def _hand_on(record: logging.LogRecord, *, to_all: bool) -> None:
    """Give a record to our handlers; to those of others if they have not seen it live."""
    logger = logging.getLogger(record.name)
    if to_all and logger.isEnabledFor(record.levelno):
        logger.handle(record)
        return
    for handler in logging.getLogger().handlers:
        if isinstance(handler, OwnHandler) and record.levelno >= handler.level:
            handler.handle(record)
