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

Stop = Callable[[], None]


class Running:
    """A thread-safe set of running pieces of work, each with the way to stop it."""

    def __init__(self) -> None:
        # Re-entrant: a signal handler may cancel in the middle of a registration.
        self._lock = threading.RLock()
        self._stops: dict[int, tuple[str, Stop]] = {}
        self._numbers = itertools.count()
        self._thread = threading.local()

    @contextmanager
    def owned_by(self, owner: str) -> Iterator[None]:
        """Say whose work this thread does while the block runs: a worker serves several runs."""
        self._thread.owner = owner
        try:
            yield
        finally:
            self._thread.owner = ""

    @contextmanager
    def registered(self, stop: Stop) -> Iterator[None]:
        """Have ``stop`` called by ``cancel_all`` while the block runs. ``stop`` must not raise."""
        with self._lock:
            number = next(self._numbers)
            self._stops[number] = getattr(self._thread, "owner", ""), stop
        try:
            yield
        finally:
            with self._lock:
                self._stops.pop(number, None)

    def cancel_all(self, owner: str = "") -> int:
        """Stop what is registered now, of everybody or of one owner; return how much that was."""
        with self._lock:
            # Under the lock: work that ends meanwhile cannot hand its process id to somebody else
            # before we have signalled it.
            stops = [stop for whose, stop in self._stops.values() if owner in ("", whose)]
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
