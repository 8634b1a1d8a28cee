"""``reservation.json`` in the working folder: which machines make up the custom cluster.

    {"id": "NAME", "address": "tls://HOST:8786", "tls": "FOLDER"}

is a Dask scheduler that runs already; FOLDER (absolute, or beside the file) holds ``ca.pem`` and
``client.pem``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ess_dask.errors import ConfigError
from ess_dask.folders import work_dir

_ADDRESS = re.compile(r"tls://[^/:@\s]+:\d{1,5}")


@dataclass(frozen=True, slots=True)
class Reservation:
    """A custom cluster: its name, the scheduler's address and the folder of certificates."""

    id: str
    address: str
    tls: Path


def reservation_path() -> Path:
    """Return where the file is looked for."""
    return work_dir() / "reservation.json"


def read_reservation() -> Reservation | None:
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
    return _checked(path, found)


def _checked(path: Path, found: Any) -> Reservation:
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: must be an object")
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
