"""The settings in force, and where each value came from.

Precedence: flag, environment (``ESS_<NAME>``), pipeline file (``settings:``), profile, default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ess_dask._settings_model import NAMES, Settings, description, env_name, unit, written
from ess_dask._settings_sources import merge
from ess_dask.dataclass import dataclass
from ess_dask.documents.checking import check
from ess_dask.documents.yaml import Map, Place

__all__ = [
    "NAMES",
    "Resolved",
    "Settings",
    "description",
    "env_name",
    "load_settings",
    "resolve_settings",
    "unit",
    "written",
]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings together with the source of each value."""

    settings: Settings
    origins: Mapping[str, str]

    def origin(self, name: str) -> str:
        """Return ``default``, ``profile local (path:line)``, ``environment ESS_X``,
        ``pipeline file:line`` or ``flag --x``."""
        return self.origins[name]


def load_settings(
    flags: Mapping[str, Any] | None = None,
    pipeline: Mapping[str, Any] | None = None,
    profile: str | None = None,
) -> Settings:
    """Return the settings in force; see ``resolve_settings``."""
    return resolve_settings(flags, pipeline, profile).settings


def resolve_settings(
    flags: Mapping[str, Any] | None = None,
    pipeline: Mapping[str, Any] | None = None,
    profile: str | None = None,
) -> Resolved:
    """Return the settings in force and their origins.

    ``flags`` maps names to values (None: not given), ``pipeline`` is the ``settings`` of a
    pipeline, ``profile`` a profile's name (default: ``ESS_PROFILE``). Raises ``ConfigError`` naming
    the place of a bad value, or every place that was searched for a profile.
    """
    chosen = merge(flags or {}, pipeline or {}, profile)
    node = Map(Place("settings"))
    for name, found in chosen.items():
        node.put(name, found.value, found.value.place)
    origins = dict.fromkeys(NAMES, "default") | {
        name: found.origin for name, found in chosen.items()
    }
    return Resolved(check(Settings, node), origins)
