"""What a run would do: frozen before any effect, printed by one and executed by the other."""

from __future__ import annotations

from dataclasses import asdict, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ess_dask.catalog.bounds import OPEN
from ess_dask.catalog.model import FileRef
from ess_dask.dataclass import dataclass
from ess_dask.documents.fields import show_seconds
from ess_dask.markup import count, page, printable, show_bytes, text
from ess_dask.observe.model import Hook

if TYPE_CHECKING:
    from ess_dask.pipelines.execution import Execution
    from ess_dask.warehouse.model import LoadPlan, OnChange

SHOWN_FILES = 5
"""Files of one kind that the text names; ``to_dict`` has them all."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything a run will do. ``new``, ``done`` and ``changed`` are the selected files, in order.

    ``digest`` is the pipeline's, ``target`` the warehouse without anything secret ('' for none),
    ``ddl`` the statements that make or change the table, ``estimated_seconds`` 0 when unknown.
    ``load`` is what the warehouse will be asked to do and ``execution`` how the files are read;
    ``hook`` is told of the run's end.
    """

    pipeline: str
    digest: str
    store: str
    new: tuple[FileRef, ...]
    done: tuple[FileRef, ...] = ()
    changed: tuple[FileRef, ...] = ()
    on_change: OnChange = "fail"
    batches: int = 0
    target: str = ""
    table: str = ""
    mode: str = ""
    memory: str = ""
    steps: tuple[str, ...] = ()
    ddl: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    estimated_seconds: float = 0.0
    lower: str = OPEN
    upper: str = OPEN
    """The date range that was asked for."""
    load: LoadPlan | None = None
    category: str = ""
    hook: Hook | None = field(default=None, repr=False, compare=False)
    execution: Execution | None = field(default=None, repr=False, compare=False)

    @property
    def files(self) -> tuple[FileRef, ...]:
        """The files a run reads: the new ones, and the changed ones if they are reprocessed."""
        if self.on_change != "reprocess":
            return self.new
        return tuple(sorted((*self.new, *self.changed), key=_order))

    @property
    def size(self) -> int:
        """Stored bytes of the files a run reads."""
        return sum(file.size for file in self.files)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.files

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON values; ``load`` is left out, its substance is in the rest."""
        return {
            "pipeline": self.pipeline,
            "digest": self.digest,
            "store": self.store,
            "target": self.target,
            "table": self.table,
            "mode": self.mode,
            "memory": self.memory,
            "on_change": self.on_change,
            "lower": self.lower,
            "upper": self.upper,
            "files": {
                kind: [_file(file) for file in getattr(self, kind)]
                for kind in ("new", "done", "changed")
            },
            "bytes": self.size,
            "batches": self.batches,
            "steps": list(self.steps),
            "ddl": list(self.ddl),
            "warnings": list(self.warnings),
            "estimated_seconds": self.estimated_seconds,
        }

    def render(self) -> str:
        """Return the plan as text for a person, lines ending with a newline."""
        lines = [
            f"pipeline  {self.pipeline}  (digest {self.digest[:12]})",
            f"source    {self.store}",
        ]
        if (self.lower, self.upper) != (OPEN, OPEN):
            lines.append(f"dates     {self.lower} to {self.upper}")
        for kind in ("new", "done", "changed"):
            lines += self._files_of(kind)
        if not self.is_empty:
            lines.append(
                f"read      {show_bytes(self.size)} in {count(self.batches, 'batch', 'batches')}"
            )
        lines += [f"clean     {step}" for step in self.steps]
        if self.memory:
            lines.append(f"memory    {self.memory}")
        if self.target:
            lines.append(f"load      {self.mode} to {self.table} in {self.target}")
        lines += [f"ddl       {line}" for line in "\n".join(self.ddl).splitlines()]
        lines += [f"warning   {warning}" for warning in self.warnings]
        if self.estimated_seconds and not self.is_empty:
            lines.append(f"time      about {_seconds(self.estimated_seconds)}")
        if self.is_empty:
            lines.append("nothing new: a run would do nothing")
        return "\n".join(map(printable, lines)) + "\n"

    def _repr_html_(self) -> str:
        return page(f"Plan of {self.pipeline}", text(self.render()))

    def _files_of(self, kind: str) -> list[str]:
        files: tuple[FileRef, ...] = getattr(self, kind)
        if kind == "changed" and not files:
            return []
        words = {
            "new": "new",
            "done": "already loaded",
            "changed": f"changed since they were loaded (policy: {self.on_change})",
        }
        lines = [f"files     {count(len(files), 'file', 'files')} {words[kind]}"]
        if kind != "done":
            lines += [f"{'':12}{f.shown}  {show_bytes(f.size)}" for f in files[:SHOWN_FILES]]
            if len(files) > SHOWN_FILES:
                lines.append(f"            ... and {len(files) - SHOWN_FILES} more")
        return lines


def _order(file: FileRef) -> tuple[bool, Any, str]:
    """Order as the catalogue does: date, then uri; undated files last."""
    return file.date is None, file.date or 0, file.uri


def _file(file: FileRef) -> dict[str, Any]:
    date = file.date.isoformat() if isinstance(file.date, datetime) else file.date
    return asdict(file) | {"uri": file.shown, "date": date}


def _seconds(seconds: float) -> str:
    return show_seconds(round(seconds, 1)) if seconds < 120 else f"{seconds / 60:.0f} minutes"
