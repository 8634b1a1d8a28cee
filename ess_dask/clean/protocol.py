"""What a cleaning command is: one of two small protocols, and what it is told about its input.

A *bytes step* sees one file's decompressed bytes, before they are parsed. A *row step* sees typed
rows. Steps are plain picklable values: they travel to workers and are run there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import pyarrow as pa

Per = Literal["batch", "file"]

ROW_LABEL = "_ess_row"
"""Name of the hidden int64 column by which a row is followed through row steps."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step may know: the folder commands run in, the file (``per: file`` and bytes steps),
    extra environment variables, and the seconds one command may take (0: no limit). ``owner`` is
    the run it works for: cancelling that run leaves others alone."""

    folder: str = "."
    uri: str = ""
    env: dict[str, str] = field(default_factory=dict)
    timeout: float = 0.0
    owner: str = ""

    @classmethod
    def of_user(cls) -> StepContext:
        """Return that of the user's own command here: it sees the user's folder and environment."""
        return cls(folder=str(Path.cwd()), env=dict(os.environ))

    def away(self, owner: str) -> StepContext:
        """Return this one for the workers of other machines: commands run in the worker's work
        folder, and nothing of the caller's environment travels with them."""
        return StepContext(uri=self.uri, timeout=self.timeout, owner=owner)


@runtime_checkable
class BytesStep(Protocol):
    """Bytes in, bytes out, one file at a time."""

    @property
    def name(self) -> str:
        """The command as a person would recognise it, one line."""

    def pipe(self, source: Iterable[bytes], context: StepContext) -> Iterator[bytes]:
        """Yield the cleaned bytes of one file; raise ``CleanError`` when the command fails.

        Output is only valid once the iterator ended without an error.
        """


@runtime_checkable
class RowStep(Protocol):
    """Typed rows in, typed rows out.

    ``per`` is ``batch`` (row by row in meaning: any slicing of the rows gives the same result) or
    ``file`` (sees one whole file). The table holds an int64 column ``ROW_LABEL``; the step returns
    it with the rows it keeps, so that each row's file and line stay known. A ``per: file`` step may
    leave it out; a ``per: batch`` step that lost it raises ``signals.LostRowLabelsError`` and
    is then given one file at a time, without it.
    """

    @property
    def per(self) -> Per:
        """Whether the step sees a batch of rows of any files, or one whole file."""

    @property
    def name(self) -> str:
        """The command as a person would recognise it, one line."""

    def apply(self, table: pa.Table, context: StepContext) -> pa.Table:
        """Return the cleaned rows; raise ``CleanError`` when the command fails."""


@runtime_checkable
class DescribingStep(Protocol):
    """A row step that knows, without rows, which columns come out of it."""

    def describe(self, schema: pa.Schema) -> pa.Schema:
        """Return the columns that come out (both without ``ROW_LABEL``).

        Raises ``ConfigError`` for columns or types that do not fit; nothing is read.
        """
