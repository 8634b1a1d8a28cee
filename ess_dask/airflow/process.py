"""A command of ``ess`` under its guard: what it prints, its end, and how it is asked to end."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ess_dask.airflow.command import Command

GUARD = Path(__file__).with_name("guard.py")

OUTPUT_LIMIT = 64 << 20
"""Bytes of a command's stdout that are kept."""

TAIL = 40
"""Last lines of stderr in which the reason of a failure is looked for."""

HIDDEN = "***"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a run is given to drain, and then to abort."""

    drain: float = 600.0
    abort: float = 10.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: exit code, stdout, the last lines of stderr. Secrets are hidden."""

    code: int
    output: str
    tail: tuple[str, ...]


class Process:
    """A running command. Its stderr is told line by line, from a thread of its own."""

    def __init__(self, command: Command, patience: Patience, tell: Tell) -> None:
        self._command = command
        self._tell = tell
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._output: list[bytes] = []
        self._process, self._alive = _start(command, patience)
        self._pumps = [
            self._pump(self._read_output, self._process.stdout),
            self._pump(self._read_lines, self._process.stderr),
        ]

    def wait(self, seconds: float | None = None) -> Ended | None:
        """Wait for the end; return None when it has not come after so many seconds.

        May be called again from a signal handler that interrupts it.
        """
        # The pipe's other end closes with the guard: waiting so needs no lock.
        if not select.select([self._alive], [], [], seconds)[0]:
            return None
        code = self._process.wait()
        for pump in self._pumps:
            pump.join(timeout=10)
        output = self._hide(b"".join(self._output).decode("utf-8", "replace"))
        return Ended(code, output, tuple(self._tail))

    def stop(self) -> None:
        """Ask the guard for the end: drain, then abort, then kill. Returns at once."""
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]

    def close(self) -> None:
        """Let go of what this process holds; not while somebody waits."""
        self.stop()
        os.close(self._alive)

    def _pump(self, work: Callable[[IO[bytes]], None], source: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=(source,), daemon=True)
        thread.start()
        return thread

    def _read_output(self, source: IO[bytes]) -> None:
        kept = 0
        with source:
            while block := source.read1(1 << 16):  # type: ignore[attr-defined]
                if kept < OUTPUT_LIMIT:
                    self._output.append(block)
                kept += len(block)

    def _read_lines(self, source: IO[bytes]) -> None:
        with source:
            for line in source:
                text = self._hide(line.decode("utf-8", "replace").rstrip("\r\n"))
                self._tail.append(text)
                self._tell(text)

    def _hide(self, text: str) -> str:
        for secret in self._command.secrets:
            text = text.replace(secret, HIDDEN)
        return text


def _start(command: Command, patience: Patience) -> tuple[subprocess.Popen[bytes], int]:
    alive, inherited = os.pipe()
    guard = [sys.executable, "-I", "-S", str(GUARD), str(patience.drain), str(patience.abort)]
    try:
        process = subprocess.Popen(
            [*guard, *command.words],
            cwd=command.folder or None,
            env=dict(command.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(inherited,),
            start_new_session=True,
        )
    except BaseException:
        os.close(alive)
        raise
    finally:
        os.close(inherited)
    return process, alive


def finish(command: Command, seconds: float, tell: Tell = lambda line: None) -> Ended | None:
    """Run a short command to its end; return None when it was not done in time and was ended."""
    process = Process(command, Patience(drain=2.0, abort=1.0), tell)
    ended = process.wait(seconds)
    if ended is None:
        process.stop()
        process.wait(10)
    process.close()
    return ended
