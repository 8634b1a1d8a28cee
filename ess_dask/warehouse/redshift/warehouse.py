"""Redshift as a warehouse: one connection for each call, parts in S3, loads exactly once."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ess_dask import retry
from ess_dask.errors import AccessError, ConfigError, DataError, TransientError
from ess_dask.records.spec import Column
from ess_dask.warehouse.decision import check_request
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
from ess_dask.warehouse.redshift.balance import LEAST_BYTES, balanced
from ess_dask.warehouse.redshift.connection import connect, translating
from ess_dask.warehouse.redshift.copy import Authorization
from ess_dask.warehouse.redshift.ddl import RedshiftDialect
from ess_dask.warehouse.redshift.existing import table_state
from ess_dask.warehouse.redshift.incoming import Staged
from ess_dask.warehouse.redshift.ledger import Ledger
from ess_dask.warehouse.redshift.limits import RedshiftCheck
from ess_dask.warehouse.redshift.load import Loading, Watch
from ess_dask.warehouse.redshift.place import FileForm
from ess_dask.warehouse.redshift.session import Session
from ess_dask.warehouse.redshift.staging import RedshiftSink
from ess_dask.warehouse.redshift.translate import PausedError
from ess_dask.warehouse.redshift.types import NESTED, REDSHIFT_TYPES, with_width
from ess_dask.warehouse.redshift.url import RedshiftURL, parse_url
from ess_dask.warehouse.redshift.verify import verify_load
from ess_dask.warehouse.schema import plan_ddl
from ess_dask.warehouse.standing import rejects_table

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.catalog.bounds import Bounds
    from ess_dask.engine.model import RowCheck, Sink

_CAPABILITIES = Capabilities(
    name="Redshift",
    modes=frozenset({"append", "replace", "upsert"}),
    types=REDSHIFT_TYPES,
    widens=frozenset({"string"}),
    staging=frozenset({"s3"}),
    lays_out=True,
    direct=True,
)

LOAD_SECONDS, READ_SECONDS = 600.0, 30.0
"""How long a load, and a question, is tried again while its connection breaks or another
transaction is in its way."""

LEAST_WAIT = 10.0
"""Seconds that a question may take at least: a new kind of query is compiled first."""

LEAST_SPREAD = 2 * LEAST_BYTES
"""Staged bytes below which no part could be divided."""

P = ParamSpec("P")
T = TypeVar("T")


def _again(seconds: float) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a method be tried again: what it did before it broke is taken back, or done.

    A cluster that is paused is not waited for.
    """

    def decorate(method: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(method)
        def tried(*args: P.args, **kwargs: P.kwargs) -> T:
            limits = {"attempts": None, "timeout": seconds, "wait_max": 10.0}

            def attempt() -> T | PausedError:
                try:
                    return method(*args, **kwargs)
                except PausedError as error:
                    return error

            done = retry.retrying(TransientError, attempt, logging.WARNING, **limits)
            if isinstance(done, PausedError):
                raise done
            return done

        return tried

    return decorate


def open_redshift(url: str) -> RedshiftWarehouse:
    """Return the warehouse for a Redshift URL (``url.parse_url``); nothing is connected to yet."""
    return RedshiftWarehouse(parse_url(url))


class RedshiftWarehouse:
    """A Redshift database as ``protocol.Warehouse``. Reading calls make nothing in it.

    ``watch`` is called with the name of each step of a load when it is done (``load.STEPS``).
    """

    def __init__(self, url: RedshiftURL, watch: Watch | None = None) -> None:
        self.url = url
        self._watch = watch or (lambda _: None)

    def __repr__(self) -> str:
        return f"RedshiftWarehouse({str(self.url)!r})"

    @property
    def capabilities(self) -> Capabilities:
        """What Redshift can do."""
        return _CAPABILITIES

    @_again(READ_SECONDS)
    def plan(
        self,
        target: Target,
        columns: Sequence[Column],
        files: Sequence[LoadFile],
        replace_range: Bounds | None = None,
        digest: str = "",
    ) -> LoadPlan:
        """See ``Warehouse.plan``. Lengths of texts follow the data: they are not known yet."""
        check_target(target, columns, _CAPABILITIES)
        name = self._name(target.table)
        with self._asking() as session:
            standing = _standing(session, self._ledger(session), name, target.pipeline)
        dialect = RedshiftDialect(target.layout)
        return make_plan(target, columns, files, standing, dialect, replace_range, digest)

    def sink(self, folder: str, load_id: str, plan: LoadPlan) -> Sink:
        """See ``Warehouse.sink``: parts are written on the worker's disk, then put into S3."""
        staged = self._staged(plan.target, load_id)
        if staged.direct and any(column.type.name == NESTED for column in plan.columns):
            raise ConfigError(
                "a direct load cannot make nested values: they are staged as JSON text",
                hint="leave direct=true out of the warehouse's URL",
            )
        return RedshiftSink(
            folder=folder,
            prefix=staged.prefix,
            load_id=load_id,
            columns=plan.columns,
            ordered=plan.target.mode == "upsert",
            direct=staged.direct,
            format=staged.form.format,
            codec=staged.form.codec,
            text_digest=staged.text_digest,
            required=plan.required,
        )

    def check(self, plan: LoadPlan) -> RowCheck:
        """See ``Warehouse.check``: texts and times have limits."""
        return RedshiftCheck(plan.columns, plan.required)

    def spread(self, sink: Sink, parts: Sequence[StagedPart], run: Run) -> tuple[StagedPart, ...]:
        """See ``Warehouse.spread``: a multiple of the cluster's slices."""
        if not isinstance(sink, RedshiftSink) or sum(part.bytes for part in parts) < LEAST_SPREAD:
            return tuple(parts)
        return balanced(parts, self.url.options.slices or self._slices(), run, sink)

    @_again(READ_SECONDS)
    def _slices(self) -> int:
        with self.session() as session:
            try:
                return int(session.value("SELECT count(*) FROM stv_slices"))
            except (AccessError, DataError):
                # Redshift Serverless shows them to nobody: the parts stay as they are.
                return 1

    @_again(READ_SECONDS)
    def fit(self, plan: LoadPlan, parts: Sequence[StagedPart]) -> LoadPlan:
        """See ``Warehouse.fit``: texts and binaries get the length of their longest value, where
        the table has no room for it yet."""
        widths: dict[str, int] = {}
        for part in parts:
            for name, width in part.widths:
                widths[name] = max(widths.get(name, 0), width)
        if not plan.columns:
            return plan
        with self.session() as session:
            state = table_state(session, self._name(plan.target.table))
        known = {fold(column.name): column.type for column in state.columns}
        columns = tuple(
            with_width(column, widths.get(column.name, 0), known.get(fold(column.name)))
            for column in plan.columns
        )
        ddl = plan_ddl(state, columns, RedshiftDialect(plan.target.layout))
        return replace(plan, columns=columns, ddl=ddl)

    def load(self, request: LoadRequest) -> LoadResult:
        """See ``Warehouse.load``."""
        check_target(request.plan.target, request.plan.columns, _CAPABILITIES)
        check_request(request)
        return self._load(request)

    @_again(LOAD_SECONDS)
    def _load(self, request: LoadRequest) -> LoadResult:
        staged = self._staged(request.plan.target, request.load_id)
        with self.session() as session:
            ledger = self._ledger(session)
            ledger.prepare()
            options = self.url.options
            loading = Loading(
                session, ledger, request, staged, options.schema, options.lock_wait, self._watch
            )
            return loading.run()

    def staged_at(self, load_id: str) -> str:
        """See ``Warehouse.staged_at``; raise ``ConfigError`` when the URL names no stage."""
        stage = self.url.options.stage
        if not stage:
            raise ConfigError(
                "loads into Redshift go through S3, and no place there is given",
                hint="add stage=s3://bucket/prefix to the warehouse's URL",
            )
        return f"{stage.rstrip('/')}/{load_id}"

    @_again(READ_SECONDS)
    def verify(self, request: LoadRequest) -> Verification:
        """See ``Warehouse.verify``: the digest that was recorded with the load, and today's."""
        name = self._name(request.plan.target.table)
        staged = sum(file.rows_loaded for file in request.files)
        with self.session() as session:
            ledger = self._ledger(session)
            if not ledger.exists():
                return Verification(staged, 0, ("the load is not in the table",))
            return verify_load(ledger, request, name, text=self.url.options.text_digest)

    @_again(READ_SECONDS)
    def loads(self, table: str = "", pipeline: str = "") -> tuple[LoadEntry, ...]:
        """See ``Warehouse.loads``."""
        with self._reading() as ledger:
            return ledger.loads(self._folded(table), pipeline) if ledger else ()

    @_again(READ_SECONDS)
    def ledger(
        self, table: str = "", pipeline: str = "", *, history: bool = False
    ) -> tuple[LedgerEntry, ...]:
        """See ``Warehouse.ledger``."""
        with self._reading() as ledger:
            if ledger is None:
                return ()
            return ledger.entries(self._folded(table), pipeline, history=history)

    @_again(READ_SECONDS)
    def rejects(
        self, table: str = "", pipeline: str = "", *, load_id: str = "", limit: int | None = None
    ) -> pa.Table:
        """See ``Warehouse.rejects``."""
        with self._reading() as ledger:
            rows = ledger.rejects(self._folded(table), pipeline, load_id, limit) if ledger else []
        return rejects_table(rows)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Give a connection; it is closed at the end, and what it did not commit is taken back."""
        with Session(connect(self.url.address), translating) as session:
            yield session

    @contextmanager
    def _reading(self) -> Iterator[Ledger | None]:
        with self._asking() as session:
            ledger = self._ledger(session)
            yield ledger if ledger.exists() else None

    @contextmanager
    def _asking(self) -> Iterator[Session]:
        """Give a connection that waits for a load in its way no longer than another load would."""
        with self.session() as session:
            session.limit(max(self.url.options.lock_wait, LEAST_WAIT))
            yield session

    def _ledger(self, session: Session) -> Ledger:
        return Ledger(session, self.url.options.schema)

    def _name(self, table: str) -> TableName:
        return parse_table(table, self.url.options.schema)

    def _folded(self, table: str) -> str:
        return str(self._name(table)) if table else ""

    def _staged(self, target: Target, load_id: str) -> Staged:
        options = self.url.options
        return Staged(
            prefix=self.staged_at(load_id),
            authorization=self.authorization(),
            form=FileForm(options.format, options.codec),
            region=options.stage_region,
            direct=(options.direct or target.direct) and target.mode == "append",
            text_digest=options.text_digest,
        )

    def authorization(self) -> Authorization:
        """Return by which right the cluster reads and writes S3, as the URL says."""
        if not self.url.options.keys:
            return Authorization(role=self.url.options.iam_role)
        from ess_dask.warehouse.redshift.own_keys import own_keys

        return own_keys(self.url.address.profile)


def _standing(session: Session, ledger: Ledger, name: TableName, pipeline: str) -> Standing:
    state = table_state(session, name)
    if not ledger.exists():
        return Standing(state)
    loads = ledger.loads(str(name), pipeline)
    entries = ledger.entries(str(name), pipeline)
    return Standing(state, entries, loads[-1].digest if loads else "")
