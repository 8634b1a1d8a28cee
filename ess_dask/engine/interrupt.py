"""Ctrl-C: once drains (what runs is finished, nothing new begins), twice aborts."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from ess_dask.engine.shared import Shared
from ess_dask.errors import InterruptedRunError


class Interrupt(Shared):
    """Context in which SIGINT and SIGTERM first set ``draining`` and then raise.

    Outside the main thread (a notebook's worker, Airflow) signals cannot be caught: it then only
    carries the flag, which ``drain`` sets. ``stopped`` is somebody else who may say so.
    """

    def __init__(
        self, say: Callable[[str], None], stopped: Callable[[], bool] = lambda: False
    ) -> None:
        self._draining = False
        self._say, self._stopped = say, stopped
        self._before: dict[int, Any] = {}

    @property
    def draining(self) -> bool:
        """Whether no new work is to begin."""
        return self._draining or self._stopped()

    def drain(self) -> None:
        """Begin no new work."""
        self._draining = True

    def is_draining(self) -> bool:
        """Whether no new work is to begin."""
        return self.draining

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.draining:
            raise InterruptedRunError("aborted", hint="run the same command again to go on")
        # Before it is told: the second signal may come while the first one's words are written.
        self.drain()
        self._say("interrupted: finishing what runs; once more aborts")

    def __enter__(self) -> Interrupt:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        except ValueError:  # not the main thread
            self._before.clear()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
