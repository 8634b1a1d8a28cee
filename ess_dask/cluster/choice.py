"""Which kind of cluster the user has chosen with ``ess cluster set``."""

from __future__ import annotations

import json

from ess_dask.errors import ConfigError
from ess_dask.folders import cache_dir

KINDS = ("local",)


def chosen() -> str:
    """Return the chosen kind of cluster; ``local`` when none was chosen."""
    path = cache_dir() / "cluster.json"
    try:
        kind = json.loads(path.read_bytes())["kind"]
    except FileNotFoundError:
        return KINDS[0]
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{path}:1:1: not readable", hint="ess cluster set local") from None
    if kind not in KINDS:
        raise ConfigError(
            f"{path}:1:1: cluster kind {kind!r} is not known", hint="ess cluster set local"
        )
    return str(kind)


def choose(kind: str) -> None:
    """Remember ``kind`` for the commands that follow."""
    part = cache_dir() / "cluster.json.part"
    part.write_text(json.dumps({"kind": kind}))
    part.replace(cache_dir() / "cluster.json")
