"""Whether the files of some dates are all there, as ``ess`` sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ess_dask.airflow.command import (
    Asked,
    Command,
    list_command,
    plan_command,
    with_variables,
)
from ess_dask.airflow.outcome import Kind, kind_of, outcome_of, read_json
from ess_dask.airflow.process import finish
from ess_dask.airflow.setup import Setup
from ess_dask.airflow.window import Window

LOOK_SECONDS = 600.0
"""Longest time of one listing."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files are waited for, in JSON values only: it travels to the triggerer.

    Those of a registered ``category`` (of datastore ``store``, '' is the current one) or of a
    ``pipeline``, between two inclusive bounds. All is there when each glob of ``expected`` matches
    a name and there are ``minimum_files``; ``stable_for`` seconds later it must still be so.
    """

    category: str = ""
    store: str = ""
    pipeline: str = ""
    lower: str = "*"
    upper: str = "*"
    profile: str = ""
    overrides: Mapping[str, Any] | Sequence[str] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    minimum_files: int = 1
    expected: Sequence[str] = ()
    stable_for: float = 0.0

    def command(self, setup: Setup) -> Command:
        """Return the command that lists them."""
        setup = with_variables(setup, self.variables)
        asked = Asked(Window(self.lower, self.upper), self.overrides, self.profile)
        if self.pipeline:
            return plan_command(setup, self.pipeline, asked)
        return list_command(setup, self.category, self.store, asked)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found: names and sizes, what is missing ('' nothing), and what is hopeless."""

    files: tuple[tuple[str, int], ...] = ()
    missing: str = ""
    hopeless: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether all that is waited for is there."""
        return not self.missing and not self.hopeless

    def same_as(self, later: Look) -> Look:
        """Return the later look; something is missing as long as names or sizes still change."""
        if later.is_complete and later.files != self.files:
            return Look(later.files, "files are still being written")
        return later


def look(setup: Setup, wanted: Wanted) -> Look:
    """List the files once; a failure that may pass counts as missing. Raises ``SetupError``."""
    ended = finish(wanted.command(setup), LOOK_SECONDS)
    if ended is None:
        return Look(missing=f"the listing took more than {LOOK_SECONDS:.0f} s")
    if ended.code:
        message = outcome_of(ended).message
        hopeless = kind_of(ended.code) is Kind.HOPELESS
        return Look(hopeless=message) if hopeless else Look(missing=message)
    files = listed(read_json(ended.output))
    return Look(files, missing_of([name for name, _ in files], wanted))


def listed(answer: Any) -> tuple[tuple[str, int], ...]:
    """Return names and sizes from the JSON of ``ess ls`` or ``ess plan``, sorted."""
    if isinstance(answer, Mapping):
        files = [(each["uri"], each["size"]) for kind in answer["files"].values() for each in kind]
    else:
        files = [(each["name"], each["size"]) for each in answer or ()]
    return tuple(sorted(files))


def missing_of(names: Sequence[str], wanted: Wanted) -> str:
    """Say what is missing among these names, '' when nothing is.

    A glob is compared with the whole name and with its last part.
    """
    for glob in wanted.expected:
        if not any(
            fnmatchcase(name, glob) or fnmatchcase(name.rpartition("/")[2], glob) for name in names
        ):
            return f"no file matches {glob}; {_counted(len(names))} there"
    if len(names) < wanted.minimum_files:
        return f"{_counted(len(names))} there, {wanted.minimum_files} are wanted"
    return ""


def _counted(number: int) -> str:
    return "1 file is" if number == 1 else f"{number} files are"
