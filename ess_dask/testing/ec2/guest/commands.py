"""``systemctl`` and ``shutdown`` as an instance has them: they ask its first process."""

from __future__ import annotations

import json
import socket
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from ess_dask.testing.ec2.guest import unit_file
from ess_dask.testing.ec2.guest.init import SOCKET

_UNITS = unit_file.FOLDERS[0]
_OFF = {"poweroff": "poweroff", "halt": "poweroff", "reboot": "reboot", "shutdown": "poweroff"}


def main(arguments: list[str]) -> int:
    """Run the command whose name is the first argument; return its exit code."""
    name, *words = arguments
    if name == "systemctl":
        return systemctl(words)
    if name == "shutdown":
        return shutdown(words)
    return _ask({"verb": _OFF[name]})


def systemctl(words: list[str]) -> int:
    """Change the links of enabled units, or ask process 1 for the rest."""
    options = [word for word in words if word.startswith("-")]
    verb, *names = [word for word in words if not word.startswith("-")] or ["list-units"]
    units = [name if "." in name else f"{name}.service" for name in names]
    if verb == "daemon-reload":
        return 0
    if verb in {"enable", "disable", "reenable"}:
        return _enable(units, "--now" in options, on=verb != "disable")
    if verb == "is-enabled":
        return _is_enabled(units)
    if verb == "cat":
        return _cat(units)
    quiet = "-q" in options or "--quiet" in options
    return _ask({"verb": verb, "units": units}, quiet=quiet)


def shutdown(words: list[str]) -> int:
    """``shutdown [-h|-P|-r] [+MINUTES|HH:MM|now]`` or ``-c``; without a time, in a minute."""
    options = [word for word in words if word.startswith("-")]
    if "-c" in options:
        return _ask({"verb": "cancel-off"})
    how = "reboot" if {"-r", "--reboot"} & set(options) else "poweroff"
    at = next((word for word in words if not word.startswith("-")), "+1")
    seconds = _seconds_until(at)
    if seconds is None:
        print(f"shutdown: cannot parse the time {at!r}", file=sys.stderr)  # noqa: T201
        return 1
    if seconds == 0:
        return _ask({"verb": how})
    return _ask({"verb": "schedule-off", "seconds": seconds, "how": how})


def _seconds_until(at: str) -> float | None:
    if at == "now":
        return 0.0
    number = at.removeprefix("+")
    if number.isdecimal():
        return 60.0 * int(number)
    try:
        then = datetime.strptime(at, "%H:%M")  # noqa: DTZ007 - in the machine's own zone
    except ValueError:
        return None
    now = time.localtime()
    minutes = (then.hour - now.tm_hour) * 60 + then.minute - now.tm_min
    return float(minutes * 60 % 86_400)


def _enable(units: list[str], now: bool, *, on: bool) -> int:
    for unit in units:
        file = unit_file.load(unit)
        if file is None:
            continue
        for target in file.words("WantedBy", "Install") + file.words("RequiredBy", "Install"):
            link = _UNITS / f"{target}.wants" / unit
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            if on:
                link.symlink_to(f"../{unit}")
    if now:
        return _ask({"verb": "start" if on else "stop", "units": units})
    return 0


def _is_enabled(units: list[str]) -> int:
    enabled = [any(_UNITS.glob(f"*.wants/{unit}")) for unit in units]
    print(*("enabled" if found else "disabled" for found in enabled), sep="\n")  # noqa: T201
    return 0 if all(enabled) else 1


def _cat(units: list[str]) -> int:
    paths = [_UNITS / unit for unit in units if (_UNITS / unit).exists()]
    for path in paths:
        print(f"# {path}\n{path.read_text()}")  # noqa: T201
    return 0 if len(paths) == len(units) else 1


def _ask(what: dict[str, Any], *, quiet: bool = False) -> int:
    """Put a question to process 1; print its answer, return its status."""
    if not Path(SOCKET).exists():
        print("there is no process 1 to ask: not an instance", file=sys.stderr)  # noqa: T201
        return 1
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(SOCKET))
        connection.sendall(json.dumps(what).encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    # An instance that goes off at once may have no time to answer.
    status, text = json.loads(answer) if answer else (0, "")
    if text and not quiet:
        is_state = str(what["verb"]).startswith(("is-", "status"))
        print(text, file=sys.stdout if is_state else sys.stderr)
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
