"""Programs without the time of their imports: a process that has them forks for each command.

The command runs as its own process, in the folder and with the environment that it is given, and
ends as any other. Only the start is not its own: what that costs and imports has tests of its own
(``tests/unit/test_house.py``, ``tests/integration/test_light_start.py``), and pages, killed runs
and whatever a test looks at while it runs are started cold (``User.start``).
"""

import array
import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from functools import partial
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace

import ess_dask

try:
    from tests.warm_client import OF_THE_START
except ImportError:  # the server itself
    from warm_client import OF_THE_START

# Polars starts its pools of threads when it is first asked for something, not at its import.
IMPORTS = (
    "boto3", "dask.bag", "difflib", "distributed", "duckdb", "pandas", "polars", "polars_hash",
    "pyarrow.compute", "pyarrow.csv", "pyarrow.dataset", "pyarrow.parquet", "pydantic.main",
    "redshift_connector", "rich.console", "ruamel.yaml", "s3fs", "sqlite3", "stamina",
)  # fmt: skip
NOT_OF_COMMANDS = ("ess_dask.airflow", "ess_dask.notebook", "ess_dask.testing")
"""What no command imports, or only ``ess demo``."""

ESS = "ess_dask.cli.main"
"""The module of ``ess``."""

PADDING = "x" * 8192
"""Room in the server's words and environment, where each daemon and worker writes its own."""


class WarmStart:
    """Runs commands by a server that forks; the server ends with the block, or with us."""

    def __init__(self, folder, locale="C.UTF-8"):
        self._folder = folder
        self._ours = {"LC_ALL": locale}
        self._server = None
        self._lock = threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        if self._server is not None:
            self._control.close()
            self._server.wait(timeout=20)

    def _start(self):
        folder = self._folder
        env = {"HOME": str(folder), "PATH": os.environ["PATH"], "TZ": "UTC"} | self._ours
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
            door.bind("")  # the kernel finds a name
            door.listen(64)
            self._door = door.getsockname()
            passed = [theirs.fileno(), door.fileno()]
            self._server = subprocess.Popen(
                [sys.executable, __file__, *map(str, passed), PADDING],
                env=env | {"PADDING": PADDING}, cwd=folder, pass_fds=passed,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip

    def door(self):
        """Return the address of the socket at which daemons and programs are asked for."""
        with self._lock:
            if self._server is None:
                self._start()
        return self._door

    def programs(self, folder):
        """Write the installed programs into a folder, for a ``PATH``, as ones that start warm."""
        client = Path(__file__).with_name("warm_client.py")
        for program in distribution("ess-dask").entry_points.select(group="console_scripts"):
            if program.attr == "main":
                cold = Path(sys.executable).with_name(program.name)
                words = [sys.executable, "-IS", client, self.door().hex(), program.module]
                words = shlex.join(map(str, [*words, self._ours["LC_ALL"], cold]))
                path = folder / program.name
                path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
                path.chmod(0o755)

    def run(self, args, cwd, env, timeout, module=ESS, data=b""):
        """Run a module's ``main``; return exit code, output and error output.

        ``data`` is what it reads as its input. Raises ``TimeoutExpired``.
        """
        special = {name: text for name, text in env.items() if name.startswith(OF_THE_START)}
        if special != self._ours:
            return run_cold(args, cwd, env, timeout, module, data)
        self.door()
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        ours, theirs = socket.socketpair()
        with ours, theirs, tempfile.TemporaryFile() as given:
            given.write(data)
            given.seek(0)
            passed = [theirs.fileno(), given.fileno(), out_end, err_end]
            self._control.sendmsg([b"\0"], [_rights(passed)])
            theirs.close()
            os.close(out_end)
            os.close(err_end)
            command = {"module": module, "args": args, "cwd": str(cwd), "env": env}
            ours.sendall(json.dumps(command).encode() + b"\n")
            with ours.makefile("r") as answers:
                process = int(answers.readline())
                try:
                    said = _read([out, err], time.monotonic() + timeout)
                except TimeoutError:
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                    raise subprocess.TimeoutExpired(args, timeout) from None
                return int(answers.readline()), *said


def run_cold(args, cwd, env, timeout, module=ESS, data=b""):
    """Run it in a process that does its own imports; takes, returns and raises as ``run``."""
    code = f"import sys; from {module} import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=cwd, env=env, input=data, capture_output=True, timeout=timeout, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def _rights(descriptors):
    return socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors)


def _read(descriptors, deadline):
    """Read all to their ends; close them."""
    found = {descriptor: bytearray() for descriptor in descriptors}
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        try:
            while selector.get_map():
                ready = selector.select(max(0, deadline - time.monotonic()))
                if not ready:
                    raise TimeoutError
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    found[key.fd] += data
                    if not data:
                        selector.unregister(key.fd)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
    return [bytes(data) for data in found.values()]


# The server.


def serve(control, door, cluster):
    """Fork for each request; return the command in the process that is to run it."""
    while True:
        if door in select.select([control, door], [], [])[0]:
            connection, _ = door.accept()
            if not os.fork():
                control.close()
                return cluster.answer(connection)
            connection.close()
            continue
        data, ancillary, _, _ = control.recvmsg(1, socket.CMSG_SPACE(16))
        if not data:
            os._exit(0)
        descriptors = array.array("i", ancillary[0][2])
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not os.fork():
            control.close()
            return attend(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def attend(asker, given, out, err):
    """Fork once more; the parent tells pid and exit code, the child returns its command."""
    connection = socket.socket(fileno=asker)
    with connection.makefile("r") as asked:
        command = json.loads(asked.readline())
    process = os.fork()
    if not process:
        connection.close()
        for place, descriptor in enumerate((given, out, err)):
            os.dup2(descriptor, place)
            os.close(descriptor)
        return command
    for descriptor in (given, out, err):
        os.close(descriptor)
    # Who asked may have gone.
    with suppress(BrokenPipeError):
        connection.sendall(f"{process}\n".encode())
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        connection.sendall(f"{code}\n".encode())
    os._exit(0)


def become(command, forked):
    """Be a new process with these words, in this folder and environment; return the exit code."""
    os.environ.clear()
    os.environ.update(command["env"])
    time.tzset()
    os.chdir(command["cwd"])
    sys.path[0] = command["cwd"]
    importlib.import_module("ess_dask.cluster.launch").subprocess = SimpleNamespace(
        DEVNULL=subprocess.DEVNULL, Popen=forked
    )
    sys.argv = [command["module"].rpartition(".")[2], *command["args"]]
    try:
        return importlib.import_module(command["module"]).main() or 0
    except SystemExit as ended:
        return ended.code or 0
    except BaseException:
        traceback.print_exc()
        return 1


def end(code):
    """Leave as the interpreter does, but for taking all modules apart: they are the server's."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def rooms():
    """Yield the names of all modules that a command may import."""
    for module in pkgutil.walk_packages(ess_dask.__path__, "ess_dask."):
        if not module.name.startswith(NOT_OF_COMMANDS) and not module.name.endswith("__main__"):
            yield module.name


def main():
    """Import what is heavy; serve until told to end, or be a command."""
    cluster = importlib.import_module("warm_cluster")
    sys.path[0] = os.getcwd()
    for name in (*IMPORTS, *rooms()):
        importlib.import_module(name)
    control, door = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    name = door.getsockname()
    # A collection in a child would copy the pages of all these modules.
    gc.freeze()
    command = serve(control, door, cluster)
    door.close()
    end(become(command, partial(cluster.forked, name)))


if __name__ == "__main__":
    main()
