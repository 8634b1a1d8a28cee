"""One load: what was staged into temporary tables, then everything of it in one transaction.

The second transaction begins with the ledger's LOCK: its snapshot is taken by the first statement
that reads, and so holds whatever the load before it committed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConflictError, DataError
from ess_dask.warehouse.decision import Work, decide, planned_ddl, same_load
from ess_dask.warehouse.digest import Digest, compare
from ess_dask.warehouse.hooks import run_after, run_inside
from ess_dask.warehouse.model import LoadRequest, LoadResult
from ess_dask.warehouse.protocol import LedgerEntry, LoadEntry
from ess_dask.warehouse.quote import parse_table
from ess_dask.warehouse.recorded import now
from ess_dask.warehouse.redshift.ddl import CREATE, IN_PLACE, RedshiftDialect
from ess_dask.warehouse.redshift.existing import table_state
from ess_dask.warehouse.redshift.incoming import (
    Staged,
    check_rows,
    copy_rows,
    fill,
    is_ordered,
    take_digest,
    told_digest,
)
from ess_dask.warehouse.redshift.rejected import mark_replayed, write_rejects
from ess_dask.warehouse.redshift.rows import (
    Source,
    delete_files,
    delete_keys,
    insert_rows,
    name_files,
    source_of,
)
from ess_dask.warehouse.redshift.translate import ConflictRetryError
from ess_dask.warehouse.schema import LOAD_COLUMN, TableState, plan_ddl

if TYPE_CHECKING:
    from ess_dask.warehouse.redshift.ledger import Ledger
    from ess_dask.warehouse.redshift.session import Session

Watch = Callable[[str], None]
"""Called with the name of each step of a load when it is done: ``STEPS``."""

STEPS = (
    "widen", "staged", "lock", "schema", "delete", "insert", "verify", "ledger", "rejects",
    "record", "hooks", "commit",
)  # fmt: skip
"""The steps of a load, in order; those from ``lock`` to ``hooks`` are one transaction."""


@dataclass(frozen=True, slots=True)
class Loading:
    """One attempt at one load, through one session. ``lock_wait`` in seconds."""

    session: Session
    ledger: Ledger
    request: LoadRequest
    staged: Staged
    default_schema: str
    lock_wait: float
    watch: Watch

    def run(self) -> LoadResult:
        """Do the load and commit it, or roll back and raise; see ``Warehouse.load``."""
        result = self._recorded()
        self.session.commit()
        if result is None:
            self._widen()
            self.watch("widen")
            fill(self.session, self.staged, self.request)
            self.watch("staged")
            try:
                result = self._transaction()
            except BaseException:
                self.session.rollback()
                raise
            self.watch("commit")
        self._hooks_after(result)
        return result

    @property
    def _dialect(self) -> RedshiftDialect:
        return RedshiftDialect(self.request.plan.target.layout)

    def _recorded(self) -> LoadResult | None:
        """Return what the ledger says of this load, None when it is not committed."""
        found = self.ledger.loads(load_id=self.request.load_id)
        return same_load(self.request, found[0], self.default_schema) if found else None

    def _state(self) -> TableState:
        name = parse_table(self.request.plan.target.table, self.default_schema)
        return table_state(self.session, name)

    def _widen(self) -> None:
        """Make texts longer where the rows need it: not possible inside a transaction.

        A table that is wider than it has to be loses nothing when the load then fails.
        """
        state = self._state()
        self.session.commit()
        for statement in self._widening(state):
            self.session.outside(statement)

    def _widening(self, state: TableState) -> list[str]:
        """Return the planned statements that make texts of the table longer.

        Of a table that the plan would make the lengths are planned as well: another load may have
        made it since, with shorter ones.
        """
        plan = self.request.plan
        if not state.exists or not plan.columns:
            return []
        made = any(statement.startswith(CREATE) for statement in plan.ddl)
        needed = plan_ddl(state, plan.columns, self._dialect)
        return [text for text in needed if IN_PLACE in text and (made or text in plan.ddl)]

    def _transaction(self) -> LoadResult:
        self._lock()
        self.watch("lock")
        if recorded := self._recorded():
            self.session.rollback()
            return recorded
        work = self._decide()
        self.watch("schema")
        deleted = delete_files(self.session, self.ledger, self.request, work)
        self.watch("delete")
        removed, inserted = self._rows(work)
        self.watch("verify")
        rejected = self._record(work)
        result = LoadResult(
            self.request.load_id,
            len(work.taken),
            inserted,
            rejected,
            deleted + removed,
            work.already_done,
        )
        self._record_load(work, result)
        self.watch("record")
        run_inside(self.request.plan.target.hooks, work.name.sql, self.session.run)
        self.watch("hooks")
        self.session.commit()
        return result

    def _lock(self) -> None:
        """Wait for other loads, for a bounded time; this must come before anything is read."""
        # Not to wait at all would be no limit.
        self.session.limit(max(self.lock_wait, 0.001))
        self.ledger.lock()
        self.session.limit(0)

    def _decide(self) -> Work:
        """Settle the table's columns and the files to load, by the ledger as it is now."""
        state = self._state()
        if not state.exists:
            self.ledger.retire_lost(str(state.name), self.request.load_id)
        if self._widening(state):
            raise ConflictRetryError(
                f"another load made the table {state.name} in the meantime", hint="try again"
            )
        for statement in planned_ddl(self.request, state, self._dialect):
            self.session.run(statement)
        work = decide(self.request, state.name, self.ledger.entries(str(state.name), ""))
        name_files(self.session, work)
        return work

    def _rows(self, work: Work) -> tuple[int, int]:
        """Put the rows into the table and compare; return how many went and how many came."""
        if not self.request.parts or not any(file.rows_loaded for file in work.taken):
            return 0, 0
        if self.staged.direct:
            self._refuse_part_of(work)
            copy_rows(self.session, self.staged, self.request, work.name.sql)
            self.watch("insert")
            return 0, self._verify(work, told_digest(self.request)).rows
        source = source_of(self.session, self.request, work)
        removed = delete_keys(self.session, self.request, work, source)
        inserted = insert_rows(self.session, self.request, work.name, source)
        self.watch("insert")
        self._verify(work, self._expected(source))
        return removed, inserted

    def _expected(self, source: Source) -> Digest:
        """Return the digest of the rows that went in: of all of them it is the workers' own."""
        if source.whole:
            return told_digest(self.request)
        if not is_ordered(self.request):
            # Somebody else took a part of the files: what came in was not compared yet.
            check_rows(self.session, self.staged, self.request)
        return self._digest(source.relation)

    def _refuse_part_of(self, work: Work) -> None:
        if len(work.taken) < len(self.request.files):
            raise ConflictError(
                "another load took some of these files since they were planned, and a direct load "
                "cannot leave out a part of what is staged",
                hint="nothing was loaded; run again",
            )

    def _digest(self, relation: str, *values: str) -> Digest:
        text = self.staged.text_digest
        return take_digest(self.session, relation, self.request.plan.columns, *values, text=text)

    def _verify(self, work: Work, told: Digest) -> Digest:
        loaded = self._digest(f"{work.name.sql} WHERE {LOAD_COLUMN} = ?", self.request.load_id)
        if wrong := compare(told, loaded):
            raise DataError(
                f"the rows in {work.name} are not those that were staged: {'; '.join(wrong)}",
                hint="nothing was loaded and the staged files are kept; run again",
            )
        self.ledger.record_digest(self.request.load_id, loaded)
        return loaded

    def _record(self, work: Work) -> int:
        """Write the ledger and the rejected rows; return how many these are."""
        pipeline, at = self.request.plan.target.pipeline, now()
        load_id, digest = self.request.load_id, self.request.plan_digest
        self.ledger.record_files(
            [LedgerEntry(str(work.name), pipeline, f, load_id, digest, at) for f in work.taken]
        )
        self.watch("ledger")
        mark_replayed(self.session, self.ledger, self.request, work)
        rejected = write_rejects(self.session, self.ledger, self.request, work)
        self.watch("rejects")
        return rejected

    def _record_load(self, work: Work, result: LoadResult) -> None:
        target, digest = self.request.plan.target, self.request.plan_digest
        self.ledger.record_load(
            LoadEntry(str(work.name), target.pipeline, target.mode, digest, now(), result)
        )

    def _hooks_after(self, loaded: LoadResult) -> None:
        """Run the statements that come after a load; the load stands whatever they do."""
        if not self.request.plan.target.hooks.after:
            return
        name = self._state().name
        self.session.commit()
        run_after(self.request.plan.target.hooks, name.sql, self.session.outside, loaded)
