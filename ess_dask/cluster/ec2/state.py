"""What is kept here of a cluster: its certificates, region and owner, and where the credentials for
it are found, in ``~/.ess/clusters/NAME``.

Whether it runs, and where, is never kept: EC2 is asked each time. Without this folder the cluster
can still be looked at and ended; only its certificates are nowhere else. A ``create``, also with
``--add``, writes that it begins and, at its end, that it is done: the next one goes on where one
was killed.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ess_dask.cluster.state import holding, private_folder
from ess_dask.cluster.verbs import CreateRequest
from ess_dask.dataclass import dataclass
from ess_dask.folders import cache_dir


@dataclass(frozen=True, slots=True)
class Adding:
    """An unfinished ``create --add``: the mark of what it launches, what it was asked for, and when
    it began (seconds since 1970)."""

    batch: str
    wanted: str
    began: float


def folder_of(name: str) -> Path:
    """Return the folder of a cluster; it need not exist."""
    return cache_dir() / "clusters" / name


def tls_folder(name: str) -> Path:
    """Return the folder of a cluster's certificates; it need not exist."""
    return folder_of(name) / "tls"


def remembered_region(name: str) -> str:
    """Return the region where a cluster was made, '' when nothing is known of it here."""
    return str(_remembered(name).get("region", ""))


def remembered_owner(name: str) -> str:
    """Return the owner under whose tag a cluster was made, '' when that is not known here."""
    return str(_remembered(name).get("owner", ""))


def remembered_credentials(name: str) -> str:
    """Return the reference to the credentials for a cluster; '' is AWS's own chain."""
    return str(_read(_credentials_path(name)).get("credentials", ""))


def keep_credentials(name: str, reference: str) -> None:
    """Keep where the credentials for a cluster are; '' changes nothing.

    Nothing is done for a cluster of which nothing is kept here.
    """
    if reference in ("", remembered_credentials(name)):
        return
    # A file of its own: who only looks at a cluster writes beside the command that changes it.
    path = _credentials_path(name)
    part = path.with_suffix(f".{os.getpid()}.part")
    with suppress(FileNotFoundError):
        part.write_text(json.dumps({"credentials": reference}))
        part.replace(path)


def begun(name: str) -> CreateRequest | None:
    """Return what an unfinished ``create`` was to make; None when none is."""
    try:
        return CreateRequest(**_remembered(name)["making"])
    except (KeyError, TypeError):
        return None


def unfinished_add(name: str, wanted: str, seconds: float) -> str:
    """Return the mark of a ``create --add`` for the same that was killed; '' when none is.

    One that began longer ago than ``seconds`` has gone its way: the same again is one more then.
    """
    try:
        found = Adding(**_remembered(name)["adding"])
        recent = abs(time.time() - found.began) <= seconds
    except (KeyError, TypeError):
        return ""
    return found.batch if recent and found.wanted == wanted else ""


def remember(
    name: str,
    region: str,
    owner: str,
    making: CreateRequest | None = None,
    adding: Adding | None = None,
) -> None:
    """Keep where and for whom a cluster is made; the folder is made with mode 0700.

    ``making`` is what a ``create`` that has begun was asked for, ``adding`` what is added; None
    when it is done.
    """
    private_folder(folder_of(name).parent)
    folder = private_folder(folder_of(name))
    part = folder / "cluster.json.part"
    kept: dict[str, Any] = {"region": region, "owner": owner}
    kept["making"] = asdict(making) if making else None
    kept["adding"] = asdict(adding) if adding else None
    part.write_text(json.dumps(kept))
    part.replace(folder / "cluster.json")


def _remembered(name: str) -> dict[str, Any]:
    return _read(folder_of(name) / "cluster.json")


def _credentials_path(name: str) -> Path:
    return folder_of(name) / "credentials.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remembered() -> dict[str, str]:
    """Return the region of each cluster that was made here and not terminated, by name."""
    folder = cache_dir() / "clusters"
    regions = {path.name: remembered_region(path.name) for path in sorted(folder.glob("*/"))}
    return {name: region for name, region in regions.items() if region}


def forget(name: str) -> bool:
    """Remove what is kept of a cluster; say whether there was anything."""
    folder = folder_of(name)
    there = folder.exists()
    shutil.rmtree(folder, ignore_errors=True)
    return there


def changing(name: str) -> AbstractContextManager[None]:
    """Let one command at a time change a cluster; ``LockedError`` (75) names the process."""
    folder = private_folder(folder_of(name).parent)
    # Beside the folder and not inside: it stays when the folder goes.
    busy = f"is changing cluster {name}"
    return holding(folder, f"{name}.lock", 0.0, busy, "wait until that command has ended")
