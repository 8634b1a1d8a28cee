"""What steps say while a batch is worked on: log records and lines of stderr, a bounded number.

They travel in the batch's result, from a thread of this process as from a far worker, so that who
started the work sees them in the order of the batches, each with its worker and file.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field

from ess_dask.dataclass import dataclass

LIMIT = 200
"""Records of one batch that are kept; of more only the number is."""

TEXT_LIMIT = 2000
"""Characters of a record that are kept."""

_CHATTY = {"aiobotocore", "asyncio", "boto3", "botocore", "distributed", "fsspec", "matplotlib"}
_CHATTY |= {"numba", "s3fs", "s3transfer", "tornado", "urllib3"}
"""Libraries whose records below a warning are about themselves."""


@dataclass(frozen=True, slots=True)
class Said:
    """A record of a step: ``at`` in seconds since the epoch, ``level`` as in ``logging``, ``name``
    of the logger, ``file`` the uri it was said about, '' when that were many."""

    at: float
    level: int
    name: str
    text: str
    file: str = ""


@dataclass(slots=True)
class Ear:
    """Collects what is said in one batch; ``left_out`` counts what was more than ``LIMIT``."""

    level: int = 0
    said: list[Said] = field(default_factory=list)
    left_out: int = 0
    file: str = ""

    def take(self, record: logging.LogRecord) -> None:
        """Keep a record, or count it."""
        chatty = record.name.partition(".")[0] in _CHATTY and record.levelno < logging.WARNING
        if record.levelno < self.level or chatty:
            return
        if len(self.said) >= LIMIT:
            self.left_out += 1
            return
        text = text_of(record)[:TEXT_LIMIT]
        file = getattr(record, "file", "") or self.file
        self.said.append(Said(record.created, record.levelno, record.name, text, file))


def text_of(record: logging.LogRecord) -> str:
    """Return a record's text with the error it is about; never raises."""
    try:
        text = record.getMessage()
    except (TypeError, ValueError, KeyError):
        # The step's own arguments do not fit its text: what it wrote is better than nothing.
        text = str(record.msg)
    error = record.exc_info[1] if record.exc_info else None
    return f"{text} ({type(error).__name__}: {error})" if error else text


_EAR: ContextVar[Ear | None] = ContextVar("ess_dask_ear", default=None)


class OwnHandler(logging.Handler):
    """A handler of the product: it sees no record that travels in a batch's result."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Refuse what an ear of this thread takes."""
        return _EAR.get() is None and bool(super().filter(record))


class _Listening(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        ear = _EAR.get()
        if ear is not None:
            ear.take(record)


class _Door:
    """Puts one handler on the root logger for as long as any batch of this process listens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handler = _Listening()
        self._open = 0
        self._level = 0

    def open(self, level: int) -> None:
        root = logging.getLogger()
        with self._lock:
            if not self._open:
                self._level = root.level
                root.addHandler(self._handler)
            self._open += 1
            # Somebody's own handlers would show what their owner did not ask for.
            if level < root.level and not foreign(root):
                root.setLevel(level)

    def close(self) -> None:
        root = logging.getLogger()
        with self._lock:
            self._open -= 1
            if not self._open:
                root.removeHandler(self._handler)
                root.setLevel(self._level)


_DOOR = _Door()


def foreign(logger: logging.Logger) -> bool:
    """Whether somebody else has put a handler on a logger."""
    return any(not isinstance(each, OwnHandler | _Listening) for each in logger.handlers)


@contextmanager
def hearing(level: int) -> Iterator[Ear]:
    """Collect what this thread says at ``level`` and above while the block runs; 0 is nothing."""
    ear = Ear(level)
    if not level:
        yield ear
        return
    _DOOR.open(level)
    token = _EAR.set(ear)
    try:
        yield ear
    finally:
        _EAR.reset(token)
        _DOOR.close()


def about(uri: str) -> None:
    """Say which file this thread works on from now on, '' for many."""
    ear = _EAR.get()
    if ear is not None:
        ear.file = uri
