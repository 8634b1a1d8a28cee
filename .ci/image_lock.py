"""Print the part of requirements.lock that an image needs: no tests, no stand-ins; hashes stay.

    python .ci/image_lock.py EXTRA... > image.lock
    python .ci/image_lock.py --build > build.lock      # what builds the package

Standard library only: it runs before anything is installed.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
NAME = re.compile(r"[A-Za-z0-9._-]+")


def normal(name: str) -> str:
    """Return a project's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(lock: str) -> list[tuple[str, str]]:
    """Return (name, entry) of a lock: requirement, hashes, and the comment on whom it is for.

    A name may come twice, for two ranges of Pythons.
    """
    starts = [found.start() for found in ENTRY.finditer(lock)]
    texts = [lock[a:b] for a, b in zip(starts, [*starts[1:], len(lock)], strict=True)]
    return [(normal(ENTRY.match(text)[1]), text) for text in texts]


def parents(entry: str) -> set[str]:
    """Return for whom an entry is there, as the lock says behind ``# via``."""
    lines = [line.strip().lstrip("#").strip() for line in entry.splitlines() if "    #" in line]
    names = [line.removeprefix("via").strip() for line in lines]
    return {normal(NAME.match(name)[0]) for name in names if name}


def needed(asked: list[str], lock: str) -> list[tuple[str, str]]:
    """Return the entries that these requirements need, in the lock's order."""
    found = entries(lock)
    wanted = {normal(NAME.match(text)[0]) for text in asked}
    while True:
        more = {name for name, text in found if parents(text) & wanted} - wanted
        if not more:
            break
        wanted |= more
    missing = sorted(wanted - {name for name, _ in found})
    if missing:
        sys.exit(f"not in requirements.lock: {', '.join(missing)}")
    return [(name, text) for name, text in found if name in wanted]


def requirements(words: list[str]) -> list[str]:
    """Return what the project asks for, with extras; ``--build``: what building it does."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    if words == ["--build"]:
        return settings["build-system"]["requires"]
    project = settings["project"]
    extras = [text for extra in words for text in project["optional-dependencies"][extra]]
    return project["dependencies"] + extras


if __name__ == "__main__":
    lock = (ROOT / "requirements.lock").read_text()
    sys.stdout.write("".join(text for _, text in needed(requirements(sys.argv[1:]), lock)))
