"""Command lines of ``ess``, with nothing secret in them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ess_dask.airflow.setup import Setup, SetupError
from ess_dask.airflow.window import Window

Overrides = Mapping[str, Any] | Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Command:
    """What is started: words, folder ('' is the current one), environment, values to hide."""

    words: tuple[str, ...]
    folder: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a task asks of ``ess`` beside the command: dates, changed fields, profile."""

    window: Window
    overrides: Overrides = None
    profile: str = ""

    def words(self, setup: Setup) -> list[str]:
        """Return the options that say so."""
        words = ["--from", self.window.lower, "--to", self.window.upper]
        words += [word for change in set_words(self.overrides) for word in ("--set", change)]
        profile = self.profile or setup.profile
        return [*words, "--profile", profile] if profile else words


def run_command(setup: Setup, pipeline: str, asked: Asked, *flags: str) -> Command:
    """Return ``ess run`` of a pipeline; the report comes as JSON."""
    return command(setup, "run", *asked.words(setup), "--json", *flags, "--", pipeline)


def plan_command(setup: Setup, pipeline: str, asked: Asked) -> Command:
    """Return ``ess plan`` of a pipeline, as JSON."""
    return command(setup, "plan", *asked.words(setup), "--json", "--", pipeline)


def list_command(setup: Setup, category: str, store: str, asked: Asked) -> Command:
    """Return ``ess ls`` of a category in these dates, as JSON; ``store`` '' is the current one."""
    label = ("--label", store) if store else ()
    asked = replace(asked, overrides=None)  # a category has no fields that could be changed
    return command(setup, "ls", "--cat", category, *label, *asked.words(setup), "--json")


def command(setup: Setup, *words: str) -> Command:
    """Return a command of ``ess``; raise ``SetupError`` when it cannot be started here."""
    if setup.folder and not os.path.isdir(setup.folder):  # noqa: PTH112
        raise SetupError(f"there is no folder {setup.folder} on this machine")
    return Command(
        words=(setup.found(), *words),
        folder=setup.folder,
        environment=setup.environment(os.environ),
        secrets=tuple(sorted(setup.secrets.values(), key=len, reverse=True)),
    )


def with_variables(setup: Setup, variables: Mapping[str, str]) -> Setup:
    """Return the setup with further variables; these win over those of the connection."""
    return replace(setup, variables={**setup.variables, **variables})


def set_words(overrides: Overrides) -> list[str]:
    """Return ``path=value`` for each changed field; a value that is no text is written as JSON.

    A text stays what it is: it is read as YAML, so ``"5"`` becomes the type of the field.
    """
    if isinstance(overrides, Mapping):
        return [f"{path}={_written(value)}" for path, value in overrides.items()]
    return [str(change) for change in overrides or ()]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
