"""SQL over whatever can be named after FROM: categories, memory, Parquet, the warehouse, frames."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any

from ess_dask.api.given import Named, is_source, may_be_sent, rows_of, source_of
from ess_dask.api.workers import Beside
from ess_dask.dataclass import dataclass
from ess_dask.errors import EssError, UsageError
from ess_dask.query.sql.model import RESERVED, Partitioned, Side
from ess_dask.query.sql.names import spoken
from ess_dask.settings import load_settings

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.api.cluster import Cluster
    from ess_dask.api.lake import Lake
    from ess_dask.api.results import Answer, SelectionPlan
    from ess_dask.catalog.model import FileRef
    from ess_dask.query.sql.memory import MemoryRows
    from ess_dask.query.sql.room import Limits
    from ess_dask.query.sql.run import Run
    from ess_dask.tables.session import Session
    from ess_dask.tables.table import MemoryTable

_RANGE = re.compile(r"(?P<name>[^:]+):(?P<lower>\*|'[^']*'|[^:']*(?::\d\d)*):(?P<upper>.+)")
_FEW = re.compile(r"(?!.*\b(?:group|order)\s+by\b).*\blimit\b", re.IGNORECASE | re.DOTALL)
_PARQUET = (".parquet", ".parq")
_TEXT = re.compile(r"\.[ct]sv(\.(gz|bz2|xz|zst))?$", re.IGNORECASE)


@dataclass(slots=True)
class Sources:
    """Opens what a statement names. ``lake`` is where categories and files are looked for,
    ``given`` has what Python hands in, ``session`` connects to the cluster when a table is named
    and says whether the connection is ours to close."""

    lake: Callable[[], Lake]
    session: Callable[[], tuple[Session | None, bool]]
    given: Mapping[str, Any] = field(default_factory=dict)
    warehouse: str = ""
    opened: dict[str, Partitioned] = field(default_factory=dict)
    beside: Beside = field(default_factory=Beside)
    _ranges: dict[str, SelectionPlan | EssError] = field(default_factory=dict)
    _sides: dict[str, Side] = field(default_factory=dict)
    _tables: list[MemoryTable] = field(default_factory=list)
    _session: Session | None = None
    _owns: bool = False

    def find(self, path: tuple[str, ...]) -> Side | None:
        """Return the source with this name, opened; None when there is none of that kind."""
        shown = ".".join(path)
        if shown not in self._sides:
            source = self._open(path)
            if source is None:
                return None
            name = f"{RESERVED}t{len(self.opened)}"
            self.opened[name] = source
            table = _in_memory(source)
            self._sides[shown] = Side(
                name,
                # Messages call a table by its full name, the rest as it was written.
                str(table.memory.name) if table else shown,
                source.schema,
                source.key,
                source.placement,
                source.size,
                len(table.futures) if table else 0,
            )
        return self._sides[shown]

    def begin(self, text: str, limit: int | None = None) -> None:
        """Let processes start to read what a statement names, while it is planned: both take about
        as long. Whatever is wrong with it is for the planner to say, after the files of its ranges
        are listed."""
        if limit is not None or _FEW.match(text):
            return
        with suppress(EssError):
            named = filter(None, map(_RANGE.fullmatch, spoken(text).names))
            ranges = [self._range(match) for match in named if self._given(match[0]) is None]
            sent = [plan for plan in ranges if may_be_sent(plan.selection)]
            if size := sum(batch.size for plan in sent for batch in plan.batches):
                self.beside.start(size, load_settings())

    def close(self) -> None:
        """Let the processes, the tables and the connection go."""
        self.beside.end()
        for source in self.opened.values():
            source.release()
        for table in self._tables:
            table.close()
        if self._session is not None and self._owns:
            self._session.close()

    def _open(self, path: tuple[str, ...]) -> Partitioned | None:
        if len(path) == 1:
            return self._open_name(path[0])
        if path[0].lower() == "warehouse":
            return self._open_warehouse(path[1:])
        return self._open_table(path) if len(path) == 2 else None

    def _open_name(self, name: str) -> Partitioned | None:
        if (given := self._given(name)) is not None:
            return source_of(name, given, self.beside)
        if match := _RANGE.fullmatch(name):
            return rows_of(self._range(match), self.beside)
        if ":" in name and "/" not in name:
            return self._open_table(tuple(name.split(":", 1)))
        if name.lower().endswith(_PARQUET):
            return _parquet(self.lake(), name)
        if _TEXT.search(name):
            return rows_of(_text_files(self.lake(), name), self.beside)
        return None

    def _range(self, match: re.Match[str]) -> SelectionPlan:
        """Return what a range of a category would read. Its files are listed once, and a store that
        does not answer is waited for once."""
        found = self._ranges.get(match[0])
        if found is None:
            lower, upper = (match[side].strip("'") for side in ("lower", "upper"))
            try:
                found = self.lake().category(match["name"]).between(lower, upper).plan()
            except EssError as error:
                found = error
            self._ranges[match[0]] = found
        if isinstance(found, EssError):
            raise found
        return found

    def _given(self, name: str) -> Any:
        """Return what Python hands in under this name, by preference in the same case."""
        known = list(self.given)
        same = [each for each in known if each.lower() == name.lower()]
        return self.given[name if name in same else same[0]] if same else None

    def _open_table(self, path: tuple[str, ...]) -> Partitioned:
        from ess_dask.query.sql.memory import MemoryRows

        if self._session is None:
            self._session, self._owns = self.session()
        if self._session is None:
            raise UsageError(
                f"there is no table {'.'.join(path)} in memory: the cluster does not run",
                hint="import it first; for a range of files write category:start:end",
            )
        table = self._session.open(".".join(path))
        self._tables.append(table)
        return MemoryRows(table)

    def _open_warehouse(self, path: tuple[str, ...]) -> Partitioned:
        from ess_dask.query.sql.flat import read_duckdb, warehouse_rows

        scheme, _, place = self.warehouse.partition("://")
        if scheme == "duckdb":
            return warehouse_rows(partial(read_duckdb, place.removeprefix("/")), path)
        if scheme.partition("+")[0] == "redshift":
            return warehouse_rows(partial(_unloaded, self.warehouse), path)
        raise UsageError(
            f"a query cannot read the warehouse {scheme or '(none)'}",
            hint="set ESS_WAREHOUSE to duckdb:///FILE or a Redshift URL",
        )


def _unloaded(url: str, query: str) -> pa.Table:
    from ess_dask.api.unload import unload

    return unload(query, url, form="arrow")


def _in_memory(source: Partitioned) -> MemoryRows | None:
    """Return a source that is a table in memory; its rows always lie by their key."""
    if not source.placement:
        return None
    from ess_dask.query.sql.memory import MemoryRows

    return source if isinstance(source, MemoryRows) else None


def _text_files(lake: Lake, pattern: str) -> SelectionPlan:
    """Return what delimited files of a pattern would give, with the columns that a look at the
    first one that holds any shows."""
    from ess_dask.catalog.model import Category
    from ess_dask.catalog.probing import read_sample
    from ess_dask.records.probe import probe_bytes

    category = Category("files", (pattern,))
    found = _matching(lake, pattern)
    probes = (probe_bytes(read_sample(lake.store, category, file)) for file in found)
    probe = next((probe for probe in probes if probe.columns), None)
    if probe is None:
        raise UsageError(f"no file of {pattern!r} holds anything", hint="ess ls shows their sizes")
    files = lake.category(
        "files",
        pattern,
        columns=probe.to_type_names(),
        date="none",
        delimiter=probe.delimiter,
        header=probe.header,
    )
    return files.all().plan()


def _parquet(lake: Lake, pattern: str) -> Partitioned:
    from ess_dask.api.workers import executor_for
    from ess_dask.query.sql.flat import parquet_rows

    executor = partial(executor_for, lake.store, load_settings())
    return parquet_rows(lake.store, _matching(lake, pattern), executor)


def _matching(lake: Lake, pattern: str) -> tuple[FileRef, ...]:
    """Return the files of a pattern, at least one; ``UsageError`` when there is none."""
    from ess_dask.catalog.model import Category
    from ess_dask.catalog.selection import select_files

    category = Category("files", (pattern,), dateregex="none")
    files = select_files(lake.store, category, "*", "*").files
    if not files:
        raise UsageError(
            f"no file matches {pattern!r} in {lake.store.root}", hint="check the pattern"
        )
    return files


def limits() -> Limits:
    """Return what the settings allow a question."""
    import os

    from ess_dask.query.sql.room import Limits

    settings = load_settings()
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return Limits(seconds=settings.query_timeout, memory=settings.memory_limit or half)


def prepare(text: str, sources: Sources, limit: int | None = None, *, check: bool = False) -> Run:
    """Return a statement, checked and planned; ``rows`` of the result answers it, unless it is only
    to ``check``.

    With ``limit`` a statement that has no limit itself gets this one. Raises ``UsageError`` with
    line and column for what is not one SELECT over sources, and what opening these raises.
    """
    from ess_dask.query.sql.compile import compile_statement
    from ess_dask.query.sql.run import Run

    if not check:
        sources.begin(text, limit)
    allowed = limits()
    plan = compile_statement(text, sources.find, allowed.side, limit)
    return Run(plan, sources.opened, allowed)


def ask(text: str, sources: Sources) -> Answer:
    """Answer a statement; the sources are closed. Raises as ``prepare`` and ``Run.rows`` do."""
    from ess_dask.api.results import Answer
    from ess_dask.api.warn import NoFilesWarning, warn, warn_of_rejects

    try:
        run = prepare(text, sources)
        for name in ranges_without_files(sources):
            warn(f"no file lies in {name}", NoFilesWarning)
        rows = rows_with_progress(run)
        warn_of_rejects(rejected(sources), "the same range as a selection: .rejects()")
        return Answer(rows, run)
    finally:
        sources.close()


def rows_with_progress(run: Run) -> pa.Table:
    """Return the answer of a run; a person who looks on sees how far it is. Raises as ``rows``."""
    from ess_dask.api.progress import counting

    with counting(_parts(run), "parts") as count:
        run.watch = partial(count, 1)
        return run.rows()


def _parts(run: Run) -> int:
    """Return about how many parts will answer: batches of files, partitions."""
    firsts = [run.sources.get(stage.sources[0]) for stage in run.plan.stages if stage.sources]
    return sum(_size_in_parts(source) for source in firsts)


def _size_in_parts(source: Partitioned | None) -> int:
    for name in ("batches", "files", "futures"):
        if (parts := getattr(source, name, None)) is not None:
            return len(parts)
    return 1


def sources_of(
    *,
    lake: Lake | None = None,
    cluster: Cluster | None = None,
    given: Mapping[str, Any] | None = None,
    label: str = "",
) -> Sources:
    """Return what a statement may name: by default the current datastore (or that with ``label``),
    and the cluster of ``with ess.connect()``, else the one that runs."""

    def find_lake() -> Lake:
        from ess_dask.api.lake import Lake
        from ess_dask.catalog.registry import current_store

        return lake or Lake(current_store(label))

    def find_session() -> tuple[Session | None, bool]:
        from ess_dask.api.cluster import active_cluster
        from ess_dask.tables.session import running_session

        found = cluster or active_cluster()
        return (running_session(), True) if found is None else (found.session, False)

    return Sources(find_lake, find_session, given or {}, load_settings().warehouse)


def rejected(sources: Sources) -> int:
    """Return how many rows of categories were rejected."""
    from ess_dask.query.sql.files import CategoryRows

    found = (each for each in sources.opened.values() if isinstance(each, CategoryRows))
    return sum(source.account.rejected for source in found)


def ranges_without_files(sources: Sources) -> list[str]:
    """Return the ranges, as the statement names them, in which no file lies."""
    from ess_dask.query.sql.files import CategoryRows

    found = ((shown, sources.opened[side.name]) for shown, side in sources._sides.items())
    return [name for name, each in found if isinstance(each, CategoryRows) and not each.batches]


def frames(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return frames, tables and selections of the caller, which a statement may name. Raises
    ``UsageError`` for what is none of these."""
    return Named({name: _readable(name, value) for name, value in given.items()})


def _readable(name: str, value: Any) -> Any:
    if is_source(value):
        return value
    from ess_dask.query.sql.flat import frame_rows

    return frame_rows(name, value).tables[0]
