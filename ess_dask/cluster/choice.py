"""Which kind of cluster is in force: setting ``cluster``, else ``ess cluster set``, else local."""

from __future__ import annotations

import json

from ess_dask.errors import ConfigError
from ess_dask.folders import cache_dir, cache_path

KINDS = ("local", "ec2", "custom")
"""The kinds that are built."""


def chosen(kind: str = "") -> str:
    """Return the kind in force; ``kind`` is that of settings which are known already ('' is not).

    Raises ``ConfigError`` when the remembered choice cannot be read.
    """
    from ess_dask.settings import load_settings

    return kind or load_settings().cluster or remembered()


def remembered() -> str:
    """Return the kind that ``ess cluster set`` chose; ``local`` when none was chosen."""
    path = cache_path() / "cluster.json"
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
