"""What a backfill would do and what it did: frozen values, printable."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.markup import count, page, printable, show_bytes, text
from ess_dask.pipelines.backfill.chunks import Chunk
from ess_dask.pipelines.backfill.state import BackfillOrder

if TYPE_CHECKING:
    from ess_dask.pipelines.plan import RunPlan

SHOWN = 31
"""Chunks that the text names; ``to_dict`` has them all."""


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """What is to be done for one chunk: numbers of its files, and the stored bytes to be read.

    ``new`` and ``changed`` files are read, of ``done`` ones those that are loaded ``again``;
    ``held`` ones failed for good before and are left alone. ``run`` is None when nothing is to be
    done. ``code`` is the exit code with which its held files failed, 0 without any.
    """

    chunk: Chunk
    new: int
    done: int
    changed: int
    again: int
    held: int
    bytes: int
    code: int = 0
    run: RunPlan | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        body = asdict(replace(self, run=None))
        del body["run"], body["chunk"], body["code"]
        return {"from": self.chunk.lower, "to": self.chunk.upper, **body}


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """Everything that a backfill will do. ``id`` is that of an earlier one that goes on, or ''.

    ``chunks`` are those with files, in order; ``empty`` counts those of the range without any.
    """

    id: str
    pipeline: str
    order: BackfillOrder
    target: str
    table: str
    chunks: tuple[ChunkPlan, ...]
    empty: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def todo(self) -> tuple[ChunkPlan, ...]:
        """The chunks that are run."""
        return tuple(chunk for chunk in self.chunks if chunk.run is not None)

    @property
    def files(self) -> int:
        """Number of the files that are read."""
        return sum(len(chunk.run.files) for chunk in self.todo if chunk.run)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "id": self.id,
            "pipeline": self.pipeline,
            "from": self.order.lower,
            "to": self.order.upper,
            "chunk": self.order.chunk,
            "reprocess": self.order.reprocess,
            "target": self.target,
            "table": self.table,
            "chunks": [chunk.to_dict() for chunk in self.chunks],
            "empty": self.empty,
            "warnings": list(self.warnings),
        }

    def render(self) -> str:
        """Return the plan as text for a person, lines ending with a newline."""
        order = self.order
        lines = [
            f"backfill  {self.pipeline}, {order.lower} to {order.upper}, by {order.chunk}, "
            f"reprocess {order.reprocess}" + (f" (goes on: {self.id})" if self.id else ""),
            f"load      to {self.table} in {self.target}" if self.target else "load      nowhere",
        ]
        lines += [_line(chunk) for chunk in self.todo[:SHOWN]]
        if len(self.todo) > SHOWN:
            lines.append(f"          ... and {len(self.todo) - SHOWN} more chunks")
        lines += [f"done      {self._done()}", *(f"warning   {each}" for each in self.warnings)]
        size = sum(chunk.bytes for chunk in self.todo)
        files = count(self.files, "file", "files")
        chunks = count(len(self.todo), "chunk", "chunks")
        lines.append(f"todo      {chunks}, {files}, {show_bytes(size)}")
        return "\n".join(map(printable, lines)) + "\n"

    def _done(self) -> str:
        rest = len(self.chunks) - len(self.todo)
        held = sum(chunk.held for chunk in self.chunks)
        parts = [f"{count(rest, 'chunk', 'chunks')} with nothing to do"]
        if self.empty:
            parts.append(f"{self.empty:,} without a file")
        if held:
            parts.append(f"{count(held, 'file', 'files')} failed before (--reprocess failed)")
        return ", ".join(parts)

    def _repr_html_(self) -> str:
        return page(f"Backfill of {self.pipeline}", text(self.render()))


def _line(chunk: ChunkPlan) -> str:
    named = {
        "new": chunk.new, "changed": chunk.changed, "again": chunk.again,
        "done": chunk.done - chunk.again, "failed before": chunk.held,
    }  # fmt: skip
    said = ", ".join(f"{number:,} {name}" for name, number in named.items() if number)
    return f"chunk     {chunk.chunk!s:<24}  {said}, {show_bytes(chunk.bytes)}"
