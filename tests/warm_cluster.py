"""A local cluster without the time of its imports: daemon and workers fork from who has them.

Code, command lines, environments, sessions and parents are as of one that was started cold. What
looks at a cluster's own start or its memory, and whatever is killed while it starts, starts it by
``User.start`` or ``private_cluster``, which are cold.
"""

import ctypes
import fcntl
import importlib
import json
import multiprocessing.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from warm_client import OF_THE_START

DAEMON = "ess_dask.cluster.daemon"
_LIBC = ctypes.CDLL(None)
_PDEATHSIG, _CHILD_SUBREAPER = 1, 36


def show(words, env):
    """Be told by the kernel with this command line and environment."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    places = map(int, fields[45:49])
    for texts in (words, [f"{name}={text}" for name, text in env.items()]):
        start, end = next(places), next(places)
        data = b"".join(os.fsencode(text) + b"\0" for text in texts)[: end - start - 1]
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, data, len(data))


def wear(env):
    """Have this environment."""
    os.environ.clear()
    os.environ.update(env)
    time.tzset()


def place(descriptors, numbers):
    """Move descriptors to these numbers; close all others but the first three."""
    high = [fcntl.fcntl(each, fcntl.F_DUPFD, 512) for each in descriptors]
    os.closerange(3, 512)
    for one, number in zip(high, numbers, strict=True):
        os.dup2(one, number)
        os.close(one)


# Who asks for a daemon.


def forked(door, words, *, pass_fds, stdin, stdout, stderr, start_new_session, cwd, env):
    """Stand in for the ``Popen`` of a daemon: ask the server behind ``door`` for it."""
    # Who sets a limit of memory means a process that holds nothing that it does not need.
    special = [name for name in env if name.startswith(OF_THE_START) and name != "LC_ALL"]
    if special or json.loads(words[5])["memory_limit"]:
        return subprocess.Popen(
            words, pass_fds=pass_fds, stdin=stdin, stdout=stdout, stderr=stderr,
            start_new_session=start_new_session, cwd=cwd, env=env,
        )  # fmt: skip
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(door)
        data = json.dumps({"daemon": words, "env": env}).encode()
        socket.send_fds(connection, [data], [stdout.fileno(), *pass_fds])
        assert connection.recv(1)
    return Started()


class Started:
    """The process that forks a daemon off and ends at once."""

    def wait(self):
        return 0


# The server, and its daemons.


def answer(connection):
    """Be what is asked for: a daemon, or the command that is returned."""
    data, descriptors, _, _ = socket.recv_fds(connection, 1 << 18, 4)
    asked = json.loads(data)
    if "daemon" in asked:
        connection.send(b"1")
        connection.close()
        be_daemon(asked["daemon"], asked["env"], *descriptors)
    process = os.fork()
    if not process:
        connection.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        return asked
    for descriptor in descriptors:
        os.close(descriptor)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    # Who asked may have gone.
    with suppress(BrokenPipeError):
        connection.send(b"%d" % code)
    os._exit(0)


def be_daemon(words, env, log, told):
    """Be the daemon of these words; does not return."""
    folder, options, ready = words[4:]
    os.setsid()
    os.chdir("/")
    for number in (1, 2):
        os.dup2(log, number)
    place([told], [int(ready)])
    wear(env)
    show(words, env)
    del sys.path[0]
    sys.argv = ["-m", *words[4:]]
    module = sys.modules["__main__"] = importlib.import_module(DAEMON)
    serve = module._serve

    def serve_with_forks(*more):
        fork_workers()
        return serve(*more)

    module._serve = serve_with_forks
    module.main(Path(folder), module.LocalOptions(**json.loads(options)), int(ready))


def fork_workers():
    """Let worker processes fork from one that is as this daemon was before it began."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    daemon = os.getpid()
    if not os.fork():
        _LIBC.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        place([theirs.detach()], [3])
        os._exit(be_worker(socket.socket(fileno=3), daemon))
    theirs.close()
    multiprocessing.util.spawnv_passfds = partial(spawn, ours, threading.Lock())


def spawn(server, lock, path, words, descriptors):
    """Stand in for ``multiprocessing.util.spawnv_passfds``."""
    numbers = sorted({int(each) for each in descriptors})
    words = [os.fsdecode(word) for word in words]
    data = json.dumps({"words": words, "numbers": numbers, "env": dict(os.environ)}).encode()
    with lock:
        # The child of a child that has ended becomes ours.
        _LIBC.prctl(_CHILD_SUBREAPER, 1, 0, 0, 0)
        socket.send_fds(server, [data], numbers)
        process = int(server.recv(32))
        _LIBC.prctl(_CHILD_SUBREAPER, 0, 0, 0, 0)
    return process


def be_worker(server, daemon):
    """Fork for each request; return the exit code in the process that was a worker."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(server, 1 << 18, 16)
        if not data:
            return 0
        between = os.fork()
        if not between:
            break
        os.waitpid(between, 0)
        for each in descriptors:
            os.close(each)
    if os.fork():
        os._exit(0)
    _LIBC.prctl(_PDEATHSIG, 0, 0, 0, 0)
    while os.getppid() != daemon:
        time.sleep(0.001)
    server.send(b"%d" % os.getpid())
    server.detach()
    asked = json.loads(data)
    place(descriptors, asked["numbers"])
    wear(asked["env"])
    show(asked["words"], asked["env"])
    at = asked["words"].index("-c")
    sys.argv = asked["words"][at : at + 1] + asked["words"][at + 2 :]
    try:
        exec(asked["words"][at + 1], {})
    except SystemExit as ended:
        return ended.code or 0
    return 0
