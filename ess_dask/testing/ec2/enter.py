"""``python -m ess_dask.testing.ec2.enter``: run a command in a stand-in, or on an instance of it.

    enter --process PID [--environment FILE] -- COMMAND...     inside the stand-in of this process
    enter --instance ID --folder FOLDER -- COMMAND...          from inside: on an instance

The command gets the standard streams and the signals of this process; it dies with it and ends as
it ends.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import NoReturn

from ess_dask.testing.ec2 import kernel

_KINDS = ("user", "pid", "net", "ipc", "uts", "mnt")
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
_GUEST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def main(arguments: list[str]) -> int:
    """Enter what the arguments name and run the command there; return its status."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    command = arguments[cut + 1 :] or ["/bin/sh"]
    options = _parser().parse_args(arguments[:cut])
    folder = os.getcwd()  # noqa: PTH109 - a path to find again, not to look at
    if options.environment:
        os.environ.update(_exported(Path(options.environment)))
    if options.descriptors:
        _join([int(number) for number in options.descriptors.split(",")])
    elif options.process:
        _join(_opened(options.process))
    if not options.guest and options.instance:
        options.guest = int((Path(options.folder) / "disks" / options.instance / "pid").read_text())
    if not options.guest:
        return _run(command, folder)
    return _in_child(lambda: _on_guest(options.guest, command))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ess_dask.testing.ec2.enter")
    parser.add_argument("--process", type=int, help="a process of the stand-in, as seen from here")
    parser.add_argument("--descriptors", help="its open namespaces, parted by commas")
    parser.add_argument("--environment", help="a file of `export NAME=VALUE` lines")
    parser.add_argument("--instance", help="the instance to run the command on")
    parser.add_argument("--folder", default=os.environ.get("ESS_EC2_FOLDER", ""))
    parser.add_argument("--guest", type=int, help="its first process, as seen in the stand-in")
    return parser


def _opened(process: int) -> list[int]:
    """Open the namespaces of a process that are not ours."""
    kinds = [k for k in _KINDS if kernel.namespace_of(k) != kernel.namespace_of(k, process)]
    # From within, a namespace of processes shows its children's in `pid_for_children` only.
    return [os.open(f"/proc/{process}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]


def _join(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        kernel.join(descriptor)
        os.close(descriptor)


def _on_guest(guest: int, command: list[str]) -> int:
    _join(_opened(guest))
    os.environ.setdefault("HOME", "/root")
    os.environ["PATH"] = _GUEST_PATH
    return _run(command, "/")


def _run(command: list[str], folder: str) -> int:
    """Run the command in a child: only children are in the namespace of processes."""

    def become() -> NoReturn:
        os.chdir(folder)
        try:
            os.execvp(command[0], command)  # noqa: S606 - the words as they are
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
            os._exit(127)

    return _in_child(become)


def _in_child(work: object) -> int:
    """Fork; do the work in the child; pass signals on; return the child's status."""
    child = os.fork()
    if child == 0:
        kernel.die_with_parent()
        os._exit(work())  # type: ignore[operator]
    for number in _PASSED_ON:
        signal.signal(number, lambda sign, _: os.kill(child, sign))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        # End as it ended: who waits for us is told the signal.
        if -code not in {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _exported(path: Path) -> dict[str, str]:
    pairs = (word for line in path.read_text().splitlines() for word in shlex.split(line)[1:])
    return dict(pair.split("=", 1) for pair in pairs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
