"""Whose clusters are meant: the caller's identity in AWS, in a form that a tag can hold.

The same person has it on every machine, and two people with one login name (``root``, ``ubuntu``)
have two. An access key belongs to one identity for ever, so that is asked once for each key.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
from typing import Any

from ess_dask.cluster.ec2.aws import access_key, hurried_client
from ess_dask.cluster.state import private_folder
from ess_dask.folders import cache_dir

_SECONDS = 3.0
_MADE_UP = re.compile(r"botocore-session-\d+|aws-cli-\S*|AWSCLI-Session|\d+|i-[0-9a-f]+")
"""Names of sessions that tools give: other ones each time."""


def login_name() -> str:
    """Return the login name, as far as a tag can hold it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        # A container that runs as a number which has no name there.
        name = f"uid-{os.getuid()}"
    return _plain(name) or "unknown"


def owner_name(region: str, credentials: str = "") -> str:
    """Return the name of the caller in AWS, as ``anna.0a1b2c3d``; '' when STS does not say it.

    ``credentials`` is the reference by which he is the caller, '' AWS's own chain.
    """
    key = access_key(credentials)
    if not key:
        return ""
    mark = hashlib.sha256(key.encode()).hexdigest()[:16]
    known = _known()
    if mark not in known:
        arn = _asked(region, credentials)
        if not arn:
            return ""
        known[mark] = owner_of(arn)
        _keep(known)
    return known[mark]


def owner_of(arn: str) -> str:
    """Return the owner that an identity stands for: its last words, and what tells it from others.

    Of an assumed role the session counts where a person named it.
    """
    kind, _, rest = arn.partition(":assumed-role/")
    role, _, session = rest.partition("/")
    if rest:
        arn = f"{kind}:assumed-role/{role}" + ("" if _MADE_UP.fullmatch(session) else f"/{session}")
    name = _plain(re.split("[:/]", arn)[-1]) or "unknown"
    return f"{name}.{hashlib.sha256(arn.encode()).hexdigest()[:8]}"


def _asked(region: str, credentials: str) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        sts = hurried_client("sts", region, _SECONDS, credentials)
        return str(sts.get_caller_identity()["Arn"])
    except (BotoCoreError, ClientError):
        # Whatever is wrong with keys or network: EC2, which is asked next, says it as well.
        return ""


def _known() -> dict[str, str]:
    try:
        found: Any = json.loads(_path().read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(known: dict[str, str]) -> None:
    private_folder(_path().parent)
    part = _path().with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(known))
    part.replace(_path())


def _path() -> Any:
    return cache_dir() / "clusters" / "callers.json"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)[:50]
