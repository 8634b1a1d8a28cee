"""The kernel's calls for namespaces and mounts, which Python 3.11 does not have."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from pathlib import Path

NEW_MOUNTS = 0x00020000
NEW_HOSTNAME = 0x04000000
NEW_IPC = 0x08000000
NEW_USER = 0x10000000
NEW_PROCESSES = 0x20000000
NEW_NETWORK = 0x40000000

BIND, RECURSIVE, PRIVATE = 4096, 16384, 1 << 18

_SET_PARENT_DEATH_SIGNAL = 1
_DETACH = 2
_MOUNT_SETATTR, _HERE, _WITH_ALL_BELOW, _ATTRIBUTE_READ_ONLY = 442, -100, 0x8000, 1

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(kinds: int) -> None:
    """Give this thread (processes: its children) new namespaces of these kinds."""
    _checked(_libc.unshare(kinds), "unshare")


def join(descriptor: int, kind: int = 0) -> None:
    """Put this thread into the namespace of an open ``/proc/PID/ns/...``."""
    _checked(_libc.setns(descriptor, kind), "setns")


def die_with_parent(sign: int = signal.SIGKILL) -> None:
    """Have this process killed when the thread that started it ends."""
    _checked(_libc.prctl(_SET_PARENT_DEATH_SIGNAL, int(sign), 0, 0, 0), "prctl")


def mount(source: str, target: Path | str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount; raises ``OSError`` that names the target."""
    # mount(2) is variadic for nobody, but its flags are a C long.
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _checked(result, f"mount {kind or 'bind'} {target}")


def unmount(target: Path | str) -> None:
    """Take a mount away as soon as nobody uses it."""
    _checked(_libc.umount2(os.fsencode(target), _DETACH), f"umount {target}")


def bind(source: Path | str, target: Path | str) -> None:
    """Show a folder or file, with what is mounted below it, at another place."""
    mount(str(source), target, flags=BIND | RECURSIVE)


def make_read_only(target: Path | str) -> None:
    """Forbid writing to a mount and to all that is mounted below it."""
    attributes = struct.pack("QQQQ", _ATTRIBUTE_READ_ONLY, 0, 0, 0)
    result = _libc.syscall(
        _MOUNT_SETATTR, _HERE, os.fsencode(target), _WITH_ALL_BELOW, attributes, len(attributes)
    )
    _checked(result, f"making {target} read-only")


def change_root(new: Path | str) -> None:
    """Make a folder that is a mount the root of this mount namespace; the old one goes away."""
    os.chdir(new)
    _checked(_libc.pivot_root(b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", _DETACH), "umount of the old root")
    os.chdir("/")


def set_hostname(name: str) -> None:
    """Name the machine, in a hostname namespace of its own."""
    data = name.encode()
    _checked(_libc.sethostname(data, len(data)), "sethostname")


def namespace_of(kind: str, process: int | str = "self") -> str:
    """Return which namespace a process is in: ``net:[4026531840]``."""
    return str(Path(f"/proc/{process}/ns/{kind}").readlink())
