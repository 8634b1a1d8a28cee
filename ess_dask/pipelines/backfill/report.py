"""What a backfill did, chunk by chunk. Frozen, printable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError
from ess_dask.markup import count, facts, grid, page
from ess_dask.pipelines.backfill.chunks import Chunk
from ess_dask.pipelines.report import RunReport

_WORSE = (0, 75, 1, 2, 4, 3, 130)
"""Exit codes, the worse the later: what a person must mend goes before what may pass."""

SHOWN = 10
"""Failed chunks that a summary names; the report has them all."""


@dataclass(frozen=True, slots=True)
class ChunkOutcome:
    """How the run of a chunk ended; ``error`` is one line, ``hint`` what to do about it."""

    chunk: Chunk
    run_id: str = ""
    exit_code: int = 0
    files: int = 0
    files_failed: int = 0
    rows_read: int = 0
    rows_loaded: int = 0
    rows_rejected: int = 0
    rows_dropped: int = 0
    seconds: float = 0.0
    error: str = ""
    hint: str = ""

    @property
    def is_passing(self) -> bool:
        """Whether it failed in a way that may pass."""
        return self.exit_code in (1, 75)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        body = asdict(self)
        del body["chunk"]
        return {"from": self.chunk.lower, "to": self.chunk.upper, **body}

    def render(self) -> str:
        """Return it as a line for a person."""
        if self.exit_code and not self.files:
            return f"{self.chunk}: failed ({self.exit_code}): {self.error}"
        failed = f", {count(self.files_failed, 'file', 'files')} failed" * bool(self.files_failed)
        return (
            f"{self.chunk}: {count(self.files, 'file', 'files')}, {self.rows_loaded:,} rows loaded"
            f"{failed}, {self.seconds:.1f} s (run {self.run_id})"
        )


def outcome_of(chunk: Chunk, report: RunReport) -> ChunkOutcome:
    """Return the outcome of a run that gave an account."""
    return ChunkOutcome(
        chunk=chunk,
        run_id=report.run_id,
        exit_code=report.exit_code,
        files=report.files,
        files_failed=len(report.failed),
        rows_read=report.rows_read,
        rows_loaded=report.rows_loaded,
        rows_rejected=report.rows_rejected,
        rows_dropped=report.rows_dropped,
        seconds=report.seconds,
        error=report.failure,
    )


def outcome_of_error(chunk: Chunk, error: EssError, seconds: float) -> ChunkOutcome:
    """Return the outcome of a run that raised; the run itself is not known here."""
    return ChunkOutcome(
        chunk=chunk,
        exit_code=error.exit_code,
        seconds=seconds,
        error=" ".join(error.message.split()),
        hint=error.hint,
    )


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """The account of one go of a backfill; ``seconds`` of wall time.

    ``chunks`` are those that were run, in order; ``untried`` is how many were left because of an
    interruption, of ``--stop-on-error``, or because those before failed in a way that may pass.
    ``held`` files failed in an earlier go and were left alone; ``exit_code`` counts these, too.
    """

    id: str
    pipeline: str
    chunks: tuple[ChunkOutcome, ...]
    nothing_to_do: int
    untried: int
    held: int
    seconds: float
    exit_code: int

    @property
    def rows_loaded(self) -> int:
        """Rows that all chunks loaded."""
        return sum(chunk.rows_loaded for chunk in self.chunks)

    @property
    def files(self) -> int:
        """Files that all chunks loaded."""
        return sum(chunk.files for chunk in self.chunks)

    def to_json(self) -> str:
        """Return the report as JSON."""
        body = asdict(self) | {"files": self.files, "rows_loaded": self.rows_loaded}
        body["chunks"] = [chunk.to_dict() for chunk in self.chunks]
        return json.dumps(body, indent=2, ensure_ascii=False)

    def render(self) -> str:
        """Return the report as a few lines for a person."""
        if not self.chunks and not self.untried:
            lines = [f"{self.pipeline}: nothing to do ({self.nothing_to_do:,} chunks are done)"]
            return "\n".join([*lines, *self._held()])
        failed = [chunk for chunk in self.chunks if chunk.exit_code]
        lines = [
            f"{self.pipeline}: {len(self.chunks) - len(failed):,} of {len(self.chunks):,} chunks "
            f"done in {self.seconds:.1f} s ({self.id})",
            f"  files  {self.files:>12,}",
            f"  loaded {self.rows_loaded:>12,} rows",
            *(f"  {chunk.render()}" for chunk in failed[:SHOWN]),
        ]
        if len(failed) > SHOWN:
            lines.append(f"  ... and {len(failed) - SHOWN} more failed chunks")
        if self.untried:
            lines.append(f"  not begun: {self.untried:,} chunks; the same command goes on")
        return "\n".join([*lines, *self._held()])

    def _held(self) -> list[str]:
        text = f"  {count(self.held, 'file', 'files')} failed before and left alone"
        return [f"{text}; --reprocess failed tries again"] if self.held else []

    def _repr_html_(self) -> str:
        counts = facts({"files": self.files, "rows loaded": self.rows_loaded, "id": self.id})
        rows = [(chunk.chunk, chunk.rows_loaded, chunk.error) for chunk in self.chunks]
        return page(
            f"Backfill of {self.pipeline}", counts, grid(("chunk", "loaded", "error"), rows)
        )


def worst(codes: Sequence[int]) -> int:
    """Return the worst of some exit codes, 0 for none."""
    return max(codes, key=lambda code: _WORSE.index(code) if code in _WORSE else 1, default=0)
