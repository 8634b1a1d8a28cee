"""``reservation.json`` in the working folder: which machines make up the custom cluster.

    {"id": "NAME", "address": "tls://HOST:8786", "tls": "FOLDER"}

is a Dask scheduler that runs already; FOLDER (absolute, or beside the file) holds ``ca.pem`` and
``client.pem``.

    {"id": "NAME", "pem": "KEY", "ip_list": ["10.0.0.5", "10.0.0.6"]}

are hosts that are reached by ssh with the key ``KEY.pem`` beside the file. Further fields:
``user``, ``port`` (of ssh), ``python`` (the command of a Python that has what a worker needs),
``install`` (make such a Python there), ``scheduler`` (``first``: on the first host, ``here``: on
this machine) and ``scheduler_port``.
"""

from __future__ import annotations

import json
import re
import shlex
import stat
from pathlib import Path
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import AccessError, ConfigError
from ess_dask.folders import work_dir

_ADDRESS = re.compile(r"tls://[^/:@\s]+:\d{1,5}")
# None may be taken for an option or for a part of a command.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,31}")
_KNOWN = frozenset(
    {"id", "pem", "ip_list", "user", "port", "python", "install", "scheduler", "scheduler_port"}
)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A custom cluster that runs already: its name, the scheduler's address and certificates."""

    id: str
    address: str
    tls: Path


@dataclass(frozen=True, slots=True)
class HostsReservation:
    """Hosts that are reached by ssh and made into a cluster.

    ``key`` is the private key's file, ``python`` the words of the command, ``here``: the scheduler
    runs on this machine.
    """

    id: str
    hosts: tuple[str, ...]
    key: Path
    user: str = "ec2-user"
    port: int = 22
    python: tuple[str, ...] = ("python3",)
    install: bool = False
    here: bool = False
    scheduler_port: int = 8786


def reservation_path() -> Path:
    """Return where the file is looked for."""
    return work_dir() / "reservation.json"


def read_reservation() -> Reservation | HostsReservation | None:
    """Return what the file says, None without one; ``ConfigError`` names what is wrong in it."""
    path = reservation_path()
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: must be an object")
    return _hosts(path, found) if "ip_list" in found else _checked(path, found)


def check_key(key: Path) -> Path:
    """Return the private key's path; raise when it is not there or others may read it."""
    try:
        mode = stat.S_IMODE(key.stat().st_mode)
    except OSError as error:
        raise ConfigError(
            f"the key {key} cannot be read: {error.strerror}",
            hint='"pem" in reservation.json is its name without .pem',
        ) from None
    if mode & 0o077:
        raise AccessError(
            f"the key {key} is open to other users (mode {mode:04o})", hint=f"chmod 600 {key}"
        )
    return key


def _checked(path: Path, found: dict[str, Any]) -> Reservation:
    if "address" not in found:
        raise ConfigError(
            f'{path}: neither "ip_list" nor "address" is there',
            hint='hosts by ssh: "ip_list" and "pem"; a scheduler that runs: "address" and "tls"',
        )
    for name in ("id", "address", "tls"):
        if not isinstance(found.get(name), str) or not found[name]:
            raise ConfigError(f'{path}: "{name}" must be a text')
    if not _ADDRESS.fullmatch(found["address"]):
        raise ConfigError(f'{path}: "address" must look like tls://HOST:PORT')
    tls = path.parent / Path(found["tls"]).expanduser()
    for pem in ("ca.pem", "client.pem"):
        if not (tls / pem).is_file():
            raise ConfigError(f"{path}: there is no {tls / pem}")
    return Reservation(found["id"], found["address"], tls)


def _hosts(path: Path, found: dict[str, Any]) -> HostsReservation:
    unknown = sorted(set(found) - _KNOWN)
    if unknown:
        raise ConfigError(
            f"{path}: {unknown[0]!r} is not known", hint=f"known: {', '.join(sorted(_KNOWN))}"
        )
    hosts = found["ip_list"]
    if not isinstance(hosts, list) or not hosts:
        raise ConfigError(f'{path}: "ip_list" must be a list of addresses')
    for host in hosts:
        _matching(path, "ip_list", host, _HOST)
    if len(set(hosts)) < len(hosts):
        raise ConfigError(f'{path}: "ip_list" names a host twice')
    return HostsReservation(
        id=_matching(path, "id", found.get("id"), _ID),
        hosts=tuple(hosts),
        key=path.parent
        / f"{_matching(path, 'pem', found.get('pem'), _ID).removesuffix('.pem')}.pem",
        user=_matching(path, "user", found.get("user", "ec2-user"), _USER),
        port=_port(path, "port", found.get("port", 22)),
        python=_command(path, found.get("python", "python3")),
        install=_one_of(path, "install", found.get("install", False), (True, False)),
        here=_one_of(path, "scheduler", found.get("scheduler", "first"), ("first", "here"))
        == "here",
        scheduler_port=_port(path, "scheduler_port", found.get("scheduler_port", 8786)),
    )


def _matching(path: Path, name: str, value: Any, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ConfigError(f'{path}: "{name}" cannot be {value!r}')
    return value


def _port(path: Path, name: str, value: Any) -> int:
    if type(value) is not int or not 0 < value < 65536:
        raise ConfigError(f'{path}: "{name}" must be a port number, not {value!r}')
    return value


def _command(path: Path, value: Any) -> tuple[str, ...]:
    try:
        words = shlex.split(value) if isinstance(value, str) else []
    except ValueError:
        words = []
    if not words:
        raise ConfigError(f'{path}: "python" must be a command, not {value!r}')
    return tuple(words)


def _one_of(path: Path, name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    if not any(value is each or (value == each and isinstance(value, str)) for each in allowed):
        raise ConfigError(f'{path}: "{name}" must be one of {", ".join(map(json.dumps, allowed))}')
    return value
