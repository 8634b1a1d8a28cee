"""Commands whose leading stages are aq programs: run in threads of the worker, not as processes.

Each stage has its own thread and its own standard streams; pipes in memory join them. What follows
behind them is a shell command, fed by the last. The outcome is that of bash with ``pipefail``.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from functools import partial
from typing import Any, BinaryIO, cast

from ess_dask.aq.link import Expected
from ess_dask.aq.programs.common import run_main
from ess_dask.aq.surroundings import Surroundings, within
from ess_dask.clean.protocol import StepContext
from ess_dask.clean.running import running
from ess_dask.clean.shell import failed, run_command
from ess_dask.clean.tail import Tail
from ess_dask.dataclass import dataclass
from ess_dask.engine.pipes import (
    PIPE_BYTES,
    SHELL_BYTES,
    BlocksInput,
    Pipe,
    PipeOutput,
    StageEndedError,
)
from ess_dask.engine.turns import Place
from ess_dask.errors import CleanError, InterruptedRunError

Program = Callable[[Sequence[str]], None]
"""Runs an option list; its errors carry the exit code."""

FindProgram = Callable[[Sequence[str]], "Program | None"]
"""Returns what runs these words (a name and an option list) inside, None if a process should."""

BROKEN_PIPE = 128 + signal.SIGPIPE
"""The status of a stage that still wrote when nobody read any more: for bash, too, no failure."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A command: ``words`` of its leading stages, ``rest`` for the shell, ``shown`` in messages."""

    words: tuple[tuple[str, ...], ...]
    rest: str
    shown: str


def run_staged(
    command: Staged,
    source: Iterable[bytes] | None,
    context: StepContext,
    find: FindProgram,
    place: Place,
    hear: Callable[[str], object],
) -> Iterator[bytes]:
    """Run a command on ``source``; yield its output, and raise, as ``clean.shell.run_command``.

    Imports become visible when it is the turn of ``place``.
    """
    run = _Run(command, place)
    said: list[str] = []
    behind = 0
    with running.registered(run.cancel):
        last = run.start(source or (), find)
        if run.cancelled:
            # That was before there was anything to stop.
            run.stop()
        try:
            if command.rest:
                shell = run_command(
                    command.rest, last.blocks(), context, said.append, command.shown
                )
                behind = yield from shell
            else:
                yield from last.blocks()
        except StageEndedError:
            pass
        except CleanError as error:
            run.end()
            what, *last_words = error.message.split("\n", 1)
            text = "\n".join(filter(None, [what, run.said, *last_words]))
            raise CleanError(text, hint=error.hint) from None
        except BaseException:
            if not run.stopped:
                run.stop()
            raise
        finally:
            run.end()
    if run.cancelled:
        raise InterruptedRunError(f"`{command.shown}` was cancelled")
    status = behind or run.status()
    if status not in (0, BROKEN_PIPE):
        raise failed(command.shown, context, status, run.said)
    hear("\n".join(filter(None, [run.said, *said])))


@dataclass(slots=True)
class _Run:
    """The stages of one command, each in a thread; ``statuses`` are their exit codes."""

    command: Staged
    place: Place
    threads: list[threading.Thread] = field(default_factory=list)
    pipes: list[Pipe] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    tail: Tail = field(default_factory=Tail)
    cancelled: bool = False
    stopped: bool = False

    def start(self, source: Iterable[bytes], find: FindProgram) -> Pipe:
        """Start the threads; return the pipe that the last stage writes to."""
        blocks = iter(source)
        for number, words in enumerate(self.command.words):
            is_last = number + 1 == len(self.command.words)
            self.pipes.append(Pipe(SHELL_BYTES if is_last and self.command.rest else PIPE_BYTES))
            self.statuses.append(0)
            program = find(words)
            assert program is not None
            stage = partial(run_main, words[0], program, words[1:])
            thread = threading.Thread(target=self._run, args=(number, stage, blocks), daemon=True)
            self.threads.append(thread)
            blocks = self.pipes[-1].blocks()
        for thread in self.threads:
            thread.start()
        return self.pipes[-1]

    def _run(self, number: int, stage: Callable[[], int], blocks: Iterator[bytes]) -> None:
        source, pipe = _Source(blocks), self.pipes[number]
        surroundings = Surroundings(
            lambda: cast("BinaryIO", BlocksInput(source)),
            lambda: cast("BinaryIO", PipeOutput(pipe)),
            self._complain,
            _StageTurn(self, number),
            _FromPipe(source, self.pipes[number - 1]) if number else None,
            pipe if number + 1 < len(self.pipes) else None,
        )
        failure: BaseException | None = None
        try:
            with within(surroundings):
                status = stage()
            self.statuses[number] = BROKEN_PIPE if pipe.broken else status
        except BaseException as error:
            failure = source.failure or error
        source.close()
        if number:
            self.pipes[number - 1].drop()
        pipe.end(failure)

    def _complain(self, text: str) -> None:
        self.tail.add(text.encode("utf-8", "backslashreplace"))

    def cancel(self) -> None:
        """Stop because the user wants it; safe from any thread."""
        self.cancelled = True
        self.stop()

    def stop(self) -> None:
        """Stop the stages where they are, and whoever waits for what they write."""
        self.stopped = True
        for thread in self.threads:
            if thread.is_alive() and thread.ident is not None:
                kind = ctypes.py_object(StageEndedError)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), kind)
        for pipe in self.pipes:
            pipe.drop()
            pipe.end(StageEndedError())

    def end(self) -> None:
        """Wait for the stages; they are told that nobody reads any more."""
        self.pipes[-1].drop()
        for thread in self.threads:
            thread.join()

    @property
    def said(self) -> str:
        """The end of what the stages wrote to stderr."""
        return self.tail.text

    def status(self) -> int:
        """Return the exit code of the last stage that failed, 0 if none did."""
        return next((status for status in reversed(self.statuses) if status), 0)


@dataclass(frozen=True, slots=True)
class _StageTurn:
    """Implements ``aq.surroundings.Turn``: that of the command, for one of its stages."""

    run: _Run
    stage: int

    def has_come(self) -> bool:
        return self.run.place.has_come()

    def wait(self) -> None:
        self.run.place.wait(lambda: self.run.stopped)
        # What a stage made of the output of one that failed is no result.
        failed_before = {*self.run.statuses[: self.stage]} - {0, BROKEN_PIPE}
        if self.run.stopped or failed_before:
            raise StageEndedError


@dataclass(frozen=True, slots=True)
class _FromPipe:
    """Implements ``aq.link.InputLink``."""

    source: _Source
    pipe: Pipe

    def takes(self, expected: Expected) -> Iterator[Any] | None:
        items = self.pipe.takes(expected)
        return None if items is None else self.source.of(items)


class _Source:
    """The blocks a stage reads, with what went wrong with them kept for the caller."""

    def __init__(self, blocks: Iterator[Any]) -> None:
        self._blocks = blocks
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._blocks)
        except StopIteration:
            raise
        except BaseException as error:
            # No program may take it for an error of its own.
            self.failure = error
            raise StageEndedError from None

    def of(self, blocks: Iterator[Any]) -> _Source:
        """Read from other blocks."""
        self._blocks = blocks
        return self

    def close(self) -> None:
        """Let the blocks release what they hold (an open file)."""
        close = getattr(self._blocks, "close", None)
        if close is not None:
            close()
