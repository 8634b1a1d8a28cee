"""A local cluster of a test's own, and what the kernel says of its processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ess_dask.cluster.state import alive, holder


@contextmanager
def private_cluster(home: Path) -> Iterator[Path]:
    """Point ``HOME``, ``ESS_CACHE_DIR`` and ``ESS_WORK_DIR`` into ``home`` while the block runs.

    Yields the folder of the daemon that commands and calls inside will start. At the end, also
    after a failure, that daemon is killed with its workers; a process of it that is left after half
    a minute is an ``AssertionError``.
    """
    folder = home / "ess" / "daemon"
    ours = {"HOME": home, "ESS_CACHE_DIR": home / "ess", "ESS_WORK_DIR": home / "conf"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update({name: str(path) for name, path in ours.items()})
    try:
        yield folder
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
        end_cluster(folder)


def session_processes(session: int) -> list[int]:
    """Return the living processes (no zombies) of a session: a daemon and all it started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, own_session, *_ = stat.read_text().rpartition(")")[2].split()
            if int(own_session) == session and state not in ("Z", "X"):
                found.append(int(stat.parent.name))
    return sorted(found)


def listening_ports(session: int) -> list[tuple[str, int]]:
    """Return every TCP port on which a process of a session listens, with its address (hex)."""
    sockets = set()
    for process in session_processes(session):
        for link in Path(f"/proc/{process}/fd").iterdir():
            # Descriptors come and go while we look.
            with suppress(OSError):
                target = str(link.readlink())
                if target.startswith("socket:"):
                    sockets.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                address, port = fields[1].split(":")
                found.append((address, int(port, 16)))
    return found


def wait_until(condition: Callable[[], object], timeout: float = 30.0) -> bool:
    """Look every 20 ms until ``condition`` holds; say whether it did in ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end_cluster(folder: Path) -> None:
    """Kill the daemon of ``folder``, if there is one, with its workers; see ``private_cluster``."""
    daemon = holder(folder, "lock")
    if alive(folder) and daemon.isdigit():
        with suppress(ProcessLookupError):
            os.kill(int(daemon), signal.SIGKILL)
    if daemon.isdigit() and not wait_until(lambda: not session_processes(int(daemon))):
        left = session_processes(int(daemon))
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        raise AssertionError(f"processes of the local cluster were left: {left}")
