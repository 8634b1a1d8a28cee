"""``docker`` of an instance: a container is a process with a root of its own.

Two kinds of image exist. ``python:3.X[-slim...]`` is the official one: Python, pip, and no package.
Any other name has the whole environment of this machine, as an image of ours would. Containers
live in the network of the instance (``--net=host``); they see its files only through ``-v``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import NoReturn

from ess_dask.dataclass import dataclass
from ess_dask.testing.ec2 import kernel, rootfs
from ess_dask.testing.ec2.guest import python_image
from ess_dask.testing.ec2.instance import IMAGE

CONTAINERS = Path("/var/lib/docker/containers")
LOGS = Path("/var/lib/docker/logs")

_VALUED = {
    "-e", "--env", "-v", "--volume", "-w", "--workdir", "--entrypoint", "--name", "--env-file",
    "--net", "--network", "--mount", "--restart", "--ulimit",
}  # fmt: skip
_MEANS_NOTHING_VALUED = {
    "-u", "--user", "--shm-size", "--log-driver", "--log-opt", "-m", "--memory",
    "--cpus", "--label", "-l", "--hostname", "-h", "--pull", "--stop-timeout", "--ipc", "--cap-add",
    "--cap-drop", "--security-opt", "--oom-score-adj", "-p", "--publish", "--gpus", "--tmpfs",
}  # fmt: skip
_OPEN_FILES = "nofile=1024:524288"
"""What a container gets where nobody says otherwise."""

_SWITCHES = {"--rm", "-d", "--detach", "-i", "-t", "-it", "-ti", "--init", "--privileged"}
_SWITCHES |= {"--read-only", "--quiet", "-q", "--interactive", "--tty"}


class DockerError(Exception):
    """What docker prints and ends with 125 for."""


@dataclass(slots=True)
class Options:
    """What was asked for with ``docker run``."""

    image: str = ""
    command: list[str] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)
    switches: set[str] = field(default_factory=set)

    def last(self, *names: str) -> str:
        """Return the last value of an option, or ''."""
        found = [value for name in names for value in self.values.get(name, [])]
        return found[-1] if found else ""

    def all(self, *names: str) -> list[str]:
        """Return all values of an option."""
        return [value for name in names for value in self.values.get(name, [])]


def main(arguments: list[str]) -> int:
    """Run a docker command; return its exit code."""
    verb, *words = arguments or ["help"]
    try:
        if verb == "run":
            return run(parse(words))
        if verb not in _VERBS:
            raise DockerError(f"the stand-in does not know `docker {verb}`")
        return _VERBS[verb](words)
    except DockerError as error:
        print(f"docker: {error}", file=sys.stderr)  # noqa: T201
        return 125


def parse(words: list[str]) -> Options:
    """Parse the words after ``docker run``; raises ``DockerError`` for what is not simulated."""
    options = Options()
    rest = list(words)
    while rest and rest[0].startswith("-"):
        name, equals, value = rest.pop(0).partition("=")
        if name in _VALUED | _MEANS_NOTHING_VALUED:
            if not equals and not rest:
                raise DockerError(f"flag needs an argument: {name}")
            options.values.setdefault(name, []).append(value if equals else rest.pop(0))
        elif name in _SWITCHES:
            options.switches.add(name)
        else:
            raise DockerError(f"the stand-in does not know the option {name}")
    if not rest:
        raise DockerError('"docker run" requires at least 1 argument: the image')
    options.image, *options.command = rest
    network = options.last("--net", "--network")
    if network != "host":
        raise DockerError(
            f"the stand-in knows --net=host only, not {network or 'a network of the container'}"
        )
    if options.all("--mount") or options.last("--restart") not in {"", "no"}:
        raise DockerError("the stand-in does not know --mount and --restart: use -v, and a unit")
    python_image.check(options.image, DockerError)
    return options


def run(options: Options) -> int:
    """Run a container; return its exit code, at once (0) with ``-d``."""
    name = options.last("--name") or f"container-{os.getpid()}-{time.monotonic_ns() % 10**6}"
    record = CONTAINERS / name
    record.parent.mkdir(parents=True, exist_ok=True)
    try:
        record.touch(exist_ok=False)
    except FileExistsError:
        raise DockerError(
            f'Error response from daemon: Conflict. The container name "/{name}" is already in use.'
        ) from None
    if not {"-d", "--detach"} & options.switches:
        return _keep(options, record, lambda: None)
    read, write = os.pipe()
    if os.fork() == 0:
        _detach(record)
        os._exit(_keep(options, record, lambda: os.close(write)))
    os.close(write)
    os.read(read, 1)
    print(name)  # noqa: T201
    return 0


def _detach(record: Path) -> None:
    """Leave the terminal: what the container prints goes into a file, for ``docker logs``."""
    os.setsid()
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / record.name).open("wb") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)


def _keep(options: Options, record: Path, started: Callable[[], None]) -> int:
    """Start the container's process, pass signals on, and write down how it ended."""
    child = os.fork()
    if child == 0:
        _contain(options)
    _note(record, child, options, None)
    started()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda sign, _: _kill(child, sign))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = code if code >= 0 else 128 - code
    if "--rm" in options.switches:
        record.unlink(missing_ok=True)
    elif record.exists():
        _note(record, 0, options, code)
    return code


def _note(record: Path, process: int, options: Options, code: int | None) -> None:
    about = {"pid": process, "image": options.image, "boot": _boot(), "exit": code}
    about["rm"] = "--rm" in options.switches
    record.write_text(json.dumps(about))


def _contain(options: Options) -> NoReturn:
    """Become the container's process."""
    # A container is a child of the daemon: it is not part of the unit that started it.
    os.setsid()
    environment = _environment(options)
    try:
        _limit_files([_OPEN_FILES, *options.all("--ulimit")])
        _enter(options)
        folder = options.last("-w", "--workdir") or "/"
        Path(folder).mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        entry = options.last("--entrypoint")
        command = [entry, *options.command] if entry else options.command
        command = command or python_image.usual_command(options.image)
        os.execvpe(command[0], command, environment)  # noqa: S606 - no shell asked for
    except FileNotFoundError as error:
        print(f"docker: {error.filename}: not found in the image", file=sys.stderr)  # noqa: T201
        os._exit(127)
    except BaseException as error:
        print(f"docker: {error}", file=sys.stderr)  # noqa: T201
        os._exit(125)


def _limit_files(limits: list[str]) -> None:
    """Set ``nofile=SOFT[:HARD]`` as far as this machine lets us; other limits mean nothing."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in limits:
        name, _, values = limit.partition("=")
        if name == "nofile":
            soft, _, hard = values.partition(":")
            found = (min(int(soft), most), min(int(hard or soft), most))
            resource.setrlimit(resource.RLIMIT_NOFILE, found)


def _enter(options: Options) -> None:
    """Move into a root made of the image, with the folders that ``-v`` asks for."""
    kernel.unshare(kernel.NEW_MOUNTS)
    kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
    work = Path("/run/containers") / str(os.getpid())
    work.mkdir(parents=True)
    kernel.mount("tmpfs", work, "tmpfs")
    root, source = work / "root", Path("/", IMAGE)
    rootfs.build(rootfs.Disk(root, source, work / "changes", rootfs.interpreter_paths()))
    for name in ("etc/hosts", "etc/hostname", "etc/resolv.conf"):
        rootfs.write(root, [(name, Path("/", name).read_text())])
    kernel.bind("/proc", root / "proc")
    python_image.furnish(options.image, root)
    for volume in options.all("-v", "--volume"):
        _mount_volume(volume, root)
    kernel.change_root(root)


def _mount_volume(volume: str, root: Path) -> None:
    here, there, *how = volume.split(":")
    source, target = Path(here), root / there.lstrip("/")
    if not here.startswith("/"):
        source = Path("/var/lib/docker/volumes", here)
    if not source.exists():
        source.mkdir(parents=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    kernel.bind(source, target)
    if "ro" in ",".join(how).split(","):
        kernel.make_read_only(target)


def _environment(options: Options) -> dict[str, str]:
    """Return what a container's process sees: of the client's environment, only what is named."""
    found = {"PATH": python_image.search_path(options.image), "HOME": "/root"}
    found["HOSTNAME"] = os.uname().nodename
    lines = [
        line
        for path in options.all("--env-file")
        for line in Path(path).read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    for pair in [*lines, *options.all("-e", "--env")]:
        name, equals, value = pair.partition("=")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def _records(words: list[str]) -> list[Path]:
    return [CONTAINERS / word for word in words if not word.startswith("-")]


def _process(record: Path) -> int:
    """Return the process of a container that runs, else 0."""
    about = json.loads(record.read_text() or "{}")
    return int(about.get("pid", 0)) if about.get("boot") == _boot() else 0


def _stop(words: list[str]) -> int:
    """Stop containers: SIGTERM, after ten seconds SIGKILL."""
    return _end(words, signal.SIGTERM)


def _kill_them(words: list[str]) -> int:
    return _end(words, signal.SIGKILL)


def _end(words: list[str], number: signal.Signals) -> int:
    status = 0
    for record in _records(words):
        if not record.exists():
            print(f"Error: No such container: {record.name}", file=sys.stderr)  # noqa: T201
            status = 1
            continue
        process = _process(record)
        _kill(process, number)
        end = time.monotonic() + 10
        while process and Path(f"/proc/{process}").exists():
            if time.monotonic() > end:
                _kill(process, signal.SIGKILL)
            time.sleep(0.02)
        print(record.name)  # noqa: T201
    return status


def _remove(words: list[str]) -> int:
    status = 0
    for record in _records(words):
        if not record.exists():
            print(f"Error: No such container: {record.name}", file=sys.stderr)  # noqa: T201
            status = 1
        elif _process(record) and not {"-f", "--force"} & set(words):
            print(f"Error: {record.name} is running", file=sys.stderr)  # noqa: T201
            status = 1
        else:
            if _process(record):
                _end([record.name], signal.SIGKILL)
            record.unlink(missing_ok=True)
            print(record.name)  # noqa: T201
    return status


def _pull(words: list[str]) -> int:
    for image in (word for word in words if not word.startswith("-")):
        python_image.check(image, DockerError)
        print(f"{image}: the stand-in has it", flush=True)  # noqa: T201
    return 0


def _list(words: list[str]) -> int:
    for record in sorted(CONTAINERS.glob("*")):
        about = json.loads(record.read_text() or "{}")
        if _process(record) or "-a" in words:
            state = "Up" if _process(record) else f"Exited ({about.get('exit')})"
            print(record.name, about.get("image"), state, sep="\t")  # noqa: T201
    return 0


def _logs(words: list[str]) -> int:
    for word in words:
        if (LOGS / word).exists():
            sys.stdout.write((LOGS / word).read_text(errors="replace"))
    return 0


def _version(_: list[str]) -> int:
    print("Docker version 0 (stand-in)")  # noqa: T201
    return 0


def _kill(process: int, number: int) -> None:
    if process:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def _boot() -> str:
    """Return what changes when the instance is started again."""
    stat = Path("/proc/1/stat").read_text()
    return re.split(r"\) ", stat)[1].split()[19]


_VERBS: dict[str, Callable[[list[str]], int]] = {
    "pull": _pull, "stop": _stop, "kill": _kill_them, "rm": _remove, "ps": _list, "logs": _logs,
    "version": _version, "--version": _version, "info": _version, "login": lambda _: 0,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
