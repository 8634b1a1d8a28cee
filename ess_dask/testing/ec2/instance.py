"""``python -m ess_dask.testing.ec2.instance``: the machine that a guest runs on.

It lives in the network of the thread that started it, makes all other namespaces and the disk,
starts process 1 in it, presses its power button on SIGTERM, and ends with its status.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ess_dask.testing.ec2 import kernel, rootfs

IMAGE = "run/image"
"""Where a guest finds what container images are made of: this machine's system, unchanged."""

_KINDS = kernel.NEW_MOUNTS | kernel.NEW_PROCESSES | kernel.NEW_HOSTNAME | kernel.NEW_IPC

_ENVIRONMENT = {
    "HOME": "/root",
    "USER": "root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}


def main(spec: dict[str, Any]) -> int:
    """Run the machine until its guest is off; return the guest's status."""
    kernel.unshare(_KINDS)
    guest = os.fork()
    if guest == 0:
        os._exit(_guest(spec))
    os.write(spec["news"], f"{guest}\n".encode())
    os.close(spec["news"])
    signal.signal(signal.SIGTERM, lambda *_: os.kill(guest, signal.SIGTERM))
    code = os.waitstatus_to_exitcode(os.waitpid(guest, 0)[1])
    return code if code >= 0 else 128 - code


def _guest(spec: dict[str, Any]) -> int:
    """Be process 1: make the disk, move in, and stay."""
    from ess_dask.testing.ec2.guest import init

    kernel.die_with_parent()
    # Until it listens to its power button, the first process of a namespace ignores it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
    _move_in(spec)
    kernel.set_hostname(f"ip-{spec['private'].replace('.', '-')}")
    user_data = Path("/run/user-data").read_bytes()
    os.environ.clear()
    os.environ.update(_ENVIRONMENT)
    return init.run(spec["instance_id"], user_data, spec["news"], spec["minute"])


def _move_in(spec: dict[str, Any]) -> None:
    disk = Path(spec["disk"])
    root, visible = disk / "root", tuple(spec["visible"])
    rootfs.build(rootfs.Disk(root, Path("/"), disk / "changes", visible, spec["shims"]))
    name = f"ip-{spec['private'].replace('.', '-')}"
    hosts = f"127.0.0.1 localhost\n{spec['private']} {name} {name}.ec2.internal\n"
    files = {
        "etc/hosts": hosts,
        "etc/hostname": f"{name}\n",
        "etc/resolv.conf": "",
        "etc/machine-id": spec["instance_id"].removeprefix("i-").ljust(32, "0")[:32] + "\n",
    }
    rootfs.write(root, files.items())
    _offer_image(root, visible)
    (root / "run/user-data").write_bytes((disk / "user-data").read_bytes())
    kernel.mount("proc", root / "proc", "proc")
    kernel.change_root(root)


def _offer_image(root: Path, visible: tuple[str, ...]) -> None:
    """Bind what images are made of: the system as it is, without what this instance changes."""
    for name in (*rootfs.SYSTEM, "dev", "sys"):
        # The devices are no part of an image, but a container gets the same ones.
        source = Path("/", name)
        target = root / IMAGE / name
        if source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.readlink())
        elif source.is_dir():
            rootfs.bind_read_only(source, target)
    for path in visible:
        rootfs.bind_read_only(Path(path), root / IMAGE / path.lstrip("/"))


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
