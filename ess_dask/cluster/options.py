"""What a local cluster is started with: processes, threads, memory, idle time-out."""

from __future__ import annotations

from ess_dask.dataclass import dataclass

HOUR = 3600.0


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


def options_from_settings(**flags: str) -> LocalOptions:
    """Return the settings in force: ``ESS_WORKERS``, ``ESS_THREADS``, ... or the profile's.

    ``flags`` are settings by name that were given on the command line; '' was not. Raises
    ``ConfigError`` that names a bad value's place.
    """
    from ess_dask.settings import load_settings

    settings = load_settings({name: value or None for name, value in flags.items()})
    return LocalOptions(
        settings.workers, settings.threads, settings.idle_timeout, settings.memory_limit
    )
