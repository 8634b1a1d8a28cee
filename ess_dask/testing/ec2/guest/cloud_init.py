"""cloud-init: obey the user data, unmodified.

Known are cloud-config with ``bootcmd``, ``write_files`` and ``runcmd``, and scripts that begin with
``#!``; all may be compressed by gzip. What is not known is told on the console, and skipped.
"""

from __future__ import annotations

import base64
import gzip
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

_STATE = Path("/var/lib/cloud")
_OUTPUT = Path("/var/log/cloud-init-output.log")
_ENVIRONMENT = {
    # As a service of the system, without HOME.
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
_KNOWN = {"bootcmd", "write_files", "runcmd"}
_MEANS_NOTHING = {"packages", "package_update", "package_upgrade", "apt", "output"}


class Forking(Protocol):
    """What cloud-init needs of the first process."""

    def fork(self, work: Callable[[], None], done: Callable[[int], None]) -> int:
        """Run something in a process of its own."""

    def say(self, text: str) -> None:
        """Print a line onto the console."""


def start(init: Forking, instance_id: str, user_data: bytes) -> None:
    """Obey user data beside everything else that boots."""

    def over(code: int) -> None:
        init.say(f"cloud-init: done (exit {code})")

    init.fork(lambda: obey(instance_id, user_data), over)


def obey(instance_id: str, user_data: bytes) -> None:
    """Do what is due at this boot; ends with an exception when the user data are not understood."""
    instance = _STATE / "instances" / instance_id
    (instance / "scripts").mkdir(parents=True, exist_ok=True)
    (instance / "sem").mkdir(exist_ok=True)
    link = _STATE / "instance"
    link.unlink(missing_ok=True)
    link.symlink_to(instance)
    first = instance / "sem" / "once-per-instance"
    data = gzip.decompress(user_data) if user_data[:2] == b"\x1f\x8b" else user_data
    (instance / "user-data.txt").write_bytes(data)
    is_first = not first.exists()
    first.touch()
    if data.startswith(b"#cloud-config"):
        _cloud_config(instance, _parsed(data), is_first)
    elif data.startswith(b"#!"):
        if is_first:
            _script(instance / "scripts" / "part-001", data)
    elif data.strip():
        _tell(f"unhandled user data, which begins with {data[:20]!r}: not #cloud-config, not #!")
    (instance / "boot-finished").touch()


def _parsed(data: bytes) -> dict[str, Any]:
    # As cloud-init itself does: `0644` is octal, `yes` is true, and `y` is a letter.
    import yaml

    return yaml.safe_load(data) or {}


def _cloud_config(instance: Path, config: dict[str, Any], is_first: bool) -> None:
    if unknown := sorted(set(config) - _KNOWN - _MEANS_NOTHING):
        _tell(f"not simulated: {', '.join(unknown)}")
    if commands := config.get("bootcmd"):
        _script(instance / "scripts" / "bootcmd", _shell(commands))
    if not is_first:
        return
    for file in config.get("write_files") or []:
        _write(file)
    if commands := config.get("runcmd"):
        _script(instance / "scripts" / "runcmd", _shell(commands))


def _shell(commands: list[str | list[Any]]) -> bytes:
    lines = [line if isinstance(line, str) else shlex.join(map(str, line)) for line in commands]
    return "\n".join(["#!/bin/sh", *lines, ""]).encode()


def _script(path: Path, data: bytes) -> None:
    """Run a script; what it prints goes onto the console and into cloud-init's log."""
    path.write_bytes(data)
    path.chmod(0o700)
    with _OUTPUT.open("ab") as log:
        process = subprocess.Popen(
            [path],
            env=_ENVIRONMENT,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            log.flush()
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        code = process.wait()
    if code:
        _tell(f"failed to run {path.name}: exit {code}")


def _write(file: dict[str, Any]) -> None:
    content = file.get("content", "")
    data = content if isinstance(content, bytes) else str(content).encode()
    encoding = str(file.get("encoding", "text/plain")).lower()
    if encoding in {"b64", "base64"} or encoding.endswith(("+b64", "+base64")):
        data = base64.b64decode(data)
    if encoding.startswith(("gz", "gzip")):
        data = gzip.decompress(data)
    path = Path(file["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab" if file.get("append") else "wb") as out:
        out.write(data)
    mode = file.get("permissions", 0o644)
    path.chmod(mode if isinstance(mode, int) else int(str(mode), 8))
    if owner := file.get("owner"):
        user, _, group = str(owner).partition(":")
        if (user, group or "root") != ("root", "root") or os.geteuid() != 0:
            shutil.chown(path, user, group or None)


def _tell(text: str) -> None:
    print(f"cloud-init: {text}", flush=True)  # noqa: T201
