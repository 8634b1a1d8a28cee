"""Replaying rejects: rows that were rejected are read again by the pipeline as it is now.

Only rows that stand in the warehouse count: those that no replay has loaded, of files whose load
stands. Their raw text is what the shell steps had left, so these are not run again; the other steps
are. Of each file the rows become one part in the ledger, named by what they are and by the plan,
and in the same transaction they stop to stand; the ones that are rejected again stand anew, with
the new reason. A memory table is not touched: it is made from files.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.catalog.model import FileRef
from ess_dask.dataclass import dataclass
from ess_dask.engine.batches import make_batches
from ess_dask.engine.executor import usable_cores
from ess_dask.engine.model import Job
from ess_dask.errors import UsageError
from ess_dask.pipelines.execution import Execution
from ess_dask.pipelines.plan import RunPlan
from ess_dask.pipelines.prepare import columns_of, make_job, target_of
from ess_dask.pipelines.report import Totals, add_up
from ess_dask.records.rejects import RAW_LIMIT
from ess_dask.warehouse.model import LoadFile, LoadPlan, Target

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.pipelines.model import Pipeline
    from ess_dask.records.chunk import Chunk
    from ess_dask.records.spec import ReadSpec
    from ess_dask.settings import Settings
    from ess_dask.warehouse.protocol import Warehouse


@dataclass(frozen=True, slots=True)
class RejectedRows:
    """Reads rejected rows in place of the files they came from: an ``engine.model.Reader``.

    ``of_uri`` holds the rows of each file, as ``Warehouse.rejects`` gives them. Stays in this
    process.
    """

    of_uri: dict[str, pa.Table]

    def chunks(self, file: FileRef, read: ReadSpec) -> Iterator[Chunk]:
        """Yield what the rows of a file are now, and those that are rejected again."""
        from ess_dask.records.chunk import REJECT_FIELDS
        from ess_dask.records.csv import read_rejected

        rows = self.of_uri[file.uri].rename_columns({"column_name": "column"})
        yield from read_rejected(rows.select(REJECT_FIELDS), read)


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What a replay would do. Counts of standing rejected rows: ``standing`` of all, ``tried`` of
    those that this very plan rejected, ``cut`` of those whose raw text was too long to be kept
    whole; ``run`` reads all others again.
    """

    run: RunPlan
    standing: int
    tried: int
    cut: int

    @property
    def rows(self) -> int:
        """Rows that will be read again."""
        return self.standing - self.tried - self.cut

    def notes(self) -> tuple[str, ...]:
        """Return what a person should know about the rows that are left out, a line each."""
        notes = []
        if self.cut:
            notes.append(
                f"{self.cut:,} rejected rows cannot be replayed: only the first {RAW_LIMIT:,} "
                "bytes of their text were kept"
            )
        if self.tried:
            notes.append(
                f"{self.tried:,} rejected rows are left: this very pipeline rejected them "
                "(--again reads them all the same)"
            )
        return (*notes, *self.run.warnings)


def plan_replay(
    pipeline: Pipeline, folder: Path, settings: Settings, *, load_id: str = "", again: bool = False
) -> ReplayPlan:
    """Return what a replay of a pipeline's standing rejects would do; nothing is written.

    ``load_id`` keeps to the rows that one run rejected, ``again`` takes those that this very plan
    rejected as well. Raises ``UsageError`` for a pipeline without a warehouse or with a step that
    sees whole files, ``ConflictError`` when the table does not fit.
    """
    from ess_dask.warehouse.changes import refuse_changed
    from ess_dask.warehouse.connect import open_warehouse

    target = _target(pipeline, settings)
    job = make_job(pipeline, folder, settings)
    _refuse_whole_files(job)
    digest = pipeline.digest(folder)
    warehouse = open_warehouse(target.url)
    found = _find(warehouse, target, load_id, digest, again=again)
    of_uri = _by_uri(found.rows)
    files = [_load_file(part, found.dates, digest) for part in of_uri.values()]
    columns = columns_of(job, target)
    load = warehouse.plan(target, columns, files, None, digest)
    refuse_changed(load)
    refs = {file.uri: _ref(file, of_uri[file.uri]) for file in load.new}
    execution = Execution(
        job=replace(job, bytes_steps=(), reader=RejectedRows(of_uri)),
        rejects=replace(pipeline.rejects, limit="100%", keep=True),
        columns=columns,
        batches=make_batches(refs.values(), settings.batch_bytes),
        slots=settings.threads or usable_cores(),
        replayed=found.rows,
    )
    run = _describe(pipeline, digest, execution, load, tuple(refs.values()))
    return ReplayPlan(run, found.standing, found.tried, found.cut)


def try_replay(plan: ReplayPlan) -> Totals:
    """Read the rows again without loading any; return what would become of them."""
    from ess_dask.engine.sinks import Tee
    from ess_dask.engine.work import process

    assert plan.run.execution is not None
    work = partial(process, job=plan.run.execution.job, sink=Tee(()))
    return add_up([work(batch) for batch in plan.run.execution.batches])


def _target(pipeline: Pipeline, settings: Settings) -> Target:
    if pipeline.load is None:
        raise UsageError(
            f"{pipeline.name} loads no warehouse: no rejected rows stand anywhere",
            hint="run it again after it was mended",
        )
    target = target_of(pipeline, pipeline.load, settings)
    # A replay adds to what stands of a file; replacing would delete just that.
    return replace(target, mode="append") if target.mode == "replace" else target


def _refuse_whole_files(job: Job) -> None:
    for step in job.row_steps:
        if step.per == "file":
            raise UsageError(
                f"step '{step.name}' sees whole files, and a replay has only their rejected rows",
                hint="load the files anew: ess run PIPELINE --set load.mode=replace --from --to",
            )


@dataclass(frozen=True, slots=True)
class _Found:
    """The rows to read again, by file, member and line; counts as in ``ReplayPlan``; the date of
    each file by load and uri."""

    rows: pa.Table
    standing: int
    tried: int
    cut: int
    dates: dict[tuple[str, str], str]


def _find(
    warehouse: Warehouse, target: Target, load_id: str, digest: str, *, again: bool
) -> _Found:
    """Return the standing rows that a replay under the plan ``digest`` reads again."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rejects = warehouse.rejects(target.table, target.pipeline, load_id=load_id)
    # With history: whatever is loaded in the meantime, the loads of these rows are among them.
    entries = {
        (entry.load_id, entry.file.uri): entry
        for entry in warehouse.ledger(target.table, target.pipeline, history=True)
    }
    loads = zip(rejects["load_id"].to_pylist(), rejects["uri"].to_pylist(), strict=True)
    known = [not again and entries[key].digest == digest for key in loads]
    tried = pa.array(known, pa.bool_())
    cut = pc.and_not(pc.greater_equal(pc.binary_length(rejects["raw"]), RAW_LIMIT), tried)
    rows = rejects.filter(pc.invert(pc.or_(tried, cut)))
    order = [(name, "ascending") for name in ("uri", "member", "line")]
    return _Found(
        rows=rows.sort_by(order),
        standing=rejects.num_rows,
        tried=sum(known),
        cut=rejects.num_rows - rows.num_rows - sum(known),
        dates={key: entry.file.date for key, entry in entries.items()},
    )


def _by_uri(rows: pa.Table) -> dict[str, pa.Table]:
    """Return the rows of each file, in order; ``rows`` lie by file."""
    found, start = {}, 0
    for uri, same in itertools.groupby(rows["uri"].to_pylist()):
        length = sum(1 for _ in same)
        found[uri] = rows.slice(start, length)
        start += length
    return found


def _load_file(rows: pa.Table, dates: dict[tuple[str, str], str], digest: str) -> LoadFile:
    """Return the part of a file that its rejected rows are to the ledger."""
    first = rows.slice(0, 1).to_pylist()[0]
    names = zip(*(rows[name].to_pylist() for name in ("load_id", "member", "line")), strict=True)
    what = hashlib.sha256(repr((digest, *names)).encode("utf-8", "surrogatepass")).hexdigest()
    date = dates[first["load_id"], first["uri"]]
    return LoadFile(first["uri"], first["etag"], date, part=f"replay-{what[:16]}")


def _ref(file: LoadFile, rows: pa.Table) -> FileRef:
    from ess_dask.warehouse.dates import parse_date

    return FileRef(file.uri, parse_date(file.date), rows["raw"].nbytes, file.etag)


def _describe(
    pipeline: Pipeline,
    digest: str,
    execution: Execution,
    load: LoadPlan,
    files: tuple[FileRef, ...],
) -> RunPlan:
    from ess_dask.warehouse.connect import resolved_url

    steps = tuple(step.name for step in execution.job.row_steps)
    shell = [step for step in pipeline.clean if step.kind == "shell"]
    warning = "shell steps are not run again: rejected rows are as these had left them"
    return RunPlan(
        pipeline=pipeline.name,
        digest=digest,
        store=execution.job.store.root,
        new=files,
        batches=len(execution.batches),
        target=resolved_url(load.target.url),
        table=load.target.table,
        mode=load.target.mode,
        steps=steps,
        ddl=load.ddl,
        warnings=(warning,) if shell else (),
        load=load,
        execution=execution,
    )
