"""The embedded warehouse: a DuckDB file, opened for each call and closed again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from ess_dask.errors import ConfigError, TransientError
from ess_dask.records.spec import Column
from ess_dask.warehouse.decision import check_request
from ess_dask.warehouse.duckdb import ledger
from ess_dask.warehouse.duckdb.existing import table_state
from ess_dask.warehouse.duckdb.file import DuckDBOptions, opened
from ess_dask.warehouse.duckdb.transaction import Watch, run_load, verify_load
from ess_dask.warehouse.duckdb.types import DIALECT, DUCKDB_TYPES
from ess_dask.warehouse.model import (
    LoadFile,
    LoadPlan,
    LoadRequest,
    LoadResult,
    StagedPart,
    Target,
)
from ess_dask.warehouse.planning import Standing, check_target, make_plan
from ess_dask.warehouse.protocol import Capabilities, LedgerEntry, LoadEntry, Run, Verification
from ess_dask.warehouse.quote import TableName, fold, parse_table
from ess_dask.warehouse.retry import retrying
from ess_dask.warehouse.schema import TableState
from ess_dask.warehouse.staging import StagingSink
from ess_dask.warehouse.standing import rejects_table

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from ess_dask.catalog.bounds import Bounds
    from ess_dask.engine.model import Sink

_CAPABILITIES = Capabilities(
    name="DuckDB",
    modes=frozenset({"append", "replace", "upsert"}),
    types=DUCKDB_TYPES,
    widens=frozenset({"number", "string"}),
    staging=frozenset({""}),
    lays_out=False,
    direct=False,
)

_OPTIONS = {
    "memory_limit": r"(\d+(\.\d+)? ?[KMGT]i?B)?",
    "threads": r"\d{1,4}",
    "lock_wait": r"\d{1,6}(\.\d+)?",
    "text_digest": "true|false",
}
"""Options after a URL's ``?`` and the form of their values."""


def open_duckdb(url: str) -> DuckDBWarehouse:
    """Return the warehouse for ``duckdb:///relative.duckdb`` or ``duckdb:////abs/path.duckdb``.

    ``%`` escapes are understood in the path. After ``?``: ``memory_limit=4GB``, ``threads=2``,
    ``lock_wait=5`` (seconds), ``text_digest=true``. Raises ``ConfigError`` for anything else.
    """
    rest = url.partition("://")[2]
    location, _, query = rest.partition("?")
    if not location.startswith("/") or location in {"/", "/:memory:"}:
        raise ConfigError(
            "a DuckDB warehouse is a file on this machine",
            hint="write duckdb:///relative.duckdb or duckdb:////absolute/path.duckdb",
        )
    return DuckDBWarehouse(Path(unquote(location[1:])).absolute(), _options(query))


def _options(query: str) -> DuckDBOptions:
    given = dict(parse_qsl(query, keep_blank_values=True))
    for name in given:
        if name not in _OPTIONS:
            raise ConfigError(
                f"unknown option {name!r} in a DuckDB URL", hint=f"known: {', '.join(_OPTIONS)}"
            )
    for name, value in given.items():
        if not re.fullmatch(_OPTIONS[name], value, re.ASCII):
            raise ConfigError(
                f"bad value for {name} in a DuckDB URL",
                hint="such as memory_limit=4GB, threads=2, lock_wait=5, text_digest=true",
            )
    return DuckDBOptions(
        memory_limit=given.get("memory_limit", ""),
        threads=int(given.get("threads", 0)),
        lock_wait=float(given.get("lock_wait", 5.0)),
        text_digest=given.get("text_digest") == "true",
    )


class DuckDBWarehouse:
    """A DuckDB file as ``protocol.Warehouse``. Reading calls leave a missing file missing.

    ``watch`` is called with the name of each step of a load when it is done
    (``transaction.STEPS``).
    """

    def __init__(
        self, path: Path, options: DuckDBOptions | None = None, watch: Watch | None = None
    ) -> None:
        self.path = path
        self.options = options or DuckDBOptions()
        self._watch = watch or (lambda _: None)

    def __repr__(self) -> str:
        return f"DuckDBWarehouse({str(self.path)!r})"

    @property
    def capabilities(self) -> Capabilities:
        """What a DuckDB file can do."""
        return _CAPABILITIES

    def plan(
        self,
        target: Target,
        columns: Sequence[Column],
        files: Sequence[LoadFile],
        replace_range: Bounds | None = None,
        digest: str = "",
    ) -> LoadPlan:
        """See ``Warehouse.plan``."""
        check_target(target, columns, _CAPABILITIES)
        name = parse_table(target.table)
        with self._reading() as connection:
            if connection is None:
                # DuckDB calls a database by its file's name up to the first dot.
                name = replace(name, catalog=self.path.name.partition(".")[0])
            standing = _standing(connection, name, target.pipeline)
        return make_plan(target, columns, files, standing, DIALECT, replace_range, digest)

    def sink(self, folder: str, load_id: str, plan: LoadPlan) -> StagingSink:
        """See ``Warehouse.sink``."""
        return StagingSink(folder, plan.columns)

    def check(self, plan: LoadPlan) -> None:
        """Return nothing: a DuckDB table has no narrower limits than Arrow."""

    def spread(self, sink: Sink, parts: Sequence[StagedPart], run: Run) -> tuple[StagedPart, ...]:
        """Return the parts as they are: DuckDB reads row groups side by side."""
        return tuple(parts)

    def fit(self, plan: LoadPlan, parts: Sequence[StagedPart]) -> LoadPlan:
        """Return the plan as it is: nothing in a DuckDB table depends on the values."""
        return plan

    def load(self, request: LoadRequest) -> LoadResult:
        """See ``Warehouse.load``."""
        check_target(request.plan.target, request.plan.columns, _CAPABILITIES)
        check_request(request)
        # Only two loads of one process meet inside the file: the second begins again.
        return retrying(TransientError, self.options.lock_wait, lambda: self._load(request))

    def staged_at(self, load_id: str) -> str:
        """Return '': parts lie in the run's folder."""
        return ""

    def verify(self, request: LoadRequest) -> Verification:
        """See ``Warehouse.verify``."""
        staged = sum(file.rows_loaded for file in request.files)
        with self._reading_ledger() as connection:
            if connection is None:
                return Verification(staged, 0, ("the load is not in the table",))
            return verify_load(connection, request, text=self.options.text_digest)

    def loads(self, table: str = "", pipeline: str = "") -> tuple[LoadEntry, ...]:
        """See ``Warehouse.loads``."""
        with self._reading_ledger() as connection:
            return ledger.loads(connection, _folded(table), pipeline) if connection else ()

    def ledger(
        self, table: str = "", pipeline: str = "", *, history: bool = False
    ) -> tuple[LedgerEntry, ...]:
        """See ``Warehouse.ledger``."""
        with self._reading_ledger() as connection:
            if connection is None:
                return ()
            return ledger.entries(connection, _folded(table), pipeline, history=history)

    def rejects(
        self, table: str = "", pipeline: str = "", *, load_id: str = "", limit: int | None = None
    ) -> pa.Table:
        """See ``Warehouse.rejects``."""
        with self._reading_ledger() as connection:
            if connection is None:
                return rejects_table()
            return ledger.rejects(connection, _folded(table), pipeline, load_id, limit)

    def _load(self, request: LoadRequest) -> LoadResult:
        needs = sum(part.bytes for part in request.parts)
        with opened(self.path, self.options, write=True, needs=needs) as connection:
            return run_load(connection, request, text=self.options.text_digest, watch=self._watch)

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection | None]:
        """Give a connection that cannot write, or None where there is no file yet."""
        if not self.path.exists():
            yield None
            return
        with opened(self.path, self.options, write=False) as connection:
            yield connection

    @contextmanager
    def _reading_ledger(self) -> Iterator[duckdb.DuckDBPyConnection | None]:
        """Give a connection that cannot write, or None where there is no ledger yet."""
        with self._reading() as connection:
            yield connection if connection is not None and ledger.exists(connection) else None


def _standing(
    connection: duckdb.DuckDBPyConnection | None, name: TableName, pipeline: str
) -> Standing:
    if connection is None:
        return Standing(TableState(name, schema_exists=fold(name.schema) == "main"))
    state = table_state(connection, name)
    if not ledger.exists(connection):
        return Standing(state)
    loads = ledger.loads(connection, str(name), pipeline)
    entries = ledger.entries(connection, str(name), pipeline)
    return Standing(state, entries, loads[-1].digest if loads else "")


def _folded(table: str) -> str:
    return str(parse_table(table)) if table else ""
