"""What a local cluster is started with: processes, threads, memory, idle time-out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ess_dask.errors import ConfigError

HOUR = 3600.0

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)?", re.I)
_SECONDS = {"s": 1.0, "m": 60.0, "h": HOUR, "d": 24 * HOUR}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.I)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How the local cluster is made.

    ``workers`` is the number of processes (1: rows are shared between threads without a copy;
    one per core pays for cleaning in pure Python). ``threads`` is per process, 0 = cores /
    processes. ``idle_timeout`` in seconds, 0 = never. ``memory_limit`` in bytes per process, 0 =
    the machine's (or container's) memory / processes.
    """

    workers: int = 1
    threads: int = 0
    idle_timeout: float = HOUR
    memory_limit: int = 0


def options_from(environ: Mapping[str, str] = os.environ) -> LocalOptions:
    """Read ``ESS_WORKERS``, ``ESS_THREADS``, ``ESS_IDLE_TIMEOUT``, ``ESS_MEMORY_LIMIT``.

    Unset or empty ones keep the default. Raises ``ConfigError`` that names the variable.
    """
    standard = LocalOptions()
    return LocalOptions(
        workers=_count(environ, "ESS_WORKERS", 1) or standard.workers,
        threads=_count(environ, "ESS_THREADS", 0) or standard.threads,
        idle_timeout=_duration(environ.get("ESS_IDLE_TIMEOUT") or "1h"),
        memory_limit=_size(environ.get("ESS_MEMORY_LIMIT") or "0"),
    )


def _count(environ: Mapping[str, str], name: str, least: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= 4096:
        raise ConfigError(
            f"{name}={text!r} is not a whole number from {least} to 4096",
            hint=f"for example {name}=2",
        )
    return int(text)


def _duration(text: str) -> float:
    if text.strip().lower() in ("never", "none"):
        return 0.0
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ConfigError(
            f"ESS_IDLE_TIMEOUT={text!r} is not a duration",
            hint="write for example 90s, 30m, 1h or never",
        )
    return float(found[1]) * _SECONDS[(found[2] or "s")[0].lower()]


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ConfigError(
            f"ESS_MEMORY_LIMIT={text!r} is not a size",
            hint="write for example 2GiB or 512MB (per worker process)",
        )
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** _POWER[found[2].lower()])
