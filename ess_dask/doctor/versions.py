"""The software of this environment: what is installed against what is asked for and locked."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from ess_dask._version import __version__
from ess_dask.doctor.model import Check, fail, ok, warn

PACKAGE = "ess-dask"
SHOWN = 3
"""Packages that are named; then how many more there are."""

_LOCK = Path(__file__).parents[2] / "requirements.lock"
"""Beside the package where it runs from its sources; an installed package has none."""


def check_versions(lock: Path = _LOCK) -> Check:
    """Compare the installed packages with what ess-dask asks for, and with the lock if there is
    one."""
    own = f"ess-dask {__version__}, Python {platform.python_version()}"
    try:
        wrong = list(_unfit())
    except metadata.PackageNotFoundError:
        return warn("versions", f"{own}, not installed as a package", "pip install ess-dask")
    if wrong:
        return fail("versions", f"{own}: {_shown(wrong)}", "pip install --upgrade ess-dask")
    differing = list(_differing(lock))
    if differing:
        advice = "pip install -r requirements.lock gives the versions that were tested together"
        return warn("versions", f"{own}: {_shown(differing)}", advice)
    return ok("versions", f"{own}{', as locked' if lock.exists() else ''}")


def _unfit() -> Iterator[str]:
    """Yield what is missing or of another version than ess-dask needs; extras only if installed."""
    from packaging.requirements import Requirement

    for text in metadata.requires(PACKAGE) or ():
        need = Requirement(text)
        marker = need.marker
        is_base = marker is None or marker.evaluate({"extra": ""})
        found = _installed(need.name)
        if found is None:
            if is_base:
                yield f"{need.name} is missing"
        elif is_base and not need.specifier.contains(found, prereleases=True):
            yield f"{need.name} is {found}, needed is {need.specifier}"


def _differing(lock: Path) -> Iterator[str]:
    from packaging.requirements import Requirement

    try:
        text = lock.read_text(encoding="utf-8")
    except OSError:
        return
    for line in re.findall(r"^[A-Za-z0-9][^#\\\n]*", text, re.MULTILINE):
        need = Requirement(line.strip())
        found = _installed(need.name)
        # What is not installed belongs to an extra, or to the tests.
        if found is None or (need.marker is not None and not need.marker.evaluate()):
            continue
        if not need.specifier.contains(found, prereleases=True):
            yield f"{need.name} is {found}, locked is {str(need.specifier).removeprefix('==')}"


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _shown(texts: list[str]) -> str:
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return f"{'; '.join(texts[:SHOWN])}{more}"
