"""What runs right now in this process on behalf of steps, so that cancelling reaches it.

Every step registers the way to stop its work (kill a process group, interrupt a connection) for as
long as the work runs. ``cancel_all`` is called from another thread: on Ctrl-C and when a worker is
torn down.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Stop = Callable[[], None]

_REMEMBERED = 4096
"""Cancelled tasks that are remembered; of older ones nothing can be about to begin."""

_OWNER: ContextVar[str] = ContextVar("ess_dask_owner", default="")
_TASK: ContextVar[str] = ContextVar("ess_dask_task", default="")


class Running:
    """A thread-safe set of running pieces of work, each with the way to stop it."""

    def __init__(self) -> None:
        # Re-entrant: a signal handler may cancel in the middle of a registration.
        self._lock = threading.RLock()
        self._stops: dict[int, tuple[str, str, Stop]] = {}
        self._numbers = itertools.count()
        self._cancelled: dict[str, None] = {}

    @contextmanager
    def owned_by(self, owner: str) -> Iterator[None]:
        """Say whose work this thread does while the block runs: a worker serves several runs."""
        token = _OWNER.set(owner)
        try:
            yield
        finally:
            _OWNER.reset(token)

    @contextmanager
    def for_task(self, task: str) -> Iterator[None]:
        """Say which task of a cluster this thread works on while the block runs."""
        token = _TASK.set(task)
        try:
            yield
        finally:
            _TASK.reset(token)
            with self._lock:
                self._cancelled.pop(task, None)

    @contextmanager
    def registered(self, stop: Stop) -> Iterator[None]:
        """Have ``stop`` called by ``cancel_all`` while the block runs. ``stop`` must not raise."""
        with self._lock:
            number = next(self._numbers)
            self._stops[number] = _OWNER.get(), _TASK.get(), stop
            if _TASK.get() in self._cancelled:
                stop()
        try:
            yield
        finally:
            with self._lock:
                self._stops.pop(number, None)

    def cancel_all(self, owner: str = "") -> int:
        """Stop what is registered now, of everybody or of one owner; return how much that was."""
        return self._cancel(lambda whose, task: owner in ("", whose))

    def cancel_task(self, task: str) -> int:
        """Stop what is registered for one task, and what it still begins; return how much it was.

        A task that is cancelled between two commands, or before its first, would go on otherwise.
        """
        with self._lock:
            self._cancelled[task] = None
            if len(self._cancelled) > _REMEMBERED:
                del self._cancelled[next(iter(self._cancelled))]
            return self._cancel(lambda whose, other: other == task)

    def _cancel(self, is_meant: Callable[[str, str], bool]) -> int:
        with self._lock:
            # Under the lock: work that ends meanwhile cannot hand its process id to somebody else
            # before we have signalled it.
            stops = [stop for whose, task, stop in self._stops.values() if is_meant(whose, task)]
            for stop in stops:
                stop()
            return len(stops)

    def __len__(self) -> int:
        return len(self._stops)


running = Running()
"""The registry of this process."""


def cancel_all(owner: str = "") -> int:
    """Stop the commands and queries that steps run in this process; return how many there were.

    Those of every run, or of one ``owner`` only.
    """
    return running.cancel_all(owner)


def cancel_task(task: str) -> int:
    """Do in this process what ``Running.cancel_task`` does."""
    return running.cancel_task(task)
