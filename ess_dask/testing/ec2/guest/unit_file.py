"""Unit files of systemd: what is written in them, and what it means."""

from __future__ import annotations

import re
import shlex
import socket
from pathlib import Path

from ess_dask.dataclass import dataclass

FOLDERS = (Path("/etc/systemd/system"), Path("/run/systemd/system"))

KNOWN = {
    "Unit": "Description Documentation After Before Requires Wants StartLimitIntervalSec "
    "StartLimitInterval StartLimitBurst StartLimitAction SuccessAction FailureAction "
    "DefaultDependencies ConditionPathExists",
    "Service": "Type ExecStart ExecStartPre ExecStartPost ExecStop ExecStopPost Restart RestartSec "
    "Environment EnvironmentFile WorkingDirectory TimeoutStopSec TimeoutStartSec TimeoutSec "
    "KillMode KillSignal User Group RemainAfterExit SuccessExitStatus RestartPreventExitStatus "
    "StandardOutput StandardError SyslogIdentifier LimitNOFILE OOMScoreAdjust UMask Delegate "
    "StartLimitIntervalSec StartLimitInterval StartLimitBurst StartLimitAction",
    "Install": "WantedBy RequiredBy Alias",
}
"""The directives that are obeyed, or that mean nothing here. Any other is told on the console."""

_SPANS = {
    "us": 1e-6, "usec": 1e-6, "ms": 1e-3, "msec": 1e-3, "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "": 1, "m": 60, "min": 60, "minute": 60, "minutes": 60, "h": 3600, "hr": 3600, "hour": 3600,
    "hours": 3600, "d": 86_400, "day": 86_400, "days": 86_400, "w": 604_800, "week": 604_800,
}  # fmt: skip

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Command:
    """One Exec line: its words, and whether its failure is ignored."""

    words: tuple[str, ...]
    may_fail: bool


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A unit's directives, by section; a list keeps the order of the file."""

    name: str
    sections: dict[str, dict[str, list[str]]]

    def text(self, name: str, default: str = "", section: str = "Service") -> str:
        """Return the last value of a directive."""
        return self.sections.get(section, {}).get(name, [default])[-1] or default

    def texts(self, name: str, section: str = "Service") -> list[str]:
        """Return all values of a directive."""
        return self.sections.get(section, {}).get(name, [])

    def words(self, name: str, section: str = "Unit") -> list[str]:
        """Return a directive that is a list of words."""
        return [word for line in self.texts(name, section) for word in line.split()]

    def limit(self, name: str, default: str) -> str:
        """Return a directive that belongs to [Unit] and once belonged to [Service]."""
        return self.text(name, self.text(name, default), "Unit")

    def seconds(self, name: str, default: str) -> float:
        """Return a time span of [Service] in seconds; ``infinity`` is possible."""
        return seconds(self.text(name, default))

    def commands(self, name: str) -> list[Command]:
        """Return the commands of an Exec directive."""
        return [_command(self._specified(line)) for line in self.texts(name)]

    def environment(self) -> dict[str, str]:
        """Return what Environment= and EnvironmentFile= set; a missing file raises ``OSError``."""
        found: dict[str, str] = {}
        for line in self.texts("Environment"):
            pairs = (word.partition("=") for word in shlex.split(self._specified(line)))
            found |= {name: value for name, _, value in pairs}
        for name in self.texts("EnvironmentFile"):
            path = Path(name.removeprefix("-"))
            if path.exists() or not name.startswith("-"):
                found |= _environment_file(path.read_text())
        return found

    def unknown(self) -> list[str]:
        """Return the directives that are not simulated, each as ``Section.Name``."""
        return [
            f"{section}.{name}"
            for section, names in self.sections.items()
            for name in names
            if name not in KNOWN.get(section, "").split()
        ]

    def _specified(self, text: str) -> str:
        """Fill in what begins with a per cent sign."""
        stem = self.name.rpartition(".")[0]
        values = {
            "%": "%", "n": self.name, "N": stem, "p": stem.partition("@")[0],
            "i": stem.partition("@")[2], "H": socket.gethostname(), "t": "/run",
        }  # fmt: skip
        return re.sub("%(.)", lambda found: values.get(found[1], found[0]), text)


def load(name: str) -> UnitFile | None:
    """Read the unit of this name, or of its template; None where there is none."""
    template = re.sub("@.+(?=[.])", "@", name)
    for folder in FOLDERS:
        for path in (folder / name, folder / template):
            if path.is_file():
                return parse(name, path.read_text())
    return None


def parse(name: str, text: str) -> UnitFile:
    """Parse the text of a unit file. An empty value takes back the ones before."""
    sections: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            section = sections.setdefault(line[1:-1], {})
        elif "=" in line and line[0] not in "#;":
            key, _, value = line.partition("=")
            values = section.setdefault(key.strip(), [])
            if value.strip():
                values.append(value.strip())
            else:
                values.clear()
    return UnitFile(
        name, {name: {k: v for k, v in of.items() if v} for name, of in sections.items()}
    )


def seconds(text: str) -> float:
    """Return a time span such as ``1min 30s`` or ``500ms`` in seconds; raises ``ValueError``."""
    if text == "infinity":
        return FOREVER
    parts = re.findall(r"([\d.]+)\s*([a-z]*)", text)
    if not parts or re.sub(r"[\d.]+\s*[a-z]*|\s", "", text):
        raise ValueError(f"{text!r} is no time span")
    return sum(float(number) * _SPANS[unit] for number, unit in parts)


def expanded(command: Command, environment: dict[str, str]) -> list[str]:
    """Fill variables in as systemd does: ``${NAME}`` anywhere, ``$NAME`` as words of its own."""
    words: list[str] = []
    for word in command.words:
        if match := re.fullmatch(r"\$(\w+)", word):
            words += environment.get(match[1], "").split()
        else:
            filled = re.sub(r"\$\{(\w+)\}", lambda found: environment.get(found[1], ""), word)
            words.append(filled.replace("$$", "$"))
    return words


def _command(line: str) -> Command:
    plain = line.lstrip("-@:+!")
    return Command(tuple(shlex.split(plain)), "-" in line[: len(line) - len(plain)])


def _environment_file(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        line = line.strip()
        if "=" in line and line[0] not in "#;":
            name, _, value = line.partition("=")
            words = shlex.split(value)
            found[name.strip()] = words[0] if len(words) == 1 else value.strip()
    return found
