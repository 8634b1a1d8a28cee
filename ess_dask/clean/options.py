"""The value of a step in a pipeline file: a text, or a mapping with options."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from ess_dask.clean.protocol import Per
from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError


@dataclass(frozen=True, slots=True)
class StepOptions:
    """A step's text (command, query, function) and its other options, names checked."""

    main: str
    rest: dict[str, object]

    @property
    def timeout(self) -> float:
        """Seconds one command may take; 0 for no limit of its own."""
        value = self.rest.get("timeout", 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ConfigError(
                f"timeout must be a number of seconds, not {value!r}", hint="for example: 60"
            )
        return float(value)


def read_options(kind: str, value: object, main: str, known: Sequence[str]) -> StepOptions:
    """Return the options of a ``kind`` step; ``main`` names the option a plain text stands for.

    Raises ``ConfigError`` for an option that is not known or a text that is missing.
    """
    given = {main: value} if isinstance(value, str) else value
    if not isinstance(given, Mapping):
        raise ConfigError(f"{kind}: must be a text or a mapping, not {type(value).__name__}")
    for name in given:
        if name not in (main, *known):
            raise ConfigError(
                f"{kind}: unknown option {name!r}", hint=_suggest(str(name), (main, *known))
            )
    text = given.get(main)
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"{kind}: needs a text under {main!r}")
    return StepOptions(text, {str(key): item for key, item in given.items() if key != main})


def read_per(rest: Mapping[str, object]) -> Per:
    """Return the option ``per``: ``batch`` (default) or ``file``."""
    return known_per(rest.get("per", "batch"))


def known_per(value: object) -> Per:
    """Return what a step sees at a time; raise ``ConfigError`` for another word."""
    if value in ("batch", "file"):
        return value
    raise ConfigError(f"per must be batch or file, not {value!r}", hint="batch is the default")


def _suggest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"the options are: {', '.join(known)}"
