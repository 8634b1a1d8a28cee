"""What a program finds around it: standard streams, and its turn among programs beside it.

A program that has a process of its own has those of the process. One that runs inside a worker, in
a thread beside others, is given them for as long as it runs (``within``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    from ess_dask.aq.link import InputLink, OutputLink


def _process_input() -> BinaryIO:
    return cast("BinaryIO", open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))


def _process_output() -> BinaryIO:
    return cast("BinaryIO", open(sys.stdout.fileno(), "wb", buffering=0, closefd=False))


def _process_complaint(text: str) -> None:
    sys.stderr.write(text)


class Turn(Protocol):
    """A program's turn among programs that run beside it, whose imports have an order."""

    def has_come(self) -> bool:
        """Whether everything is visible that comes before this program's work."""

    def wait(self) -> None:
        """Wait until that is so."""


class _Alone:
    def has_come(self) -> bool:
        return True

    def wait(self) -> None:
        pass


_ALONE = _Alone()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The standard input and output, each opened anew by a call, where complaints go, the turn, and
    the links to the programs in front and behind, if they are in this worker, too."""

    input: Callable[[], BinaryIO] = _process_input
    output: Callable[[], BinaryIO] = _process_output
    complain: Callable[[str], None] = _process_complaint
    turn: Turn = _ALONE
    input_link: InputLink | None = None
    output_link: OutputLink | None = None


_current: ContextVar[Surroundings] = ContextVar("surroundings", default=Surroundings())  # noqa: B039 - frozen


@contextmanager
def within(surroundings: Surroundings) -> Iterator[None]:
    """Give this thread's programs these surroundings while the block runs."""
    token = _current.set(surroundings)
    try:
        yield
    finally:
        _current.reset(token)


def standard_input() -> BinaryIO:
    """Open the standard input, unbuffered."""
    return _current.get().input()


def standard_output() -> BinaryIO:
    """Open the standard output, unbuffered."""
    return _current.get().output()


def complain(text: str) -> None:
    """Write to the standard error output."""
    _current.get().complain(text)


def print_text(text: str) -> None:
    """Write to the standard output."""
    with standard_output() as target:
        target.write(text.encode())


def turn() -> Turn:
    """Return this program's turn."""
    return _current.get().turn


def input_link() -> InputLink | None:
    """Return the link to the program whose output is the standard input."""
    return _current.get().input_link


def output_link() -> OutputLink | None:
    """Return the link to the program whose input is the standard output."""
    return _current.get().output_link
