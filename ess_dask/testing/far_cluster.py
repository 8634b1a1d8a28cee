"""A cluster as others run it: scheduler and workers that see nothing of the client's folders.

On loopback, each a process of its own with an empty home and, where the kernel permits it, a mount
namespace in which the client's folder is empty.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import field
from pathlib import Path

from ess_dask.cluster.children import die_with_parent
from ess_dask.dataclass import dataclass

_READY = re.compile(r"Scheduler at:\s+(tls://\S+)|Registered to:\s+(tls://\S+)")
_TIMEOUT = 150.0


@dataclass(slots=True)
class FarCluster:
    """A running far cluster: its scheduler's address, certificates, and processes by name.

    ``hidden`` is the folder that its machines do not see, ``python`` the interpreter they have.
    """

    address: str
    tls: Path
    folder: Path
    hidden: Path
    python: str = sys.executable
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def reservation(self) -> str:
        """Return the text of a ``reservation.json`` for this cluster."""
        return json.dumps({"id": "far", "address": self.address, "tls": str(self.tls)})

    def add_worker(self, name: str, threads: int = 1) -> None:
        """Start one more worker; returns when it has joined."""
        self.start_worker(name, threads)
        self.wait_for_worker(name)

    def start(self, workers: int) -> None:
        """Start a scheduler, by the certificates that there are, and workers (``w0`` ...)."""
        words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        scheduler = _start("scheduler", "scheduler", words, self)
        self.processes["scheduler"] = scheduler
        self.address = _wait_ready(scheduler, self.folder / "scheduler.log")
        names = [f"w{number}" for number in range(workers)]
        for name in names:
            self.start_worker(name)
        for name in names:
            self.wait_for_worker(name)

    def end(self) -> None:
        """End all processes at once: what they held in memory is lost."""
        for name in reversed(list(self.processes)):
            self.kill(name)

    def start_worker(self, name: str, threads: int = 1) -> None:
        """Start one more worker without waiting for it."""
        words = [self.address, "--name", name, "--nthreads", str(threads), "--no-dashboard"]
        words += ["--host", "127.0.0.1", "--local-directory", str(self.folder / name)]
        self.processes[name] = _start("worker", name, words, self)

    def wait_for_worker(self, name: str) -> None:
        """Return when a worker that was started has joined."""
        _wait_ready(self.processes[name], self.folder / f"{name}.log")

    def log(self, name: str) -> str:
        """Return what a process printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def kill(self, name: str) -> None:
        """End a process at once, with its children."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(10)


@contextmanager
def far_cluster(
    folder: Path, hidden: Path, workers: int = 2, python: str = sys.executable
) -> Iterator[FarCluster]:
    """Run a scheduler and ``workers`` workers (``w0``, ``w1`` ...) in ``folder``; all end with it.

    ``hidden`` (a folder that exists) is what the client has for itself; ``python`` is the machines'
    interpreter (see ``bare_python``).
    """
    from ess_dask.cluster.tls import ensure_certificates

    ensure_certificates(folder / "tls")
    with ExitStack() as stack:
        cluster = FarCluster("", folder / "tls", folder, hidden, python)
        stack.callback(cluster.end)
        cluster.start(workers)
        yield cluster


def bare_python(folder: Path) -> str:
    """Make an environment that has what this one has, but not this package; return its Python."""
    venv.create(folder, symlinks=True)
    bare = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "ess_dask" not in path.name:
            (bare / path.name).symlink_to(path)
    return str(folder / "bin" / "python")


def _start(role: str, name: str, words: list[str], cluster: FarCluster) -> subprocess.Popen[bytes]:
    folder = cluster.folder
    home = folder / f"{name}-home"
    home.mkdir(exist_ok=True)
    (home / "dask.yaml").write_text(json.dumps(_configuration(role, folder / "tls")))
    command = [cluster.python, "-m", "distributed.cli.dask_" + role, *words]
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [*_hiding(cluster.hidden), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            env={"HOME": str(home), "PATH": os.environ["PATH"], "DASK_CONFIG": str(home)},
            preexec_fn=die_with_parent,
        )


def _configuration(role: str, tls: Path) -> dict[str, object]:
    certificates = {"ca-file": str(tls / "ca.pem"), role: {"cert": str(tls / f"{role}.pem")}}
    return {
        "distributed": {
            "comm": {"require-encryption": True, "default-scheme": "tls", "tls": certificates},
            "scheduler": {"http": {"routes": []}},
            "worker": {"http": {"routes": []}},
        }
    }


def _hiding(hidden: Path) -> list[str]:
    """Return what to put before a command that is to see ``hidden`` empty; [] if not permitted."""
    script = 'mount -t tmpfs none "$1" && shift && exec "$@"'
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    words += [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    words += ["sh", "-c", script, "sh", str(hidden)]
    return words if subprocess.run([*words, "true"], capture_output=True).returncode == 0 else []


def _wait_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _TIMEOUT
    while not (found := _READY.search(log.read_text(errors="replace"))):
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"not ready: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)
    return found[1] or found[2]
