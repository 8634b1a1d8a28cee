"""Files of a category through a command into a table of Redshift, each once (``ess redshift
stream``): a run without a pipeline file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import field, replace
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConflictError, DataError
from ess_dask.warehouse.redshift.copy_options import CopyOptions

if TYPE_CHECKING:
    from ess_dask.catalog.model import Category, Datastore
    from ess_dask.engine.model import Job
    from ess_dask.pipelines.execution import RunSpec
    from ess_dask.pipelines.plan import RunPlan
    from ess_dask.records.spec import Column
    from ess_dask.settings import Settings
    from ess_dask.warehouse.redshift.url import RedshiftURL


@dataclass(frozen=True, slots=True)
class TableStream:
    """What to stream: files of a registered category, the command for each, the table.

    ``label`` is that of the datastore ('' is the current one), ``threads`` 0 is all cores.
    """

    category: str
    lower: str
    upper: str
    command: str
    table: str
    label: str = ""
    threads: int = 0
    options: CopyOptions = field(default_factory=CopyOptions)

    @property
    def pipeline(self) -> str:
        """The ledger's name: ``stream:CATEGORY``, and a hash of the command unless that is cat.

        Another command is another pipeline, so one table can take several views of the same files;
        a file that was loaded by one command is loaded again by the other.
        """
        if self.is_plain:
            return f"stream:{self.category}"
        return f"stream:{self.category}:{_hash(self.command.strip())[:8]}"

    @property
    def is_plain(self) -> bool:
        """Whether the files' own bytes are what is loaded."""
        return self.command.strip() == "cat"


def plan_stream(stream: TableStream, url: RedshiftURL) -> tuple[RunPlan, Settings]:
    """Return what a stream into a table would do now, and the settings to run it with.

    The output of the command is read as CSV without a title line, with the columns of the table in
    its order; blank fields are null. Rows that do not fit are rejected and kept; more of them than
    ``options.max_errors`` publish nothing. Raises ``DataError`` when there is no such table,
    ``ConflictError`` for one that loads cannot go into, ``UsageError`` for unknown names and wrong
    ranges, and what planning a run raises.
    """
    from ess_dask.catalog.registry import registered
    from ess_dask.pipelines.prepare import plan_run
    from ess_dask.settings import load_settings

    store, category = registered(stream.category, stream.label)
    columns = _table_columns(stream.table, url)
    settings = load_settings()
    settings = replace(settings, threads=stream.threads or settings.threads)
    job = _job(stream, store, category, columns, settings)
    return plan_run(_spec(stream, category, job, url), settings), settings


def _table_columns(table: str, url: RedshiftURL) -> tuple[Column, ...]:
    from ess_dask.warehouse.quote import RESERVED, fold, parse_table
    from ess_dask.warehouse.redshift.existing import table_state
    from ess_dask.warehouse.redshift.types import REDSHIFT_TYPES
    from ess_dask.warehouse.redshift.warehouse import RedshiftWarehouse
    from ess_dask.warehouse.schema import FILE_COLUMN, LOAD_COLUMN

    with RedshiftWarehouse(url).session() as session:
        state = table_state(session, parse_table(table, url.options.schema))
    if not state.exists:
        raise DataError(
            f"there is no table {state.name}", hint="ess redshift gentable makes one for a category"
        )
    names = {column.name for column in state.columns}
    if state.is_view or not {LOAD_COLUMN, FILE_COLUMN} <= names:
        raise ConflictError(
            f"{state.name} cannot say which file a row is from: "
            + ("it is a view" if state.is_view else f"it has no {LOAD_COLUMN} and {FILE_COLUMN}"),
            hint="ess redshift gentable makes a table that can; or add both columns to this one as "
            "VARCHAR(256) and VARCHAR(4096)",
        )
    columns = tuple(c for c in state.columns if not fold(c.name).startswith(RESERVED))
    for column in columns:
        if column.type.name not in REDSHIFT_TYPES:
            raise DataError(
                f"column {column.name} of {state.name} has the type {column.type.name}, which no "
                "load can fill",
                hint="stream into a table of other types, and convert there",
            )
    return columns


def _job(
    stream: TableStream,
    store: Datastore,
    category: Category,
    columns: tuple[Column, ...],
    settings: Settings,
) -> Job:
    from ess_dask.api.stream import node_words
    from ess_dask.clean.protocol import StepContext
    from ess_dask.engine.command import Command, CommandStep
    from ess_dask.engine.executor import usable_cores
    from ess_dask.engine.model import Job
    from ess_dask.records.spec import ReadSpec
    from ess_dask.udb.programs.inside import find_program

    words = {
        "cols": category.columnspec,
        "delim": category.delimiter,
        **node_words(settings.threads or usable_cores()),
    }
    step = CommandStep(Command(stream.command, words, find_program))
    return Job(
        store=store,
        read=ReadSpec(
            columns=columns,
            delimiter=stream.options.delimiter,
            header=stream.options.header,
            by_position=True,
            compression=category.compression,
            archive=category.archive,
            extra_columns="fail",
            chunk_bytes=settings.chunk_bytes,
            max_record_bytes=settings.max_record_bytes,
        ),
        bytes_steps=() if stream.is_plain else (step,),
        context=replace(StepContext.of_user(), timeout=settings.step_timeout),
    )


def _spec(stream: TableStream, category: Category, job: Job, url: RedshiftURL) -> RunSpec:
    from ess_dask.pipelines.execution import RunSpec, Window
    from ess_dask.pipelines.model import Rejects
    from ess_dask.records.types import format_type
    from ess_dask.warehouse.model import Target
    from ess_dask.warehouse.redshift.url import with_secret

    read = job.read
    digest = _hash(
        json.dumps(
            {
                "columns": [[column.name, format_type(column.type)] for column in read.columns],
                "read": [read.delimiter, read.header, read.compression, read.archive],
                "command": stream.command.strip(),
                "table": stream.table,
            }
        )
    )
    return RunSpec(
        name=stream.pipeline,
        digest=digest[:32],
        job=job,
        category=category,
        window=Window(stream.lower, stream.upper),
        rejects=Rejects(str(stream.options.max_errors)),
        target=Target(with_secret(url), stream.table, stream.pipeline),
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
