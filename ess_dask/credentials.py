"""References to credentials, and the keys behind them: read at each use, never stored."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path

from ess_dask.dataclass import dataclass
from ess_dask.errors import AccessError, ConfigError

FROM_ENVIRONMENT = "env"
"""Reference: the keys stand in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY at each use."""

_COLUMNS = ("access key id", "secret access key")


@dataclass(frozen=True, slots=True)
class Keys:
    """What a connection is made with; all blank is botocore's own chain."""

    profile: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


_lent: dict[str, Keys] = {}


def lend(keys: Mapping[str, Keys]) -> None:
    """Let references mean these keys in this process: a worker has not got the client's files."""
    _lent.clear()
    _lent.update(keys)


def to_lend(references: Iterable[str]) -> dict[str, Keys]:
    """Return the keys behind references to files and profiles of this machine.

    What stands in the environment and what a role of the machine gives are not among them: a worker
    gets the one anyway and has its own of the other. Raises as ``resolve``.
    """
    found = {}
    for reference in {*references}:
        keys = resolve(reference)
        if keys.profile or not (keys.access_key or "AWS_ACCESS_KEY_ID" in os.environ):
            keys = _of_profile(keys.profile)
        if keys.access_key:
            found[reference] = keys
    return found


def keys_of_files() -> dict[str, str]:
    """Return as variables the keys in the files of AWS of this machine, those of ``AWS_PROFILE``.

    Empty where keys stand in the environment themselves, and where there are none in the files:
    whoever needs S3 is told so then.
    """
    if "AWS_ACCESS_KEY_ID" in os.environ:
        return {}
    try:
        keys = _of_profile("")
    except AccessError:
        return {}
    found = {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
    found["AWS_SESSION_TOKEN"] = keys.token
    return {name: text for name, text in found.items() if text}


def _of_profile(name: str) -> Keys:
    """Return the keys of a profile ('': the one in force), none of a machine's role."""
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        session = Session(profile=name or None)
        for role in ("iam-role", "container-role"):
            # Not asked at all: where there is none, the asking takes seconds.
            session.get_component("credential_provider").remove(role)
        found = session.get_credentials()
        if found is None:
            return Keys()
        frozen = found.get_frozen_credentials()
    except BotoCoreError as error:
        raise AccessError(f"the AWS profile {name or 'in force'} gives no keys: {error}") from None
    return Keys("", frozen.access_key, frozen.secret_key, frozen.token or "")


def resolve(reference: str) -> Keys:
    """Return the keys behind ``''``, ``env``, ``profile:NAME`` or ``file:/abs/path.csv``.

    Raises ``ConfigError`` for a file that is missing or is not a credentials file, and
    ``AccessError`` when the environment holds no keys. No key is ever part of a message.
    """
    if reference in _lent:
        return _lent[reference]
    kind, _, rest = reference.partition(":")
    if kind == "file":
        return _read_file(Path(rest))
    if kind == "profile":
        return Keys(profile=rest)
    if kind == FROM_ENVIRONMENT:
        return _read_environment()
    if reference:
        raise ConfigError(
            f"unknown kind of credentials {kind!r}", hint="give --credentials or a profile again"
        )
    return Keys()


def file_reference(path: str) -> str:
    """Return the reference to a credentials file, after reading it once."""
    reference = f"file:{Path(path).expanduser().absolute()}"
    resolve(reference)
    return reference


def _read_environment() -> Keys:
    access = os.environ.get("AWS_ACCESS_KEY_ID", "")
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
    if not (access and secret):
        raise AccessError(
            "the keys were given on the command line and are not stored",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give --credentials FILE.csv",
        )
    # Botocore reads them (and a session token next to them) from the same place.
    return Keys()


def _read_file(path: Path) -> Keys:
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, skipinitialspace=True)
            row = next(reader, None)
    except OSError as error:
        raise ConfigError(
            f"cannot read the credentials file {path}: {error.strerror}",
            hint="give --credentials the path of the CSV file you got from AWS",
        ) from None
    except (UnicodeDecodeError, csv.Error):
        row = None
    found = {str(name).strip().lower(): (value or "") for name, value in (row or {}).items()}
    if not all(found.get(name) for name in _COLUMNS):
        raise ConfigError(
            f"{path}:1:1: not a credentials file",
            hint="it needs the title line 'User Name,Access Key Id,Secret Access Key' and one row",
        )
    access, secret = (found[name].strip() for name in _COLUMNS)
    return Keys(access_key=access, secret_key=secret)
