"""One request to the agent on a host: over plain ``ssh``, or in a process of this machine.

Nothing secret is ever a word of a command: the request, certificates included, goes through the
standard input. Every word is an argument; the one command line on the host is quoted.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ess_dask.cluster.custom.agent import ANSWER
from ess_dask.cluster.custom.reservation import HostsReservation
from ess_dask.dataclass import dataclass
from ess_dask.errors import AccessError, ConfigError, EssError, TransientError

CONNECT_TIMEOUT = 10

# Another Python could not even read the agent: its first line says which it is, and no more.
_FIRST = (
    "import json, sys; sys.path.pop(0); m = json.load(sys.stdin); v = list(sys.version_info[:2]); "
    "exec(m['agent'], {'__name__': 'agent', 'request': m['request']}) if v == m['python'] else "
    "print('\\n' + m['mark'] + json.dumps({'other': v}))"
)
_LAST = "\nmain(request)\n"


@dataclass(frozen=True, slots=True)
class Host:
    """A machine and the way to it: ``ssh`` are its words, () for this one; ``python`` likewise."""

    name: str
    ssh: tuple[str, ...]
    python: tuple[str, ...]


def remote_host(reservation: HostsReservation, name: str, known_hosts: Path) -> Host:
    """Return the way to one host of the reservation."""
    known = str(known_hosts).replace("%", "%%")
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": f'"{known}"',
        "GlobalKnownHostsFile": "/dev/null",
        "ConnectTimeout": str(CONNECT_TIMEOUT),
        "ServerAliveInterval": "10",
        "ControlMaster": "no",
        "ControlPath": "none",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "ForwardAgent": "no",
        "LogLevel": "ERROR",
    }
    words = ["ssh", "-T", "-a", "-x", "-i", str(reservation.key), "-p", str(reservation.port)]
    for option, value in options.items():
        words += ["-o", f"{option}={value}"]
    words += ["-l", reservation.user, "--", name]
    return Host(name, tuple(words), reservation.python)


def this_machine() -> Host:
    """Return this machine as a host: the same agent, no ssh."""
    return Host("this machine", (), (sys.executable,))


def ask(host: Host, request: dict[str, Any], timeout: float = 60.0) -> dict[str, Any]:
    """Send a request to the host's agent and return its answer.

    Raises ``TransientError`` when the host does not answer, ``AccessError`` when it refuses the
    key or shows another identity, ``ConfigError`` when it has no fitting Python, ``EssError`` with
    the agent's own words. All name the host.
    """
    message = {
        "agent": Path(__file__).with_name("agent.py").read_text() + _LAST,
        "request": request,
        "python": list(sys.version_info[:2]),
        "mark": ANSWER,
    }
    try:
        done = subprocess.run(
            _command(host), input=json.dumps(message).encode(), capture_output=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise TransientError(
            f"{host.name} did not answer for {timeout:.0f} s", hint="is it up and idle?"
        ) from None
    except FileNotFoundError:
        raise ConfigError("there is no ssh on this machine", hint="install OpenSSH") from None
    return _answer(host, done)


def _command(host: Host) -> list[str]:
    words = [*host.python, "-c", _FIRST]
    return [*host.ssh, " ".join(map(_quoted, words))] if host.ssh else words


def _quoted(word: str) -> str:
    """Quote a word for the host's shell; ``~/`` is that user's home."""
    return f'"$HOME"/{shlex.quote(word[2:])}' if word.startswith("~/") else shlex.quote(word)


def _answer(host: Host, done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    lines = done.stdout.decode(errors="replace").splitlines()
    # A login may print whatever it likes before.
    found = [line.removeprefix(ANSWER) for line in lines if line.startswith(ANSWER)]
    if not found:
        raise _failure(host, done.returncode, done.stderr.decode(errors="replace").strip())
    answer: dict[str, Any] = json.loads(found[-1])
    if "other" in answer:
        theirs, ours = ".".join(map(str, answer["other"])), ".".join(map(str, sys.version_info[:2]))
        raise ConfigError(
            f"{host.name} has Python {theirs} as {' '.join(host.python)}, this is Python {ours}",
            hint='name another one as "python" in reservation.json',
        )
    if "error" in answer:
        raise EssError(f"{host.name}: {answer['error']}", hint=f"look at {host.name} itself")
    return answer


def on_all(hosts: Sequence[Host], action: Callable[[Host], Any]) -> list[Any]:
    """Do something on all hosts at a time; raise what failed, all of it in one error."""

    def tried(host: Host) -> Any:
        try:
            return action(host)
        except EssError as error:
            return error

    with ThreadPoolExecutor(min(32, len(hosts))) as pool:
        found = list(pool.map(tried, hosts))
    failed = [each for each in found if isinstance(each, EssError)]
    if len(failed) == 1:
        raise failed[0]
    if failed:
        worst = max(failed, key=lambda error: error.exit_code)
        raise type(worst)(
            f"{len(failed)} of {len(hosts)} hosts failed: "
            + "; ".join(error.message for error in failed),
            hint=worst.hint,
        )
    return found


_REFUSED = ("permission denied", "too many authentication failures", "load key")
_CHANGED = ("host key verification failed", "identification has changed")


def _failure(host: Host, code: int, said: str) -> EssError:
    last = said.splitlines()[-1].strip() if said else f"exit code {code}"
    if code != 255:
        return ConfigError(
            f"{host.name}: {' '.join(host.python)} does not run there: {last}",
            hint='install Python, or name it as "python" in reservation.json',
        )
    if any(text in said.lower() for text in _CHANGED):
        return AccessError(
            f"{host.name} is not the machine that it was: its host key changed",
            hint="when that is right, forget the old key: ess cluster reset",
        )
    if any(text in said.lower() for text in _REFUSED):
        return AccessError(
            f"{host.name} refuses the key: {last}",
            hint='check "user" and "pem" in reservation.json',
        )
    return TransientError(
        f"{host.name} cannot be reached by ssh: {last}",
        hint='is it up, and its ssh port (field "port") open to this machine?',
    )
