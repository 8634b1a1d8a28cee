"""The local cluster as commands and the Python API see it.

One daemon per ``ESS_CACHE_DIR`` and user: a scheduler and its workers on this machine, reachable
through loopback with mutual TLS only. Starting, stopping and asking import no Dask; ``connect``
does.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.cluster.endpoint import Endpoint
from ess_dask.cluster.process import gone, send, session_memory
from ess_dask.cluster.state import (
    STOPPED,
    DaemonState,
    check_compatible,
    daemon_folder,
    private_folder,
    read_state,
    running,
    starting,
    write_state,
)
from ess_dask.dataclass import dataclass
from ess_dask.errors import LockedError

if TYPE_CHECKING:
    from distributed import Client, Nanny

    from ess_dask.cluster.options import LocalOptions


@dataclass(frozen=True, slots=True)
class LocalStatus:
    """What ``ess cluster status`` shows; ``memory`` (bytes, resident) and ``uptime`` (seconds)."""

    state: str
    address: str = ""
    pid: int = 0
    workers: int = 0
    threads: int = 0
    memory: int = 0
    uptime: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkerMemory:
    """One worker process: ``used`` (resident), ``limit`` and ``spilled`` are bytes."""

    name: str
    pid: int
    used: int
    limit: int
    spilled: int


def attach() -> DaemonState | None:
    """Return the running daemon, None when there is none.

    Raises ``ConfigError`` when it is of another release or Python than this process.
    """
    found = find()
    return None if found is None else check_compatible(found)


def find() -> DaemonState | None:
    """Return the running daemon whatever its release: enough to show or to stop it."""
    folder = daemon_folder()
    return running(private_folder(folder)) if folder.exists() else None


def start(options: LocalOptions | None = None) -> DaemonState:
    """Start the daemon, or return the one that runs already (its options stay).

    ``options`` None means the settings in force. Returns when the workers have joined.
    """
    # Most commands only look whether there is a daemon: these two modules are for starting one.
    from ess_dask.cluster.launch import launch
    from ess_dask.cluster.options import options_from_settings

    options = options or options_from_settings()
    folder = private_folder(daemon_folder())
    with starting(folder):
        found = running(folder)
        if found:
            return check_compatible(found)
        state = launch(folder, options)
        (folder / STOPPED).unlink(missing_ok=True)
        return state


def ensure_started(say: Callable[[str], None]) -> DaemonState:
    """Return the running daemon; start it when there is none, and ``say`` so in one line."""
    found = attach()
    if found:
        return found
    state = start()
    say(
        f"started the local cluster: {state.workers} x {state.threads} threads, "
        f"pid {state.pid}; stop it with: ess udbd stop"
    )
    return state


def stop(timeout: float = 20.0) -> DaemonState | None:
    """Stop the daemon and its workers; return what was stopped, None when none ran.

    Asks first; after ``timeout`` seconds kills the daemon's process group. See ``stopped``.
    """
    state = find()
    if state is None:
        return None
    # A full disk must not keep it from being stopped: the next one has what the settings say then.
    with suppress(OSError):
        write_state(state, STOPPED)
    for number in (signal.SIGTERM, signal.SIGKILL):
        send(state, number)
        if gone(state.path, timeout):
            return state
    raise LockedError(
        f"the local cluster (pid {state.pid}) does not end", hint=f"see {state.path / 'log'}"
    )


def stopped() -> DaemonState | None:
    """Return the daemon that was stopped last; None when nothing is known, or one ran since."""
    return read_state(daemon_folder(), STOPPED)


def status() -> LocalStatus:
    """Describe the daemon without connecting to it."""
    state = find()
    if state is None:
        return LocalStatus("stopped")
    return LocalStatus(
        state="running",
        address=state.address,
        pid=state.pid,
        workers=state.workers,
        threads=state.threads,
        memory=session_memory(state.pid),
        uptime=max(0.0, time.time() - state.started),
    )


def connect(state: DaemonState, timeout: float = 15.0) -> Client:
    """Return a Dask client of ``state``; mutual TLS, at most ``timeout`` seconds.

    It is not made the process' default client. Raises ``TransientError`` when the daemon does
    not answer.
    """
    from ess_dask.cluster.machines import connect

    return connect(_endpoint(check_compatible(state)), timeout)


def endpoint() -> Endpoint | None:
    """Return where the running daemon is reached; see ``attach``."""
    found = attach()
    return None if found is None else _endpoint(found)


def ensure_endpoint(say: Callable[[str], None]) -> Endpoint:
    """Return where the daemon is reached; see ``ensure_started``."""
    return _endpoint(ensure_started(say))


def _endpoint(state: DaemonState) -> Endpoint:
    advice = f"ess udbd restart; its log is {state.path / 'log'}"
    return Endpoint("local", "local", state.address, state.path / "tls", False, advice)


def worker_memory(state: DaemonState) -> list[WorkerMemory]:
    """Ask the daemon for the memory of each worker process, by name."""
    with connect(state) as client:
        # Asked of the nannies: a worker in a long computation might not answer.
        pids = client.run(_worker_pid, nanny=True, on_error="ignore")
        workers = client.scheduler_info(n_workers=-1)["workers"]
    found = [
        WorkerMemory(
            name=str(worker["name"]),
            pid=pids[address],
            used=int(worker["metrics"]["memory"]),
            limit=int(worker["memory_limit"]),
            spilled=int(worker["metrics"]["spilled_bytes"]["disk"]),
        )
        for address, worker in workers.items()
        if address in pids
    ]
    return sorted(found, key=lambda worker: int(worker.name))


def memory_lines() -> list[str] | None:
    """Describe the memory of each worker process, None when no daemon runs."""
    state = attach()
    if state is None:
        return None
    return [
        f"worker {worker.name} ({worker.pid}): {worker.used // 1024} kB used, "
        f"{worker.spilled // 1024} kB spilled, limit {worker.limit // 1024} kB."
        for worker in worker_memory(state)
    ]


def _worker_pid(dask_worker: Nanny) -> int:
    # Dask passes the nanny under this name.
    return int(dask_worker.pid or 0)


def log_tail(lines: int) -> str:
    """Return the last ``lines`` lines of the daemon's log; '' when there is none."""
    return _tail(daemon_folder() / "log", lines)


def _tail(path: Path, lines: int) -> str:
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 4096 * max(1, lines)))
            text = log.read().decode(errors="replace")
    except OSError:
        return ""
    return "".join(text.splitlines(keepends=True)[-lines:])
