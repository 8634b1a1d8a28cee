"""The plan of a whole range, cut into plans of its chunks: fewer files, and nothing asked again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from ess_dask.catalog.model import FileRef
from ess_dask.dataclass import dataclass
from ess_dask.engine.batches import make_batches
from ess_dask.pipelines.backfill.chunks import Calendar, Chunk, calendar
from ess_dask.pipelines.backfill.model import ChunkPlan
from ess_dask.pipelines.backfill.state import BackfillOrder, Version
from ess_dask.warehouse.changes import loaded_again
from ess_dask.warehouse.dates import parse_date

if TYPE_CHECKING:
    from ess_dask.pipelines.execution import Execution, MemoryPlan
    from ess_dask.pipelines.plan import RunPlan
    from ess_dask.warehouse.model import LoadFile, LoadPlan


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier goes say: the id to go on with ('' for none), the bounds of its chunks that are
    done, and the versions that are left alone, each with the exit code it failed with."""

    id: str
    done: Set[tuple[str, str]]
    held: Mapping[Version, int]


@dataclass(slots=True)
class _Group:
    """The files of one chunk, in order; ``gone`` are loaded ones that are not there any more."""

    new: list[FileRef]
    done: list[FileRef]
    changed: list[FileRef]
    held: list[FileRef]
    gone: list[str]

    @property
    def uris(self) -> frozenset[str]:
        return frozenset(file.uri for file in (*self.new, *self.done, *self.changed))


@dataclass(frozen=True, slots=True)
class Cutting:
    """The plan of the whole range on its way into chunks.

    ``standing`` is what the ledger holds by uri, for a pipeline in mode ``replace`` only: its plan
    takes every file for new.
    """

    whole: RunPlan
    order: BackfillOrder
    past: Past
    days: Calendar
    batch_bytes: int
    standing: Mapping[str, LoadFile]

    def chunks(self) -> tuple[tuple[ChunkPlan, ...], int]:
        """Return the chunks in order, and the number of files that have no date.

        Raises ``UsageError`` for files that have ids.
        """
        groups: dict[Chunk, _Group] = {}
        undated = 0
        for kind in ("new", "done", "changed"):
            for file in getattr(self.whole, kind):
                if file.date is None:
                    undated += 1
                else:
                    held = kind == "new" and (file.uri, file.etag) in self.past.held
                    group = self._group(groups, file.date)
                    getattr(group, "held" if held else kind).append(file)
        for uri in self._gone():
            self._group(groups, parse_date(self.standing[uri].date)).gone.append(uri)
        return tuple(self._plan(chunk, groups[chunk]) for chunk in sorted(groups)), undated

    def _group(self, groups: dict[Chunk, _Group], date: datetime | int | None) -> _Group:
        if not isinstance(date, datetime):
            calendar(self.order.chunk, date, None)
        assert isinstance(date, datetime)
        return groups.setdefault(self.days.chunk(date.date()), _Group([], [], [], [], []))

    def _gone(self) -> Iterable[str]:
        if self.whole.load is None or not self.standing:
            return ()
        there = {file.uri for file in self.whole.new}
        return (uri for uri in self.whole.load.replaces if uri not in there)

    def _plan(self, chunk: Chunk, group: _Group) -> ChunkPlan:
        is_done = (chunk.lower, chunk.upper) in self.past.done
        if self.whole.mode == "replace" and self._stands(group, is_done):
            group.done, group.new = group.new, []
        again = self.order.reprocess == "all" and not is_done and self.whole.load is not None
        reread = group.done if again and self.whole.mode != "replace" else []
        changed = group.changed if self.whole.on_change == "reprocess" else []
        read = sorted([*group.new, *reread, *changed], key=_order)
        codes = [self.past.held[file.uri, file.etag] for file in group.held]
        uris = frozenset(file.uri for file in reread)
        return ChunkPlan(
            chunk=chunk,
            new=len(group.new),
            done=len(group.done),
            changed=len(group.changed),
            again=len(reread),
            held=len(group.held),
            bytes=sum(file.size for file in read),
            code=max(codes, default=0),
            run=self._run(chunk, group, read, uris) if read or group.gone else None,
        )

    def _stands(self, group: _Group, is_done: bool) -> bool:
        """Say whether the table holds just what a replacing run of this chunk would put there."""
        if is_done:
            return True
        if group.gone or group.held or self.order.reprocess == "all":
            return False
        return all(
            file.uri in self.standing and self.standing[file.uri].etag == file.etag
            for file in group.new
        )

    def _run(self, chunk: Chunk, group: _Group, read: list[FileRef], again: Set[str]) -> RunPlan:
        whole, execution = self.whole, self.whole.execution
        assert execution is not None
        reread = [file for file in read if file.uri in again]
        batches = make_batches(read, self.batch_bytes)
        return replace(
            whole,
            new=tuple(group.new),
            done=tuple(file for file in group.done if file.uri not in again),
            changed=tuple(sorted([*group.changed, *reread], key=_order)),
            batches=len(batches),
            warnings=(),
            lower=chunk.lower,
            upper=chunk.upper,
            load=self._load(whole.load, group, again) if whole.load else None,
            execution=replace(execution, batches=batches, memory=_memory(execution, group.uris)),
        )

    def _load(self, load: LoadPlan, group: _Group, again: Set[str]) -> LoadPlan:
        uris = group.uris
        made = replace(
            load,
            new=tuple(file for file in load.new if file.uri in uris),
            done=tuple(file for file in load.done if file.uri in uris),
            changed=tuple(file for file in load.changed if file.uri in uris),
            replaces=tuple(uri for uri in load.replaces if uri in uris or uri in group.gone),
            warnings=(),
        )
        return loaded_again(made, again) if again else made


def _memory(execution: Execution, uris: Set[str]) -> MemoryPlan | None:
    memory = execution.memory
    return None if memory is None else replace(memory, uris=memory.uris & uris)


def _order(file: FileRef) -> tuple[datetime, str]:
    assert isinstance(file.date, datetime)
    return file.date, file.uri
