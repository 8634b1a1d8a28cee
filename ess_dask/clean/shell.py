"""Cleaning by a shell command: one file's bytes on stdin, clean bytes on stdout."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ess_dask.clean.options import read_options
from ess_dask.clean.protocol import StepContext
from ess_dask.clean.running import running
from ess_dask.cluster.environment import ALLOWED, ON_WORKER
from ess_dask.dataclass import dataclass
from ess_dask.errors import CleanError, ConfigError, InterruptedRunError

if TYPE_CHECKING:
    from ess_dask.clean.child import Child

_PASSED_ON = ALLOWED | {"ESS_PROFILE", "ESS_WORK_DIR", ON_WORKER}
"""Environment a command gets, with LC_*: credentials stay with us."""

_SHOWN = 1500
"""Characters of stderr that an error shows."""


@dataclass(frozen=True, slots=True)
class ShellStep:
    """A bytes step: ``bash`` with ``pipefail`` runs ``command`` once for each file, of an archive
    for each member.

    ``timeout`` in seconds for one file (0: the context's).
    """

    command: str
    timeout: float = 0.0

    def __post_init__(self) -> None:
        if not self.command.strip():
            raise ConfigError("shell: the command is empty", hint="for example: grep -v '^#'")
        if "\0" in self.command:
            raise ConfigError("shell: the command holds a NUL byte", hint="remove it")

    @classmethod
    def from_pipeline(cls, value: str | dict[str, object], folder: str) -> ShellStep:
        """Make the step from a pipeline's ``shell:`` value: a command or ``{command, timeout}``."""
        options = read_options("shell", value, main="command", known=("timeout",))
        return cls(options.main, options.timeout)

    @property
    def name(self) -> str:
        """The command on one line, shortened."""
        return f"shell: {_one_line(self.command)}"

    def pipe(self, source: Iterable[bytes], context: StepContext) -> Iterator[bytes]:
        """Yield what the command prints; see ``run_command``."""
        timeout = self.timeout or context.timeout
        context = replace(context, timeout=timeout)
        return run_command(self.command, source, context, partial(_log, context.uri))


def _log(uri: str, said: str) -> None:
    """Log what a command that went well wrote to stderr, line by line."""
    for line in said.splitlines():
        logging.getLogger("ess_dask.shell").info("%s", line, extra={"file": uri})


def run_command(
    command: str,
    source: Iterable[bytes] | None,
    context: StepContext,
    hear: Callable[[str], object] | None = None,
    shown: str = "",
) -> Generator[bytes, None, int]:
    """Run a command under ``bash -o pipefail``, fed with ``source``; yield its output as it comes.

    Blocks have up to 1 MiB and no more than a few are held, whatever the command reads, prints or
    writes to stderr. Raises ``CleanError`` with the end of stderr when the exit status is not 0 or
    ``context.timeout`` seconds have passed, ``InterruptedRunError`` when it was cancelled, and what
    ``source`` raises. Closing the iterator kills the command and all it started.
    Of the environment it gets an allow-list and ``context.env``. ``hear`` gets the end of what a
    command that went well wrote to stderr, '' for nothing; ``shown`` is what errors call it.
    Returns the exit status: 0, or that of SIGPIPE.
    """
    shown = shown or command
    cancelled: list[bool] = []
    started: list[Child] = []

    def cancel() -> None:
        cancelled.append(True)
        for child in started:
            child.kill()

    done = False
    with running.registered(cancel):
        child = _start(command, context, fed=source is not None)
        started.append(child)
        # Registered before it starts: a command can be cancelled from its first moment on.
        if cancelled:
            child.kill()
        try:
            yield from child.output(source or (), context.timeout)
            done = True
        except TimeoutError:
            raise CleanError(
                f"{_subject(shown, context)} took longer than {context.timeout:g} s and was "
                f"killed{_said(child.tail)}",
                hint="raise the timeout, or look at what the command waits for",
            ) from None
        finally:
            status = child.end(kill=not done)
    if cancelled:
        raise InterruptedRunError(f"{_subject(shown, context)} was cancelled")
    # A stage ended by SIGPIPE because a later one had read enough (``sort | head``) is no failure.
    if status not in (0, 128 + signal.SIGPIPE):
        raise failed(shown, context, status, child.tail)
    if hear:
        hear(child.tail)
    return status


def failed(command: str, context: StepContext, status: int, tail: str) -> CleanError:
    """Return the error of a command that ended with this status; ``tail`` is what it last said."""
    what = f"{_subject(command, context)} failed: {_status(status)}{_said(tail)}"
    return CleanError(what, hint=_hint(status, command))


def environment(context: StepContext) -> dict[str, str]:
    """Return the variables a command gets: an allow-list of ours, then the context's."""
    own = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith("LC_")
    }
    return own | context.env


def _start(command: str, context: StepContext, *, fed: bool) -> Child:
    from ess_dask.clean.child import Child

    if shutil.which("bash") is None:
        raise CleanError("shell commands need bash, which is not here", hint="install bash")
    try:
        return Child(command, context.folder, environment(context), fed=fed)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CleanError(
            f"{_subject(command, context)} cannot be started in {context.folder}: {reason}",
            hint="the folder must exist on the machine of the worker",
        ) from None


def _subject(command: str, context: StepContext) -> str:
    where = f"{context.uri}: " if context.uri else ""
    return f"{where}the command `{_one_line(command)}`"


def _one_line(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= 70 else f"{line[:67]}..."


def _status(status: int) -> str:
    number = -status if status < 0 else status - 128
    names = {int(item): item.name for item in signal.Signals}
    if number in names:
        return f"killed by {names[number]}"
    return f"exit {status}"


def _said(text: str) -> str:
    shown = text if len(text) <= _SHOWN else f"...{text[-_SHOWN:]}"
    return f"\n{shown}" if shown else ""


def _hint(status: int, command: str) -> str:
    if status == 127:
        return "a program of the command was not found: is it installed on every worker?"
    if status == 1 and "grep" in command:
        return "grep ends with 1 when no line matches: write (grep ... || true) if that is fine"
    return "nothing of the file was used; try the command on it by hand"
