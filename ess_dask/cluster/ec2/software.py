"""What is installed here, as exact requirements for a machine that has a package index and no more.

Computed from the installed distributions: what ``ess-dask`` needs, what that needs, and so on. Our
own package is not among them: the client sends it. Hashes are not among them either: an installed
distribution does not say which wheel it came from, and those of all wheels that an index may give
are several times what user data holds.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

PACKAGE = "ess-dask"


def python_image() -> str:
    """Return the official docker image of this Python: ``python:3.12-slim``."""
    return "python:{}.{}-slim".format(*platform.python_version_tuple())


def pinned_requirements(architecture: str = "x86_64", package: str = PACKAGE) -> str:
    """Return the requirements of a Linux machine with the versions of this one, one a line.

    What is not installed here because this is another system is left to the index to choose.
    """
    target = {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": {"arm64": "aarch64"}.get(architecture, architecture),
    }
    return "".join(f"{line}\n" for line in sorted(_closure(package, target)))


def _closure(package: str, target: Mapping[str, str]) -> set[str]:
    lines: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(need, "") for need in metadata.requires(package) or []]
    while waiting:
        text, extra = waiting.pop()
        need = _parsed(text)
        if need.marker is not None and not need.marker.evaluate({**target, "extra": extra}):
            continue
        name = _normal(need.name)
        try:
            found = metadata.distribution(need.name)
        except metadata.PackageNotFoundError:
            lines.setdefault(name, f"{name}{need.specifier}")
            continue
        lines[name] = f"{name}=={found.version}"
        for asked in ("", *sorted(need.extras)):
            if (name, asked) not in seen:
                seen.add((name, asked))
                waiting += _of_distribution(found, asked)
    return set(lines.values())


def _of_distribution(found: metadata.Distribution, extra: str) -> Iterator[tuple[str, str]]:
    for text in found.requires or []:
        yield text, extra


def _parsed(text: str) -> Any:
    from packaging.requirements import Requirement

    return Requirement(text)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
