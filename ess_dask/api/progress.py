"""How far a long call of the API is: for a person in a notebook or at a prompt, not for a script.

Nothing is drawn for a call that ends at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from ess_dask.dataclass import dataclass
from ess_dask.markup import escape

if TYPE_CHECKING:
    from rich.progress import Progress

    from ess_dask.engine.model import Batch

Result = TypeVar("Result")
Count = Callable[[int], None]

AFTER = 0.5
"""Seconds after which a call is long."""

EVERY = 0.2
"""Seconds between two drawings."""


def audience() -> Literal["notebook", "terminal", ""]:
    """Return who looks on: a notebook, a person at a prompt of a terminal, or nobody.

    IPython is not imported for it: where it is in use, it is there already.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and hasattr(shell, "kernel"):
        return "notebook"
    at_prompt = shell is not None or hasattr(sys, "ps1")
    return "terminal" if at_prompt and sys.stderr.isatty() else ""


@contextmanager
def counting(total: int, unit: str) -> Iterator[Count]:
    """Give a function that counts so many more of ``total``; draws it if somebody looks on and the
    setting ``progress`` does not forbid it."""
    from ess_dask.settings import load_settings

    drawn = audience() if total and load_settings().progress else ""
    if not drawn:
        yield lambda more: None
        return
    bar = _Bar(total, unit, _Cell() if drawn == "notebook" else _Line())
    try:
        yield bar.count
    except BaseException:
        bar.end("stopped at ")
        raise
    bar.end("")


def counted(
    batches: Sequence[Batch], results: Generator[Result, None, None]
) -> Generator[Result, None, None]:
    """Yield the results of batches, in their order, and count the files."""
    files = sum(len(batch.files) for batch in batches)
    with closing(results), counting(files, "files") as count:
        for batch, result in zip(batches, results, strict=False):
            count(len(batch.files))
            yield result


@dataclass(frozen=True, slots=True)
class State:
    """How far a call is. ``seconds`` since its begin; ``words`` stand before an end."""

    done: int
    total: int
    unit: str
    seconds: float
    words: str | None = None

    def __repr__(self) -> str:
        number = f"{self.done:,}" if self.is_whole else f"{self.done:,} of {self.total:,}"
        return f"{self.words or ''}{number} {self.unit} in {self.seconds:.1f} s"

    def _repr_html_(self) -> str:
        if self.words is not None:
            return f"<small>{escape(str(self))}</small>"
        bar = f"<progress value='{self.done}' max='{self.total}'></progress>"
        return f"{bar} {escape(str(self))}"

    @property
    def is_whole(self) -> bool:
        """Whether it ended and all was done."""
        return self.words == ""


class _Canvas(Protocol):
    def draw(self, state: State) -> None:
        """Show how far it is, in the place of what was shown before."""


class _Bar:
    """Counts, and says now and then how far it is."""

    def __init__(self, total: int, unit: str, canvas: _Canvas) -> None:
        self._total, self._unit, self._canvas = total, unit, canvas
        self._done = 0
        self._begun = time.monotonic()
        self._drawn = 0.0

    def count(self, more: int) -> None:
        """Count so many more."""
        self._done += more
        now = time.monotonic()
        if now - self._begun > AFTER and now - self._drawn > EVERY:
            self._drawn = now
            self._canvas.draw(self._state())

    def end(self, words: str) -> None:
        """Say how it ended, if it was drawn at all."""
        if self._drawn:
            self._canvas.draw(self._state(words))

    def _state(self, words: str | None = None) -> State:
        seconds = time.monotonic() - self._begun
        # Totals are estimates where the work is not known before.
        total = max(self._total, self._done)
        return State(self._done, total, self._unit, seconds, words)


class _Cell:
    """Draws below a cell of a notebook."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, state: State) -> None:
        from IPython import display

        show: Any = display.display
        if self._handle is None:
            self._handle = show(state, display_id=True)
        else:
            self._handle.update(state)


class _Line:
    """Draws in a line of a terminal, which is blank again at the end."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def draw(self, state: State) -> None:
        if state.words is not None:
            if self._bar is not None:
                self._bar.stop()
            return
        if self._bar is None:
            self._bar = _terminal_bar(state)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=state.done, total=state.total)
        self._bar.refresh()


def _terminal_bar(state: State) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), state.unit, TimeElapsedColumn())
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, auto_refresh=False)
    bar.add_task("", total=state.total)
    return bar
