"""Where the product keeps its state; light, because every command asks."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return ``ESS_CACHE_DIR`` (default ``~/.ess``), made if missing, mode 0700.

    Holds the catalogue, the local daemon's folder and the runs. Raises ``ConfigError`` when it
    cannot be made or written.
    """
    folder = cache_path()
    _make(folder, 0o700)
    return folder


def cache_path() -> Path:
    """Return where ``cache_dir()`` is, whether it is there or not."""
    return Path(os.environ.get("ESS_CACHE_DIR") or Path.home() / ".ess").expanduser().absolute()


def work_dir() -> Path:
    """Return ``ESS_WORK_DIR`` (default ``./.conf``): database specs of the current folder.

    Not made here: only commands that write a spec make it (``make_work_dir``).
    """
    return Path(os.environ.get("ESS_WORK_DIR") or ".conf").expanduser().absolute()


def make_work_dir() -> Path:
    """Return ``work_dir()``, made if missing."""
    folder = work_dir()
    _make(folder, 0o777)
    return folder


def _make(folder: Path, mode: int) -> None:
    from ess_dask.errors import ConfigError

    try:
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
    except OSError as error:
        raise ConfigError(
            f"cannot make the state folder {folder}: {error.strerror}",
            hint="set ESS_CACHE_DIR or ESS_WORK_DIR to a folder you may write",
        ) from None
