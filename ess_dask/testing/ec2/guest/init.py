"""Process 1 of an instance: what systemd does for user data, and no more.

One thread and one loop: the dead are buried, units told of theirs, timers run, and commands are
answered that ``systemctl`` and ``shutdown`` send over a socket.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ess_dask.testing.ec2.guest import cloud_init
from ess_dask.testing.ec2.guest.manager import Manager

SOCKET = Path("/run/standin/init.sock")
_LAST_SECONDS = 3.0


class Init:
    """The loop, its timers and its children.

    ``off`` is the status to end with, once set; ``minute`` how long a minute lasts for shutdown.
    """

    def __init__(self, minute: float = 60.0) -> None:
        self.off: int | None = None
        self.minute = minute
        self.units = Manager(self)
        self._begin = time.monotonic()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()
        self._numbers = itertools.count()
        self._children: dict[int, Callable[[int], None]] = {}
        self._shutdown: int | None = None

    def say(self, text: str) -> None:
        """Print a line onto the console."""
        print(f"[init {time.monotonic() - self._begin:7.2f}] {text}", flush=True)  # noqa: T201

    def after(self, seconds: float, what: Callable[[], None]) -> int:
        """Call something later; return the number by which it can be cancelled."""
        number = next(self._numbers)
        heapq.heappush(self._timers, (time.monotonic() + seconds, number, what))
        return number

    def cancel(self, number: int) -> None:
        """Forget a timer; one that has run is ignored."""
        self._cancelled.add(number)

    def spawn(self, command: list[str], done: Callable[[int], None], **more: Any) -> int:
        """Start a process in a session of its own; ``done`` is told its exit code.

        Returns its id. A command that cannot be started is told as exit code 203, as systemd does.
        """
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, start_new_session=True, **more
            )
        except OSError as error:
            self.say(f"cannot start {command[0]}: {error.strerror}")
            self.after(0.0, lambda: done(203))
            return 0
        # The loop buries it: Popen must not look for it, nor warn that nobody did.
        child.returncode = 0
        self._children[child.pid] = done
        return child.pid

    def fork(self, work: Callable[[], None], done: Callable[[int], None]) -> int:
        """Run Python in a process of its own; ``done`` is told its exit code."""
        child = os.fork()
        if child == 0:
            os._exit(_alone_in_child(work))
        self._children[child] = done
        return child

    def power_off(self, status: int = 0) -> None:
        """Go off (or restart) as soon as the loop comes round."""
        self.off = status if self.off is None else self.off

    def schedule_off(self, seconds: float, status: int = 0) -> None:
        """Go off later; an earlier plan is replaced."""
        self.cancel_off()
        self._shutdown = self.after(seconds * self.minute / 60, lambda: self.power_off(status))

    def cancel_off(self) -> bool:
        """Forget the plan to go off; return whether there was one."""
        if self._shutdown is None:
            return False
        self.cancel(self._shutdown)
        self._shutdown = None
        return True

    def loop(self, until: Callable[[], bool]) -> None:
        """Serve until the condition holds."""
        while not until():
            self._run_timers()
            for key, _ in self._selector.select(self._pause()):
                key.data(key.fileobj)
            self._bury()

    def listen(self) -> None:
        """Open the socket for commands and the pipe that signals wake the loop with."""
        self._selector = selectors.DefaultSelector()
        read, write = os.pipe()
        for end in (read, write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self.power_off())
        self._selector.register(read, selectors.EVENT_READ, lambda end: os.read(end, 512))
        SOCKET.parent.mkdir(parents=True, exist_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(SOCKET))
        listening.listen(64)
        self._selector.register(listening, selectors.EVENT_READ, self._accept)

    def _accept(self, listening: socket.socket) -> None:
        connection, _ = listening.accept()
        connection.settimeout(5)
        with contextlib.suppress(OSError, ValueError):
            asked = json.loads(connection.recv(65_536))

            def reply(status: int, text: str = "") -> None:
                with contextlib.suppress(OSError), connection:
                    connection.sendall(json.dumps([status, text]).encode())

            self.units.command(asked, reply)

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            _, number, what = heapq.heappop(self._timers)
            if number in self._cancelled:
                self._cancelled.discard(number)
            else:
                what()

    def _pause(self) -> float:
        if not self._timers:
            return 1.0
        return min(1.0, max(0.0, self._timers[0][0] - time.monotonic()))

    def _bury(self) -> None:
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            if done := self._children.pop(process, None):
                done(os.waitstatus_to_exitcode(status))


def run(instance_id: str, user_data: bytes, news: int, minute: float) -> int:
    """Boot, live, go off; return 0, or the status that asks for a restart."""
    init = Init(minute)
    init.listen()
    os.write(news, b"ready\n")
    os.close(news)
    init.say(f"{instance_id} boots")
    init.units.start_enabled()
    cloud_init.start(init, instance_id, user_data)
    init.loop(lambda: init.off is not None)
    init.say("going off")
    _end(init)
    return init.off or 0


def _end(init: Init) -> None:
    """Stop the units in good order, then everybody else: SIGTERM first, SIGKILL in the end."""
    ended: list[bool] = []
    init.units.stop_all(lambda: ended.append(True))
    init.loop(lambda: bool(ended))
    for number, seconds in ((signal.SIGTERM, _LAST_SECONDS), (signal.SIGKILL, 1.0)):
        if _alone():
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, number)
        end = time.monotonic() + seconds
        init.after(seconds, lambda: None)
        init.loop(lambda end=end: _alone() or time.monotonic() > end)  # type: ignore[misc]


def _alone_in_child(work: Callable[[], None]) -> int:
    """Run something as a process that has nothing of the first one but its console."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    try:
        work()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _alone() -> bool:
    return [name for name in os.listdir("/proc") if name.isdecimal()] == ["1"]  # noqa: PTH208
