"""Whose turn it is: work that runs side by side becomes visible in its order."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ess_dask.dataclass import dataclass
from ess_dask.engine.shared import Shared

_WAKE_SECONDS = 0.5
"""How long a wait may last before the waiting thread looks whether it is to end."""


class Turns(Shared):
    """Numbers from 0, each of which ends sooner or later. Shared by the threads of one process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ended: set[int] = set()
        self._next = 0

    def has_come(self, number: int) -> bool:
        """Whether all before ``number`` have ended."""
        return self._next >= number

    def wait(self, number: int, stopped: Callable[[], bool]) -> None:
        """Wait until all before ``number`` have ended, or ``stopped`` says so."""
        with self._changed:
            while not self.has_come(number) and not stopped():
                self._changed.wait(_WAKE_SECONDS)

    def end(self, number: int) -> None:
        """Say that ``number`` has ended, however it did."""
        with self._changed:
            self._ended.add(number)
            while self._next in self._ended:
                self._ended.remove(self._next)
                self._next += 1
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class Place:
    """One number among the others; without ``turns`` it is always its turn."""

    turns: Turns | None = None
    number: int = 0

    def has_come(self) -> bool:
        """Whether its turn has come."""
        return self.turns is None or self.turns.has_come(self.number)

    def wait(self, stopped: Callable[[], bool]) -> None:
        """Wait for its turn, or until ``stopped`` says so."""
        if self.turns is not None:
            self.turns.wait(self.number, stopped)
