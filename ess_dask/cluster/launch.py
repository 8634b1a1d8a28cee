"""Starting the daemon: a detached process with a small environment, and its first words."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO

from ess_dask.cluster.environment import daemon_environment
from ess_dask.cluster.options import LocalOptions
from ess_dask.cluster.state import DaemonState, state_of
from ess_dask.errors import EssError, LockedError

START_TIMEOUT = 60.0
"""Seconds a daemon has to become ready."""

LOG_LIMIT = 8 << 20
"""Bytes of log above which a new daemon begins a new file (the old one is kept as ``log.1``)."""


def launch(folder: Path, options: LocalOptions) -> DaemonState:
    """Start a daemon in ``folder``; return when its workers have joined.

    Raises ``EssError`` with the daemon's own reason, ``LockedError`` when it takes too long.
    """
    answer, child = os.pipe()
    try:
        with _open_log(folder / "log") as log:
            process = subprocess.Popen(
                _command(folder, options, child),
                pass_fds=[child],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env=daemon_environment(),
            )
        os.close(child)
        child = -1
        # The process that was started forks the daemon off and ends at once.
        process.wait()
        return _read_answer(folder, answer)
    finally:
        os.close(answer)
        if child >= 0:
            os.close(child)


def _command(folder: Path, options: LocalOptions, descriptor: int) -> list[str]:
    words = [str(folder), json.dumps(asdict(options)), str(descriptor)]
    return [sys.executable, "-P", "-m", "ess_dask.cluster.daemon", *words]


def _open_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_name("log.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def _read_answer(folder: Path, descriptor: int) -> DaemonState:
    """Read the daemon's one line: its state or why it could not start."""
    text = b""
    deadline = time.monotonic() + START_TIMEOUT
    while not text.endswith(b"\n"):
        wait = deadline - time.monotonic()
        if wait <= 0 or not select.select([descriptor], [], [], wait)[0]:
            raise LockedError(
                f"the local cluster is not ready after {START_TIMEOUT:.0f} s",
                hint=f"see {folder / 'log'}",
            )
        part = os.read(descriptor, 65536)
        if not part:
            break
        text += part
    answer = json.loads(text or b'{"error": "it ended without a word"}')
    if "error" in answer:
        raise EssError(
            f"the local cluster could not start: {answer['error']}", hint=f"see {folder / 'log'}"
        )
    return state_of(answer)
