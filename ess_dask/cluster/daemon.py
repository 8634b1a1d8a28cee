"""The detached process: ``python -m ess_dask.cluster.daemon FOLDER OPTIONS DESCRIPTOR``.

Runs a scheduler and its nannies; the workers are its children. It writes its state as one line of
JSON to DESCRIPTOR when the workers have joined, ends in order on SIGTERM or when it has held no
data and no client for the idle time, and takes its workers with it however it ends.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import platform
import shutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask._version import __version__
from ess_dask.cluster.daemon_workers import LOOPBACK, DaemonWorkers
from ess_dask.cluster.options import LocalOptions
from ess_dask.cluster.state import DaemonState, hold, this_host

if TYPE_CHECKING:
    from distributed import Scheduler
    from distributed.security import Security

CLOSE_TIMEOUT = 10.0


def main(folder: Path, options: LocalOptions, ready: int) -> None:
    """Detach, take the folder's lock and serve until told to end; does not return."""
    if os.fork():
        os._exit(0)
    os.setsid()
    umask = os.umask(0o077)
    # Commands that look at the lock hold it for microseconds: one of them must not win.
    if hold(folder, "lock", timeout=2.0) is None:
        _tell(ready, {"error": f"another daemon holds {folder}"})
        os._exit(1)
    (folder / "state.json").unlink(missing_ok=True)
    shutil.rmtree(folder / "scratch", ignore_errors=True)
    try:
        asyncio.run(_serve(folder, options, ready, umask))
    except BaseException as error:
        # The process' own boundary: whatever it was belongs into the log and to who waits.
        traceback.print_exc()
        _tell(ready, {"error": f"{type(error).__name__}: {error}"})
        _end(folder, 1)
    _end(folder, 0)


def _tell(ready: int, answer: dict[str, object]) -> None:
    # Who started us may have been killed since.
    with suppress(BrokenPipeError):
        os.write(ready, (json.dumps(answer) + "\n").encode())


def _end(folder: Path, code: int) -> None:
    """Leave at once: Dask's threads may wait for ever for peers that are gone."""
    (folder / "state.json").unlink(missing_ok=True)
    for child in multiprocessing.active_children():
        child.kill()
        child.join(5)
    sys.stderr.flush()
    os._exit(code)


async def _serve(folder: Path, options: LocalOptions, ready: int, umask: int) -> None:
    security = _configure(folder, umask)
    scheduler = await _start_scheduler(security)
    workers = DaemonWorkers(scheduler, folder, options, security)
    await workers.start(range(options.workers))
    # Before anybody can read the state: who reads it may ask for the end at once.
    told = _on_signals()
    state = workers.publish(_describe(scheduler, folder, options))
    _tell(ready, asdict(state))
    await _until_told(told, scheduler, workers, options.idle_timeout)
    (folder / "state.json").unlink(missing_ok=True)
    with suppress(TimeoutError):
        await asyncio.wait_for(_close(scheduler, workers), CLOSE_TIMEOUT)


def _configure(folder: Path, umask: int) -> Security:
    """Set Dask up the same whatever configuration files and variables the user has for it."""
    import dask
    import distributed  # noqa: F401  (registers its defaults)

    from ess_dask.cluster.tls import ensure_certificates, security

    dask.config.refresh(paths=[], env={})
    dask.config.set(
        {
            "ess.umask": umask,
            "temporary-directory": str(folder / "scratch"),
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
            "distributed.worker.preload": ["ess_dask.cluster.preload"],
            "distributed.worker.multiprocessing-method": "spawn",
            "distributed.worker.daemon": True,
        }
    )
    ensure_certificates(folder / "tls")
    return security(folder / "tls")


async def _start_scheduler(security: Security) -> Scheduler:
    from distributed import Scheduler

    scheduler = Scheduler(
        host=LOOPBACK,
        port=0,
        protocol="tls://",
        security=security,
        dashboard=False,
        dashboard_address=f"{LOOPBACK}:0",
    )
    # Its HTTP server listens as soon as it is made; mutual TLS does not cover it.
    scheduler.http_server.stop()
    await scheduler
    return scheduler


def _describe(scheduler: Scheduler, folder: Path, options: LocalOptions) -> DaemonState:
    return DaemonState(
        address=scheduler.address,
        pid=os.getpid(),
        workers=0,
        threads=0,
        memory_limit=0,
        idle_timeout=options.idle_timeout,
        started=time.time(),
        folder=str(folder),
        version=__version__,
        python=platform.python_version(),
        host=this_host(),
    )


def _on_signals() -> asyncio.Event:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


async def _until_told(
    told: asyncio.Event, scheduler: Scheduler, workers: DaemonWorkers, idle: float
) -> None:
    """Return when ``told``, after the idle time, or when scheduler or all workers have ended."""
    reasons = {
        asyncio.ensure_future(told.wait()),
        asyncio.ensure_future(scheduler.finished()),
        asyncio.ensure_future(workers.all_ended()),
    }
    if idle:
        reasons.add(asyncio.ensure_future(_until_idle(scheduler, idle)))
    await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)


async def _until_idle(scheduler: Scheduler, limit: float) -> None:
    """Return when for ``limit`` seconds no client was connected and no data was held.

    Dask's own idle time-out looks at running tasks only: it would take the tables of a user who
    is thinking.
    """
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < limit:
        await asyncio.sleep(min(1.0, limit / 4))
        if scheduler.tasks or scheduler.client_comms:
            quiet_since = time.monotonic()


async def _close(scheduler: Scheduler, workers: DaemonWorkers) -> None:
    await workers.close()
    await scheduler.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), LocalOptions(**json.loads(sys.argv[2])), int(sys.argv[3]))
