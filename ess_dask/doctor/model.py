"""What a check found, and all of them together. Frozen, printable."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError, LockedError, TransientError

MEND, PASSING = 3, 1
"""Exit codes: something must be mended; what is wrong may pass by itself."""


class Outcome(StrEnum):
    """How a check ended; ``skipped`` was not looked at, because nothing needs it."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was ``found`` and, when not all is well, what to do.

    ``passing``: a failure that may be gone when it is looked at again.
    """

    name: str
    outcome: Outcome
    found: str
    advice: str = ""
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All checks, in the order in which they are told."""

    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, 3 when something must be mended, 1 when all of it may pass."""
        failed = [check for check in self.checks if check.outcome is Outcome.FAIL]
        if not failed:
            return 0
        return PASSING if all(check.passing for check in failed) else MEND

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as JSON values."""
        return {"exit_code": self.exit_code, "checks": [asdict(check) for check in self.checks]}

    def to_json(self) -> str:
        """Return the diagnosis as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def render(self) -> str:
        """Return the diagnosis as lines for a person, without the last newline."""
        width = max((len(check.name) for check in self.checks), default=0)
        lines = []
        for check in self.checks:
            found = check.found.replace("\n", f"\n{'':{width + 7}}")
            lines.append(f"{check.outcome:<7}  {check.name:<{width}}  {found}")
            if check.advice:
                lines.append(f"{'':{width + 11}}-> {check.advice}")
        return "\n".join(lines)


def ok(name: str, found: str) -> Check:
    """Return a check that found all well."""
    return Check(name, Outcome.OK, found)


def warn(name: str, found: str, advice: str) -> Check:
    """Return a check that found something to know about; nothing fails by it now."""
    return Check(name, Outcome.WARN, found, advice)


def fail(name: str, found: str, advice: str, *, passing: bool = False) -> Check:
    """Return a check that found what will make a run fail."""
    return Check(name, Outcome.FAIL, found, advice, passing)


def skipped(name: str, why: str, advice: str = "") -> Check:
    """Return a check that was not made."""
    return Check(name, Outcome.SKIPPED, why, advice)


def of_error(name: str, error: EssError) -> Check:
    """Return the failed check that an error of the product means."""
    passing = isinstance(error, (TransientError, LockedError))
    return fail(name, error.message, error.hint, passing=passing)


def lacking(name: str, module: str, extra: str) -> Check | None:
    """Return the skipped check of something whose optional package is not installed; else None."""
    from importlib.util import find_spec

    if find_spec(module) is not None:
        return None
    return skipped(name, f"{module} is not installed", f'pip install "ess-dask[{extra}]"')
