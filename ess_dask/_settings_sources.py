"""The sources of settings: flags, environment, pipeline file, profile; the first wins."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ess_dask._settings_model import NAMES, env_name
from ess_dask.dataclass import dataclass
from ess_dask.documents.fields import did_you_mean
from ess_dask.documents.variables import expand
from ess_dask.documents.yaml import Place, Scalar, load_file
from ess_dask.errors import ConfigError

OTHER_VARIABLES = ("ESS_PROFILE", "ESS_CACHE_DIR", "ESS_WORK_DIR", "ESS_REDSHIFT_PASSWORD")
"""Variables of the product that are no settings."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value as written, and the words for where."""

    value: Scalar
    origin: str


def merge(
    flags: Mapping[str, Any], pipeline: Mapping[str, Any], profile: str | None
) -> dict[str, Found]:
    """Return for each setting that is given somewhere its value of highest precedence."""
    given = from_pipeline(pipeline)
    chosen = from_profile(profile or os.environ.get("ESS_PROFILE") or "")
    chosen |= {name: found for name, found in given.items() if found.value.place.line}
    chosen |= from_environment(os.environ)
    # What `--set settings.x=` wrote has no line in a file: it was typed, so it counts as a flag.
    chosen |= {name: found for name, found in given.items() if not found.value.place.line}
    return chosen | from_flags(flags)


def from_flags(flags: Mapping[str, Any]) -> dict[str, Found]:
    """Return the flags that were given (not None)."""
    found = {}
    for name, value in flags.items():
        _known(name, Place("flags"))
        if value is not None:
            origin = f"flag --{name.replace('_', '-')}"
            found[name] = Found(Scalar(_written(value), Place(origin)), origin)
    return found


def from_environment(environment: Mapping[str, str]) -> dict[str, Found]:
    """Return the settings set by variables; an empty variable counts as not set."""
    found = {}
    for name in NAMES:
        if text := environment.get(env_name(name)):
            origin = f"environment {env_name(name)}"
            found[name] = Found(Scalar(text, Place(origin)), origin)
    return found


def from_pipeline(settings: Mapping[str, Any]) -> dict[str, Found]:
    """Return the settings of a pipeline; a value without a place was given in Python."""
    found = {}
    for name, value in settings.items():
        scalar = value if isinstance(value, Scalar) else Scalar(_written(value), Place("pipeline"))
        _known(name, scalar.place)
        place = scalar.place
        origin = f"pipeline {place.source}:{place.line}" if place.line else str(place)
        found[name] = Found(scalar, origin)
    return found


def from_profile(name: str) -> dict[str, Found]:
    """Return the settings of a profile; '' is no profile."""
    if not name:
        return {}
    path = find_profile(name)
    node = load_file(path)
    found = {}
    for key, value in node.items():
        _known(key, node.key_places[key])
        if not isinstance(value, Scalar):
            raise ConfigError(f"{value.place}: {key}: must be one value, not a list or mapping")
        filled = expand(value)
        assert isinstance(filled, Scalar)
        found[key] = Found(filled, f"profile {name} ({path}:{value.place.line})")
    return found


def find_profile(name: str) -> Path:
    """Return the file of a profile; raises ``ConfigError`` with every place searched, in order."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        hint = "a profile is named without folder and suffix, such as: --profile local"
        raise ConfigError(f"'{name}' is not a profile name", hint=hint)
    places = [folder / f"{name}.yaml" for folder in profile_folders()]
    for path in places:
        if path.is_file():
            return path
    searched = "".join(f"\n    {path}" for path in places)
    known = sorted({path.stem for folder in profile_folders() for path in folder.glob("*.yaml")})
    hint = did_you_mean(name, known) if known else ""
    raise ConfigError(f"no profile '{name}'; searched, in order:{searched}", hint=hint)


def profile_folders() -> list[Path]:
    """Return where profiles are looked for: here, the user's, the shipped ones."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return [Path("configs"), Path(base) / "ess", Path(__file__).parent / "profiles"]


def unknown_variables(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return ``ESS_`` variables that mean nothing here, each with a hint; for warnings."""
    known = [env_name(name) for name in NAMES] + list(OTHER_VARIABLES)
    strange = sorted(name for name in environment if name.startswith("ESS_") and name not in known)
    return [(name, did_you_mean(name, known)) for name in strange]


def _known(name: str, place: Place) -> None:
    if name not in NAMES:
        raise ConfigError(f"{place}: unknown setting '{name}'", hint=did_you_mean(name, NAMES))


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
