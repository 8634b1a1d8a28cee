"""The daemon as the operating system sees it: is it that process, how big is it, end it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from ess_dask.cluster.state import POLL, DaemonState, alive


def send(state: DaemonState, number: signal.Signals) -> None:
    """Send a signal to the daemon, SIGKILL to its workers too; nothing when it has ended."""
    # The lock says that a daemon lives, its command line that this number still is it.
    with suppress(ProcessLookupError):
        if not _is_daemon(state):
            return
        if number == signal.SIGKILL:
            os.killpg(state.pid, number)
        else:
            os.kill(state.pid, number)


def _is_daemon(state: DaemonState) -> bool:
    command = Path(f"/proc/{state.pid}/cmdline")
    if not Path("/proc/self/cmdline").exists():
        return alive(state.path)
    try:
        words = command.read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(state.folder) in words and alive(state.path)


def gone(folder: Path, timeout: float) -> bool:
    """Wait up to ``timeout`` seconds for the daemon of ``folder`` to end; say whether it has."""
    deadline = time.monotonic() + timeout
    while alive(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def session_memory(session: int) -> int:
    """Return the resident bytes of all processes of one session; 0 where /proc is absent."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # A process may end between the listing and the reading.
        with suppress(OSError, ValueError, IndexError):
            # The name in brackets may hold blanks: count from the last bracket.
            if int(stat.read_text().rpartition(")")[2].split()[3]) == session:
                total += int(stat.with_name("statm").read_text().split()[1]) * page
    return total
