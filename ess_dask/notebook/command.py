"""``%ess ls``: a command of ``ess`` in a process of its own, what it prints below the cell."""

from __future__ import annotations

import codecs
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from typing import IO

from ess_dask.cluster.children import die_with_parent
from ess_dask.errors import EssError, UsageError

SHOWN = 1 << 20
"""Characters of an output that are shown."""

_AFTER_ABORT = 10.0

_AT_A_TIME = 0.5
"""Polars lets Ctrl-C restart what waits without an end: that would be seen when it is over."""


class CommandError(EssError):
    """A command ended with ``exit_code``, which is not 0; it has said why."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"%ess {name} ended with exit code {code}")
        self.exit_code = code


def command_words(line: str) -> list[str]:
    """Return the words of a command line; ``UsageError`` for a command that there is not."""
    from ess_dask.cli.main import COMMANDS

    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"%ess: {error}", hint="close the quotes") from None
    name = words[0]
    if name not in COMMANDS and not name.startswith("-"):
        near = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean %ess {near[0]}?" if near else "%ess --help lists the commands"
        raise UsageError(
            f"there is no command {name!r}", hint=f"{hint}; SQL in one line has a FROM"
        )
    return words


def run_command(words: list[str]) -> None:
    """Run a command and print what it prints, as it comes. Interrupted, it is interrupted: once
    finishes what runs, twice aborts.

    Raises ``CommandError`` when it fails.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "ess_dask.cli", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Signals are ours to pass on: the command must not see Ctrl-C twice.
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    assert process.stdout is not None and process.stderr is not None
    shown = [(process.stdout, _Shown(sys.stdout)), (process.stderr, _Shown(sys.stderr))]
    threads = [threading.Thread(target=_copy, args=each, daemon=True) for each in shown]
    with process:
        for thread in threads:
            thread.start()
        code = _ended(process)
        for thread in threads:
            thread.join()
    if code:
        raise CommandError(words[0], code)


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for a command; pass on each interruption, and end what does not end when aborted."""
    asked, until = 0, float("inf")
    while True:
        try:
            return process.wait(_AT_A_TIME)
        except KeyboardInterrupt:
            asked += 1
            until = time.monotonic() + _AFTER_ABORT if asked > 1 else until
            process.send_signal(signal.SIGINT)
        except subprocess.TimeoutExpired:
            if time.monotonic() > until:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def _copy(source: IO[bytes], shown: _Shown) -> None:
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    while data := os.read(source.fileno(), 1 << 16):
        shown.write(decode(data))
    shown.end(decode(b"", True))


class _Shown:
    """Writes text until there is too much of it: a notebook holds what it shows."""

    def __init__(self, target: IO[str]) -> None:
        self._write: Callable[[str], object] = target.write
        self._flush = target.flush
        self._left = SHOWN
        self._out = 0

    def write(self, text: str) -> None:
        kept, self._left = text[: self._left], max(0, self._left - len(text))
        self._out += len(text) - len(kept)
        if kept:
            self._write(kept)
            self._flush()

    def end(self, text: str) -> None:
        self.write(text)
        if self._out:
            self._write(f"\n... {self._out:,} more characters; into a file: !ess ... > FILE\n")
            self._flush()
