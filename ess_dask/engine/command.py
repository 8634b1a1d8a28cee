"""A user's command on one file's bytes: its ``%`` words filled in, our own programs run inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ess_dask.clean.protocol import StepContext
from ess_dask.dataclass import dataclass
from ess_dask.engine.crew import node_words, thread_id
from ess_dask.engine.stages import leading_stages
from ess_dask.engine.substitute import substitute
from ess_dask.engine.turns import Place

if TYPE_CHECKING:
    from ess_dask.engine.inside import FindProgram


def no_program(words: Sequence[str]) -> None:
    """Find none: every command is bash's."""


def file_words(uri: str) -> dict[str, str]:
    """Return ``%path`` (folder), ``%file`` (name without its last extension) and ``%FILE``."""
    path = PurePosixPath(uri.split("://", 1)[1].split("/", 1)[-1] if "://" in uri else uri)
    folder = str(path.parent)
    return {"path": "" if folder == "." else folder, "file": path.stem, "FILE": path.name}


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it was typed, and the values of its ``%`` words.

    Programs that it begins with run inside the worker where ``find_program`` gives them.
    """

    text: str
    words: Mapping[str, str] = field(default_factory=dict)
    find_program: FindProgram = no_program

    def run(
        self,
        source: Iterable[bytes] | None,
        context: StepContext,
        place: Place,
        hear: Callable[[str], object] | None = None,
    ) -> Iterator[bytes]:
        """Yield what the command prints; see ``clean.shell.run_command``."""
        command = substitute(self.text, self.words)
        context = replace(context, env={**context.env, **command.env})
        stages = leading_stages(self.text, self.words, self.find_program)
        if not stages.words:
            from ess_dask.clean.shell import run_command

            return run_command(command.text, source, context, hear)
        from ess_dask.engine.inside import Staged, run_staged

        staged = Staged(stages.words, substitute(stages.rest, self.words).text, command.text)
        return run_staged(
            staged, source, context, self.find_program, place, hear or (lambda said: None)
        )


@dataclass(frozen=True, slots=True)
class CommandStep:
    """A command of ``ess stream`` as a cleaning step of a run (``clean.protocol.BytesStep``)."""

    command: Command

    @property
    def name(self) -> str:
        """The command on one line."""
        return " ".join(self.command.text.split())

    def pipe(self, source: Iterable[bytes], context: StepContext) -> Iterator[bytes]:
        """Yield what the command prints on one file's bytes."""
        words = {
            **self.command.words,
            **file_words(context.uri),
            "thread_id": thread_id(),
            **node_words(),
        }
        return replace(self.command, words=words).run(source, context, Place(None, 0))
