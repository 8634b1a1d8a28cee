"""``pip`` of the official Python image: the index is what this machine has installed.

``install`` looks every requirement up among the distributions of the machine, in their one version,
and makes exactly these importable, with what they need. The index does not know ess-dask: it is
not published there. A wheel that somebody brings along is unpacked.

The container runs this file itself, without the package around it.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import sysconfig
import zipfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

_VALUED = {
    "-r": "files", "--requirement": "files", "-c": "constraints", "--constraint": "constraints",
    "-t": "target", "--target": "target", "-i": "", "--index-url": "", "--extra-index-url": "",
    "--find-links": "", "-f": "", "--cache-dir": "", "--timeout": "", "--retries": "",
    "--only-binary": "", "--no-binary": "", "--root-user-action": "", "--progress-bar": "",
    "--trusted-host": "",
}  # fmt: skip


class PipError(Exception):
    """What pip prints as an error and ends with 1 for."""


@dataclass
class Plan:
    """What is asked for: requirements as text, wheels, files of requirements, and how."""

    wanted: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    alone: bool = False


def main(arguments: list[str]) -> int:
    """Run a pip command; return its exit code."""
    verbs = [word for word in arguments if not word.startswith("-")]
    try:
        if verbs[:1] == ["install"]:
            install(_plan(arguments[arguments.index("install") + 1 :]))
        elif "--version" in arguments or "-V" in arguments:
            print("pip 0 (stand-in)")  # noqa: T201
        elif verbs[:1] in (["list"], ["freeze"]):
            _list()
        else:
            raise PipError(f"the stand-in's pip knows `install` and `list`, not {arguments}")
    except PipError as error:
        print(f"ERROR: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def install(plan: Plan) -> None:
    """Make the requirements importable, or raise ``PipError`` and change nothing."""
    index = _Index(json.loads(Path(__file__).with_name("index.json").read_text()))
    wheels = [word for word in plan.wanted if word.endswith(".whl")]
    texts = [word for word in plan.wanted if word not in wheels]
    for name in plan.files:
        texts += _requirements(Path(name))
    needed = [need for wheel in wheels for need in _needs(wheel)] if not plan.alone else []
    for name in plan.constraints:
        index.constrain(_requirements(Path(name)))
    found = index.resolve([*texts, *needed], alone=plan.alone)
    site = Path(plan.target[-1] if plan.target else sysconfig.get_path("purelib"))
    site.mkdir(parents=True, exist_ok=True)
    for distribution in found:
        _link(distribution, site)
    for wheel in wheels:
        _unpack(wheel, site)
    names = [f"{of.metadata['Name']}-{of.version}" for of in found]
    names += [Path(wheel).name.removesuffix(".whl") for wheel in wheels]
    print("Successfully installed", *names)  # noqa: T201


class _Index:
    """The distributions of this machine, by their normalised names."""

    def __init__(self, folders: list[str]) -> None:
        # Only what reads requirements is borrowed from the machine.
        sys.path[:0] = folders
        try:
            from packaging.requirements import InvalidRequirement, Requirement
        finally:
            del sys.path[: len(folders)]
        self._parse, self._invalid = Requirement, InvalidRequirement
        self._known = {
            _normal(found.metadata["Name"]): found
            for found in metadata.distributions(path=folders)
            if found.metadata["Name"]
        }
        self._known.pop("ess-dask", None)
        self._constraints: dict[str, Any] = {}

    def constrain(self, texts: list[str]) -> None:
        """Take versions that hold for whatever is installed."""
        for text in texts:
            parsed = self._parse(text)
            self._constraints[_normal(parsed.name)] = parsed.specifier

    def resolve(self, texts: list[str], *, alone: bool) -> list[metadata.Distribution]:
        """Return the distributions that fulfil requirements, with their own; raises PipError."""
        found: dict[str, metadata.Distribution] = {}
        seen: set[str] = set()
        open_ = [(text, "") for text in texts]
        while open_:
            text, extra = open_.pop()
            parsed = self._parsed(text)
            if text in seen and not extra:
                continue
            if parsed.marker and not parsed.marker.evaluate({"extra": extra}):
                continue
            seen.add(text)
            distribution = self._find(parsed)
            name = _normal(parsed.name)
            new = name not in found or parsed.extras
            found[name] = distribution
            if alone or not new:
                continue
            for need in distribution.requires or []:
                open_ += [(need, own) for own in ("", *sorted(parsed.extras))]
        return list(found.values())

    def _parsed(self, text: str) -> Any:
        try:
            return self._parse(text)
        except self._invalid:
            raise PipError(f"Invalid requirement: {text!r}") from None

    def _find(self, parsed: Any) -> metadata.Distribution:
        distribution = self._known.get(_normal(parsed.name))
        versions = distribution.version if distribution else "none"
        also = self._constraints.get(_normal(parsed.name))
        fits = (
            distribution is not None
            and parsed.specifier.contains(versions, prereleases=True)
            and (also is None or also.contains(versions, prereleases=True))
        )
        if not fits or distribution is None:
            raise PipError(
                f"Could not find a version that satisfies the requirement {parsed} (from versions: "
                f"{versions})\nERROR: No matching distribution found for {parsed}"
            )
        return distribution


def _plan(words: list[str]) -> Plan:
    plan = Plan()
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("-"):
            plan.wanted.append(f"{name}{equals}{value}")
        elif name in {"-e", "--editable"}:
            raise PipError("the stand-in's pip does not know --editable")
        elif name in _VALUED:
            value = value if equals else rest.pop(0)
            if _VALUED[name]:
                getattr(plan, _VALUED[name]).append(value)
        elif name == "--no-deps":
            plan.alone = True
    if not plan.wanted and not plan.files:
        raise PipError("You must give at least one requirement to install")
    return plan


def _requirements(path: Path) -> list[str]:
    """Return the requirements in a file, without their hashes."""
    try:
        text = path.read_text()
    except OSError as error:
        raise PipError(f"Could not open requirements file: {error}") from None
    found = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        plain = re.sub(r"(^|\s)#.*", "", line)
        plain = re.sub(r"\s--hash[= ]\S+", "", plain).strip()
        if plain and not plain.startswith("-"):
            found.append(plain)
    return found


def _link(distribution: metadata.Distribution, site: Path) -> None:
    """Make a distribution importable from ``site``: by links to its files on this machine."""
    source = Path(str(distribution.locate_file("")))
    tops = {file.parts[0] for file in distribution.files or [] if file.parts[0] != ".."}
    for top in sorted(tops - {"__pycache__", "bin"}):
        _link_path(source / top, site / top, _own_files(distribution, top))
    _write_scripts(distribution, site)


def _own_files(distribution: metadata.Distribution, top: str) -> list[Path]:
    inner = [file for file in distribution.files or [] if file.parts[0] == top]
    return [Path(*file.parts[1:]) for file in inner if len(file.parts) > 1]


def _link_path(source: Path, target: Path, own: list[Path]) -> None:
    """Link a file or a package whole; of a folder that packages share, only the own files."""
    whole = source.suffix in {".libs", ".dist-info", ".data"} or (source / "__init__.py").exists()
    if source.is_file() or whole:
        if not target.exists():
            target.symlink_to(source)
        return
    for file in own:
        link = target / file
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists() and (source / file).exists():
            link.symlink_to(source / file)


def _write_scripts(distribution: metadata.Distribution, site: Path) -> None:
    """Write the programs of a distribution, where the environment has such."""
    folder = Path(sysconfig.get_path("scripts"))
    if site != Path(sysconfig.get_path("purelib")):
        return
    for entry in distribution.entry_points:
        if entry.group == "console_scripts":
            _script(folder / entry.name, entry.module, entry.attr)


def _script(path: Path, module: str, attribute: str) -> None:
    first = attribute.partition(".")[0]
    code = f"import sys; from {module} import {first}; sys.exit({attribute}())"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -c {shlex.quote(code)} "$@"\n')
    path.chmod(0o755)


def _needs(wheel: str) -> list[str]:
    """Return what a wheel requires."""
    return _wheel_metadata(wheel).get_all("Requires-Dist") or []


def _wheel_metadata(wheel: str) -> Any:
    from email.parser import Parser

    if not Path(wheel).is_file():
        raise PipError(f"No such file: {wheel}")
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def _unpack(wheel: str, site: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    _write_scripts(metadata.PathDistribution((site / name).parent), site)


def _list() -> None:
    for found in metadata.distributions():
        print(f"{found.metadata['Name']}=={found.version}")  # noqa: T201


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
