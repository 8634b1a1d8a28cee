"""The room in which the stand-in lives: without a way out, and gone with its first process.

The network has no interface but its own loopback until the stand-in adds its bridge, and never a
route to the outside. ``require_private`` is the lock on the door: moto hands out public addresses
of real machines, so nothing may start where one of them could be reached.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from ess_dask.errors import UsageError
from ess_dask.testing.ec2 import kernel

OURS = ("lo", "br0", "ve")
"""How the names of the interfaces begin that may exist in the stand-in's network."""

_KINDS = kernel.NEW_NETWORK | kernel.NEW_PROCESSES | kernel.NEW_IPC
_PROBE_SECONDS = 20.0


def run_inside(work: Callable[[str], int], started: Callable[[int], None] = lambda _: None) -> int:
    """Run ``work(outer network)`` in new namespaces; return its status (128 + n after a signal).

    ``started`` is told, outside, the first process of the namespaces. This process has to have one
    thread. All that ``work`` leaves running is killed at its end, and also when this process dies,
    however it dies.
    """
    outside = kernel.namespace_of("net")
    try:
        _unshare()
    except OSError as error:
        raise UsageError(
            f"the EC2 stand-in cannot make its private namespaces ({error})", hint=_HINT
        ) from error
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        _first_process(work, outside, read)
    os.close(read)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda sign, _: _signal(child, sign))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    started(child)
    return _status(os.waitpid(child, 0)[1])


def require_private(outside: str) -> None:
    """Refuse to go on unless this network is our own and leads nowhere.

    ``outside`` is the network namespace that this one was made from. Raises ``UsageError``.
    """
    reasons = []
    if not outside or kernel.namespace_of("net") == outside:
        reasons.append("this is not a network namespace of its own")
    foreign = [name for name in interfaces() if not name.startswith(OURS)]
    if foreign:
        reasons.append(f"there are network interfaces that are not the stand-in's: {foreign}")
    if leads_outside():
        reasons.append("there is a default route")
    if reasons:
        raise UsageError(
            f"the EC2 stand-in does not run here: {'; '.join(reasons)}",
            hint="start it with `python -m ess_dask.testing.ec2`, which makes a private network",
        )


def interfaces() -> list[str]:
    """Return the names of all network interfaces of this process's network."""
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
    return [line.partition(":")[0].strip() for line in lines]


def leads_outside() -> bool:
    """Return whether a default route exists, of IPv4 or IPv6."""
    four = Path("/proc/thread-self/net/route").read_text().splitlines()[1:]
    if any(line.split()[1] == "00000000" and line.split()[7] == "00000000" for line in four):
        return True
    six = Path("/proc/thread-self/net/ipv6_route")
    lines = six.read_text().splitlines() if six.exists() else []
    # The kernel keeps an entry of its own on loopback that rejects everything.
    return any(
        set(line.split()[0]) == {"0"} and line.split()[1] == "00" and line.split()[-1] != "lo"
        for line in lines
    )


@functools.cache
def unavailable() -> str:
    """Return why the stand-in cannot run on this machine, or ''. It tries, once."""
    return _find_out()


_HINT = "namespaces have to be permitted: run as root, or allow unprivileged user namespaces"


def _find_out() -> str:
    if not sys.platform.startswith("linux"):
        return f"needs Linux, not {sys.platform}"
    missing = [name for name in ("boto3", "moto", "pyroute2") if find_spec(name) is None]
    if missing:
        return f"needs the extra `standin`: {', '.join(missing)} is not installed"
    try:
        probe = subprocess.run(
            [sys.executable, "-m", "ess_dask.testing.ec2.probe"],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"the attempt to make namespaces did not end within {_PROBE_SECONDS:g} s"
    if probe.returncode == 0:
        return ""
    last = (probe.stderr.strip() or f"exit {probe.returncode}").splitlines()[0]
    return last.removeprefix("error: ")


def _unshare() -> None:
    """Make the namespaces; without the rights of root, by way of a user namespace."""
    user, group = os.geteuid(), os.getegid()
    try:
        kernel.unshare(_KINDS)
        return
    except PermissionError:
        pass
    kernel.unshare(_KINDS | kernel.NEW_USER)
    me = Path("/proc/self")
    (me / "setgroups").write_text("deny")
    (me / "uid_map").write_text(f"0 {user} 1")
    (me / "gid_map").write_text(f"0 {group} 1")


def _first_process(work: Callable[[str], int], outside: str, parent: int) -> None:
    """Be process 1 of the new namespace: mount, start the work, bury the dead, end with it."""
    kernel.die_with_parent()
    os.set_blocking(parent, False)
    try:
        gone = os.read(parent, 1) == b""
    except BlockingIOError:
        gone = False
    if gone:
        os._exit(1)
    os.close(parent)
    # Not before: what is mounted must not keep our parent, outside, from removing folders.
    kernel.unshare(kernel.NEW_MOUNTS)
    kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
    kernel.mount("proc", "/proc", "proc")
    child = os.fork()
    if child == 0:
        os._exit(_guarded(work, outside))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda sign, _: _signal(child, sign))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        process, status = os.wait()
        if process == child:
            os._exit(_status(status))


def _guarded(work: Callable[[str], int], outside: str) -> int:
    """Run the work in a process that ends without the exit handlers of its parent."""
    try:
        status = work(outside)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        status = error.exit_code
    except KeyboardInterrupt:
        status = 130
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _signal(process: int, number: int) -> None:
    os.kill(process, number)


def _status(status: int) -> int:
    """Return an exit status as a shell does: 128 + n for signal n."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
