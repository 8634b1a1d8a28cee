"""What an observer is told at the beginning of a run, and what it makes of its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from ess_dask.dataclass import dataclass

On = Literal["failure", "always"]

LOCKED = 75
"""Exit code of a run that left the work to another one."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A shell command to run after a run: ``on`` failure or always, for ``timeout`` seconds."""

    command: str
    on: On = "failure"
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Beginning:
    """A run as it begins. ``run_id`` is '' and ``folder`` None for one that was not begun: its plan
    failed, or there is nothing new. ``columns`` are names and types of the loaded rows, ``size``
    the stored bytes of the ``files`` that are to be read, ``target`` a URL without secrets."""

    run_id: str
    pipeline: str
    started: float
    folder: Path | None = None
    category: str = ""
    store: str = ""
    target: str = ""
    table: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    files: int = 0
    size: int = 0
    hook: Hook | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. ``report`` is its account as JSON values, with fewer keys when it failed
    before it had one; ``error`` is one line without secrets, '' when there was none."""

    at: float
    exit_code: int
    state: str
    report: Mapping[str, Any] = field(hash=False)
    error: str = ""

    @property
    def is_good(self) -> bool:
        """Whether all was done that was to be done."""
        return self.exit_code == 0

    @property
    def is_failure(self) -> bool:
        """Whether a person is to hear of it."""
        return self.exit_code not in (0, LOCKED)

    def number(self, name: str) -> int:
        """Return a count of the report, 0 when it has none."""
        value = self.report.get(name)
        return value if isinstance(value, int) else 0
