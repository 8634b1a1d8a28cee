"""What a run did: every file and every row accounted for. Frozen, printable, kept as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.engine.model import BatchResult, FileCount, add_steps
from ess_dask.errors import EssError
from ess_dask.markup import facts, grid, page, printable

REFUSED = "too many rejects"
"""State of a run that published nothing because of the limit."""

UNHOOKED = "done, but a statement after it failed"
"""State of a run that loaded and published all, and then one of ``hooks.after`` failed."""

FAILED_SHOWN = 10
"""Failed files that a summary names; the report has them all."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """The account of one run. Counts in rows; ``seconds`` of wall time; ``state`` of the run:
    ``done``, ``nothing new``, ``failed files``, ``interrupted``, ``too many rejects`` (then nothing
    is published and no row counts as loaded).

    Otherwise ``rows_read == rows_loaded + rows_rejected + rows_dropped`` over the files that
    succeeded.
    """

    run_id: str
    pipeline: str
    state: str
    files: int
    files_done: int
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_dropped: int
    reasons: tuple[tuple[str, int], ...]
    steps: tuple[tuple[str, int, int], ...]
    failed: tuple[tuple[str, str], ...]
    """(uri, error) of each file that failed; nothing of these is published."""
    seconds: float
    warehouse: str = ""
    table: str = ""
    memory: str = ""
    """Where the rows went; '' for a destination that held all the files already."""
    rejects: str = ""
    """Folder of the rejected rows, '' when there are none."""
    exit_code: int = 0
    store: str = ""
    """Root of the store that was read: a folder, or s3://bucket/prefix."""

    @property
    def rows_per_second(self) -> float:
        """Rows read per second of the whole run."""
        return self.rows_read / self.seconds if self.seconds > 0 else 0.0

    @property
    def failure(self) -> str:
        """The first file that failed, why, and how many more there are; '' for none."""
        if not self.failed:
            return ""
        uri, error = self.failed[0]
        more = f" (and {len(self.failed) - 1} more files failed)" if len(self.failed) > 1 else ""
        return f"{error if uri in error else f'{uri}: {error}'}{more}"

    @property
    def balanced(self) -> bool:
        """Whether every row that was read is loaded, rejected or dropped."""
        return self.rows_read == self.rows_loaded + self.rows_rejected + self.rows_dropped

    def to_json(self) -> str:
        """Return the report as JSON, for ``--json`` and the run's folder."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        body: dict[str, Any] = asdict(self)
        body["reasons"] = dict(self.reasons)
        body["steps"] = [{"step": n, "rows_in": i, "rows_out": o} for n, i, o in self.steps]
        body["failed"] = [{"uri": uri, "error": error} for uri, error in self.failed]
        body["rows_per_second"] = round(self.rows_per_second)
        return body

    def render(self) -> str:
        """Return the report as a few lines for a person."""
        if self.state == "nothing new":
            return f"{self.pipeline}: nothing new ({self.files_done} files are done)"
        lines = [
            f"{self.pipeline}: {self.state} in {self.seconds:.1f} s, "
            f"{self.rows_per_second:,.0f} rows/s (run {self.run_id})",
            f"  files     {self.files:>12,}  (and {self.files_done:,} that were done before)",
            f"  rows read {self.rows_read:>12,}",
            f"  loaded    {self.rows_loaded:>12,}{self._where()}",
            f"  dropped   {self.rows_dropped:>12,}  by cleaning commands",
            f"  rejected  {self.rows_rejected:>12,}"
            + (f"  in {self.rejects}" * bool(self.rejects)),
            *(f"    {count:>12,}  {reason}" for reason, count in self.reasons),
        ]
        if self.failed:
            lines.append(
                f"  failed    {len(self.failed):>12,}  files, nothing of them is published:"
            )
            lines += [f"    {printable(uri)}: {error}" for uri, error in self.failed[:FAILED_SHOWN]]
            if len(self.failed) > FAILED_SHOWN:
                lines.append(f"    ... and {len(self.failed) - FAILED_SHOWN} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        counts = {
            "files": f"{self.files:,} (and {self.files_done:,} that were done before)",
            "rows read": f"{self.rows_read:,}",
            "rows loaded": f"{self.rows_loaded:,}{self._where()}",
            "rows dropped": f"{self.rows_dropped:,}",
            "rows rejected": f"{self.rows_rejected:,}",
            "rejects": self.rejects,
            "warehouse": self.warehouse,
            "run": self.run_id,
            "seconds": f"{self.seconds:.1f}",
        }
        reasons = grid(("rejected because", "rows"), self.reasons) if self.reasons else ""
        steps = grid(("step", "rows in", "rows out"), self.steps) if self.steps else ""
        failed = grid(("failed file", "error"), self.failed) if self.failed else ""
        return page(f"{self.pipeline}: {self.state}", facts(counts), steps, reasons, failed)

    def _where(self) -> str:
        places = [place for place in (self.table, self.memory) if place]
        return f"  into {' and '.join(places)}" if places else ""

    def save(self, folder: Path) -> None:
        """Write ``report.json`` into the run's folder, whole or not at all.

        Raises ``EssError`` when there is no room; what the run did stands all the same.
        """
        part = folder / "report.json.part"
        try:
            part.write_text(self.to_json(), encoding="utf-8")
            part.rename(folder / "report.json")
        except OSError as error:
            raise EssError(
                f"cannot write the report in {folder}: {error.strerror}; the run is {self.state}",
                hint="make room there; run again at any time, what is loaded stays loaded",
            ) from None


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the batches of a run."""

    read: int
    kept: int
    rejected: int
    dropped: int
    good: tuple[FileCount, ...]
    failed: tuple[FileCount, ...]
    reasons: tuple[tuple[str, int], ...]
    steps: tuple[tuple[str, int, int], ...]

    def only(self, uris: Set[str]) -> Totals:
        """Return the sums over some of the good files, and over the failed ones.

        Reasons and steps are known by batch and not by file: they are left out.
        """
        good = [count for count in self.good if count.uri in uris]
        return _sums([*good, *self.failed], (), ())


def add_up(results: Sequence[BatchResult]) -> Totals:
    """Add up the accounts of all batches."""
    reasons: Counter[str] = Counter()
    for result in results:
        reasons.update(dict(result.reasons))
    ordered = tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    counts = [count for result in results for count in result.counts]
    return _sums(counts, ordered, add_steps(result.steps for result in results))


def _sums(
    counts: Sequence[FileCount],
    reasons: tuple[tuple[str, int], ...],
    steps: tuple[tuple[str, int, int], ...],
) -> Totals:
    good = tuple(count for count in counts if not count.error)
    return Totals(
        read=sum(count.read for count in good),
        kept=sum(count.kept for count in good),
        rejected=sum(count.rejected for count in good),
        dropped=sum(count.dropped for count in good),
        good=good,
        failed=tuple(count for count in counts if count.error),
        reasons=reasons,
        steps=steps,
    )
