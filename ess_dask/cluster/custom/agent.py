"""The program on a host that is reached by ssh: standard library only, none of this package.

Its text comes over ssh's standard input with a request, and its answer is the line that begins with
``ANSWER``. One request does one thing (``look``, ``start``, ``stop``). What it starts runs under a
supervisor, which is this file as well: ``python agent.py FOLDER``.

All is below ``~/.ess-dask/CLUSTER/ROLE`` (mode 0700): certificates, log, process id, scratch.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# Loaded here: between fork and exec a lock which another thread held would never be released.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

Request = dict[str, Any]
Answer = dict[str, Any]

ANSWER = "ess-agent:"
SUPERVISOR = "supervisor:"
"""How the supervisor's own lines in a log begin."""

ATTEMPTS = 5
"""Starts that may fail one after the other before a supervisor gives up."""

LIVED = 60.0
"""Seconds after which a start counts as a success."""

START_TIMEOUT = 15.0
"""Seconds a supervisor has to take its lock."""

STOP_TIMEOUT = 15.0
"""Seconds a role has to end in order."""

TAIL = 4000
"""Bytes of a log that are shown."""


def answer(request: Request) -> Answer:
    """Do what the request says; return what there is to tell."""
    actions: dict[str, Callable[[Request], Answer]] = {
        "look": look,
        "install": install,
        "start": start,
        "stop": stop,
        "log": log,
    }
    return actions[request["action"]](request)


def home_of(request: Request) -> Path:
    """Return the folder of one role of one cluster on this host."""
    return Path.home() / ".ess-dask" / str(request["cluster"]) / str(request["role"])


def look(request: Request) -> Answer:
    """Say which releases of ``request["packages"]`` this Python has; None is a missing one."""
    found: dict[str, str | None] = {"python": ".".join(str(part) for part in sys.version_info)}
    for name in request["packages"]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return {"packages": found}


def install(request: Request) -> Answer:
    """Make an environment with ``request["requirements"]`` unless it is there; name its Python."""
    folder = Path.home() / ".ess-dask" / f"env-{request['digest']}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        lines = folder.with_name(f"{folder.name}.txt")
        write(lines, request["requirements"])
        called(sys.executable, "-m", "venv", str(folder))
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-input"]
        called(str(python), "-m", "pip", "install", *options, "-r", str(lines))
        write(folder / "ready", "")
    return {"python": str(python)}


def called(*words: str) -> None:
    """Run a command; its last words become the error when it fails."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        text = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise OSError(f"{' '.join(words[1:4])} failed: {text[-TAIL:]}")


def start(request: Request) -> Answer:
    """Write the files of a role and start its supervisor, which outlives this login."""
    stop(request)
    folder = home_of(request)
    for each in (folder.parent.parent, folder.parent, folder):
        each.mkdir(mode=0o700, exist_ok=True)
    for name, text in request["files"].items():
        write(folder / name, text)
    words = [sys.executable, *request["command"]]
    if is_local(request["host"]):
        words += ["--host", request["host"]]
    write(folder / "command.json", json.dumps({"words": words, "always": request["always"]}))
    with (folder / "log").open("ab") as out:
        child = subprocess.Popen(
            [sys.executable, str(folder / "agent.py"), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd=folder,
            env=environment(folder),
        )
    deadline = time.monotonic() + START_TIMEOUT
    while child.poll() is None and not supervisor(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    # It is not waited for: it belongs to this host from now on.
    child.returncode = 0
    return {"pid": child.pid}


def environment(folder: Path) -> dict[str, str]:
    """Return the login's variables without those by which Dask can be told something else."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("DASK_")}
    kept.pop("PYTHONPATH", None)
    return kept | {"DASK_CONFIG": str(folder / "dask.json")}


def is_local(host: str) -> bool:
    """Say whether this machine can listen at ``host``: behind an address translation it cannot."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listening:
            listening.bind(address)
    except OSError:
        return False
    return True


def stop(request: Request) -> Answer:
    """End what was started for a role and remove its files; say whether anything ran."""
    folder = home_of(request)
    pid = supervisor(folder)
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT
        while supervisor(folder) and time.monotonic() < deadline:
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            # The session is the supervisor's own: what is left of it ends.
            os.killpg(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        # Not empty: another role of the cluster is on this host.
        folder.parent.rmdir()
    return {"stopped": bool(pid)}


def supervisor(folder: Path) -> int:
    """Return the process id of a folder's supervisor, 0 when none lives."""
    try:
        with (folder / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = int(lock.read().strip() or 0)
            else:
                return 0
    except (OSError, ValueError):
        return 0
    # The number may be another process' by now.
    shown = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True)
    return pid if os.fsencode(folder) in shown.stdout else 0


def log(request: Request) -> Answer:
    """Return the end of a role's log and whether its supervisor lives."""
    folder = home_of(request)
    try:
        text = (folder / "log").read_bytes()[-TAIL:].decode(errors="replace")
    except OSError:
        text = ""
    return {"log": text, "alive": bool(supervisor(folder))}


def write(path: Path, text: str) -> None:
    """Write a file that nobody else may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)


def supervise(folder: Path) -> int:
    """Keep a role's command running; end when it fails again and again, or ends in order.

    An end in order is none for what is to run ``always``: a worker ends so when its scheduler is
    lost, which may come back. Returns the exit status.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(lock, b"%d\n" % os.getpid())
    command = json.loads((folder / "command.json").read_text())
    failures = 0
    while failures < ATTEMPTS:
        if failures:
            time.sleep(0.25 * 2**failures)
        began = time.monotonic()
        status, told = run(command["words"])
        if told or (status == 0 and not command["always"]):
            return 0
        failures = 1 if time.monotonic() - began > LIVED else failures + 1
        sys.stderr.write(f"{SUPERVISOR} it ended with {status}, attempt {failures}\n")
        sys.stderr.flush()
    return 1


def run(words: list[str]) -> tuple[int, bool]:
    """Run a command to its end, a signal to end goes on to it; return its status, whether told."""
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
    told: list[int] = []

    def end(number: int, frame: object) -> None:
        told.append(number)
        child.terminate()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return child.wait(), bool(told)


def die_with_parent() -> None:
    """Ask the kernel to end this process with its parent (Linux only)."""
    if _LIBC is not None:
        _LIBC.prctl(1, signal.SIGKILL, 0, 0, 0)


def main(request: Request) -> None:
    """Answer one request on standard output, errors too."""
    try:
        found = answer(request)
    # The far end of a wire: whatever went wrong is told to who asked.
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(f"\n{ANSWER}{json.dumps(found)}\n")


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1])))
