"""Stands between a task and its run, so that the run is drained whatever becomes of the task.

A program of its own: ``python guard.py DRAIN ABORT COMMAND...`` (seconds). The task holds the
guard's stdin open. When that closes, because the task asks for it or is no more, the run gets
SIGINT (it drains), after DRAIN seconds another (it aborts), and after ABORT more its process group
is killed. Airflow itself gives a task a few seconds to end; a drain takes what its files take.

What the run prints is passed on as long as somebody reads it. The guard ends with the run's exit
code, with 128 + N when signal N ended it, and with 127 when it cannot be started.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from typing import NoReturn

CANNOT_START = 127
"""Exit code when there is no such command."""

BLOCK = 1 << 16


class Doorbell:
    """Tells the main thread that the task asks for the end, or that a child has ended.

    Signals arrive as bytes in a pipe: nothing is polled and nothing is done inside a handler.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        os.set_blocking(self._read, False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._stdin_open = True

    def wait(self, seconds: float | None) -> bool:
        """Wait for the next event, or so long; return whether it asks for the end."""
        sources = [self._read, 0] if self._stdin_open else [self._read]
        ready, _, _ = select.select(sources, [], [], seconds)
        asked = 0 in ready
        if asked:
            self._stdin_open = False
        if self._read in ready:
            numbers = set(os.read(self._read, BLOCK))
            asked = asked or bool(numbers & {signal.SIGTERM, signal.SIGINT})
        return asked


def guard(command: list[str], drain: float, abort: float) -> int:
    """Run a command to its end, or to the end that the task asks for; return its exit code."""
    bell = Doorbell()
    try:
        run = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        sys.stderr.write(f"ess: cannot start {command[0]}: {error.strerror}\n")
        sys.stderr.flush()
        return CANNOT_START
    pumps = [_pump(run.stdout.fileno(), 1), _pump(run.stderr.fileno(), 2)]  # type: ignore[union-attr]
    while run.poll() is None and not bell.wait(None):
        pass
    _end(run, bell, drain, abort)
    for pump in pumps:
        # A daemon that the run has started may hold the pipes open; it has nothing to say here.
        pump.join(timeout=2)
    return run.returncode if run.returncode >= 0 else 128 - run.returncode


def _end(run: subprocess.Popen[bytes], bell: Doorbell, drain: float, abort: float) -> None:
    for patience in (drain, abort):
        if run.poll() is not None:
            return
        run.send_signal(signal.SIGINT)
        until = time.monotonic() + patience
        while run.poll() is None and (left := until - time.monotonic()) > 0:
            bell.wait(left)
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def _pump(source: int, target: int) -> threading.Thread:
    def work() -> None:
        read_by_somebody = True
        while block := os.read(source, BLOCK):
            while block and read_by_somebody:
                try:
                    block = block[os.write(target, block) :]
                except OSError:  # the task is no more; the run must not stumble over that
                    read_by_somebody = False

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def main() -> NoReturn:
    """Guard the command in the arguments."""
    drain, abort, *command = sys.argv[1:]
    code = guard(command, float(drain), float(abort))
    os._exit(code)  # a pump that is still waiting must not hold the guard


if __name__ == "__main__":
    main()
