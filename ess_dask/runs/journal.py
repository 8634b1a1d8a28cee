"""The journal of runs in the state on disk: a record of each run, and a line for each transition.

A line is written before its transition is acted on. Several processes write at once; each method is
one transaction.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from ess_dask.catalog.index import open_state
from ess_dask.errors import ConfigError, LockedError
from ess_dask.runs.model import RunEvent, RunRecord, State

_COLUMNS = tuple(field.name for field in fields(RunRecord))
_SELECT = " ".join(("select", ", ".join(_COLUMNS), "from runs"))
_INSERT = " ".join(
    ("insert into runs (", ", ".join(_COLUMNS), ") values (", ", ".join("?" * len(_COLUMNS)), ")")
)
_LATER = frozenset(_COLUMNS) - {"run_id", "state", "ended"}


@contextmanager
def open_journal(path: Path | None = None) -> Iterator[Journal]:
    """Open the journal (default: in ``cache_dir()``); raises as ``catalog.index.open_state``."""
    with open_state(path) as connection:
        yield Journal(connection)


class Journal:
    """Reads and writes of the open journal, by one thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def begin(self, record: RunRecord, detail: Mapping[str, Any] | None = None) -> None:
        """Write a new run's record, and its first event, named as its state."""
        with self.transaction() as run:
            done = run(_INSERT, astuple(record))
            _write_event(run, done.lastrowid, 0, record.started, record.state, record.state, detail)

    def append(
        self,
        run_id: str,
        name: str,
        state: State,
        detail: Mapping[str, Any] | None = None,
        **changes: object,
    ) -> None:
        """Write that a run's event brings it into a state; a final one ends it now.

        ``changes`` are fields of its record that are known now (``files=12``). Raises
        ``ConfigError`` for a run that is not in the journal, ``LockedError`` for one that has
        ended.
        """
        assert changes.keys() <= _LATER, changes.keys() - _LATER
        now = time.time()
        values: dict[str, object] = {**changes, "state": state, "beat": now}
        if state.is_final:
            values["ended"] = now
        settings = ", ".join(f"{name} = ?" for name in values)
        with self.transaction() as run:
            row = _living(run, run_id)
            update = " ".join(("update runs set", settings, "where id = ?"))
            run(update, (*values.values(), row[0]))
            last = run("select max(number) from run_events where run = ?", row).fetchone()[0]
            _write_event(run, row[0], last + 1, now, state, name, detail)

    def beat(self, run_id: str) -> None:
        """Write that a run lives."""
        self.connection.execute(
            "update runs set beat = ? where run_id = ? and ended is null", (time.time(), run_id)
        )

    def records(
        self,
        pipeline: str = "",
        *,
        limit: int | None = None,
        since: float | None = None,
        backfill: str = "",
    ) -> list[RunRecord]:
        """Return runs, the one that began last first; ``since`` in seconds since 1970."""
        return list(self.each(pipeline, limit=limit, since=since, backfill=backfill))

    def each(
        self,
        pipeline: str = "",
        *,
        limit: int | None = None,
        since: float | None = None,
        backfill: str = "",
    ) -> Iterator[RunRecord]:
        """Yield what ``records`` returns; nobody reads further than the caller."""
        wanted = {"pipeline = ?": pipeline, "started >= ?": since, "backfill = ?": backfill}
        given = {text: value for text, value in wanted.items() if value not in ("", None)}
        # The constant lets SQLite take the partial index.
        texts = [*given, *["backfill != ''"] * bool(backfill)]
        where = f" where {' and '.join(texts)}" if texts else ""
        query = f"{_SELECT}{where} order by id desc limit ?"
        return self._each(query, *given.values(), -1 if limit is None else limit)

    def alive(self, pipeline: str, target: str) -> list[RunRecord]:
        """Return the runs of a pipeline into a target that have not ended, the oldest first; their
        processes may be gone."""
        where = "where ended is null and pipeline = ? and target = ? order by id"
        return self._records(f"{_SELECT} {where}", pipeline, target)

    def knows(self, pipeline: str, target: str) -> bool:
        """Say whether there is any run of a pipeline into a target."""
        query = "select 1 from runs where pipeline = ? and target = ? limit 1"
        return self.connection.execute(query, (pipeline, target)).fetchone() is not None

    def last_success(self, pipeline: str, target: str) -> float | None:
        """Return when the last run began that was done and had no upper bound; None for none.

        What a backfill did, or was only read from a ledger, says nothing of the days up to then.
        """
        query = (
            "select started from runs where pipeline = ? and target = ? and state = 'done'"
            " and upper = '*' and backfill = '' and pid != 0 order by id desc limit 1"
        )
        row = self.connection.execute(query, (pipeline, target)).fetchone()
        return None if row is None else float(row[0])

    def ids(self) -> set[str]:
        """Return the ids of all runs."""
        return {row[0] for row in self.connection.execute("select run_id from runs")}

    def has(self, run_id: str) -> bool:
        """Say whether there is a run with this very id."""
        query = "select 1 from runs where run_id = ?"
        return self.connection.execute(query, (run_id,)).fetchone() is not None

    def record(self, run_id: str) -> RunRecord:
        """Return one run; the beginning of its id is enough if no other begins so.

        Raises ``ConfigError`` otherwise, with ids that are like it.
        """
        found = self._records(f"{_SELECT} where run_id = ?", run_id) or self._records(
            f"{_SELECT} where run_id >= ? and run_id < ? limit 6", run_id, f"{run_id}\U0010ffff"
        )
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(each.run_id for each in found[:5])
            raise ConfigError(f"several runs begin with {run_id!r}", hint=f"such as {names}")
        raise ConfigError(f"no run {run_id!r} in the journal", hint=self._like(run_id))

    def events(self, run_id: str) -> list[RunEvent]:
        """Return the events of a run (its whole id) in their order."""
        rows = self.connection.execute(
            "select number, at, run_events.state, name, detail from run_events"
            " join runs on runs.id = run where run_id = ? order by number",
            (run_id,),
        )
        return [
            RunEvent(run_id, number, at, State(state), name, json.loads(detail))
            for number, at, state, name, detail in rows
        ]

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Give what executes statements of one transaction."""
        self.connection.execute("begin immediate")
        try:
            yield self.connection.execute
            self.connection.execute("commit")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("rollback")
            raise

    def _records(self, query: str, *values: object) -> list[RunRecord]:
        return list(self._each(query, *values))

    def _each(self, query: str, *values: object) -> Iterator[RunRecord]:
        for run_id, pipeline, state, *rest in self.connection.execute(query, values):
            yield RunRecord(run_id, pipeline, State(state), *rest)

    def _like(self, run_id: str) -> str:
        import difflib

        rows = self.connection.execute("select run_id from runs order by id desc limit 1000")
        near = difflib.get_close_matches(run_id, [row[0] for row in rows], 1)
        return f"did you mean '{near[0]}'?" if near else "see: ess runs list"


def _living(run: Any, run_id: str) -> tuple[int]:
    """Return the number of a run that has not ended."""
    row = run("select id, ended from runs where run_id = ?", (run_id,)).fetchone()
    if row is None:
        raise ConfigError(f"run {run_id} is not in the journal")
    if row[1] is not None:
        raise LockedError(
            f"run {run_id} was ended by another process: its heartbeat had stood still",
            hint="run again: what is loaded stays loaded",
        )
    return (row[0],)


def _write_event(
    run: Any,
    number_of_run: int,
    number: int,
    at: float,
    state: State,
    name: str,
    detail: Mapping[str, Any] | None,
) -> None:
    text = json.dumps(dict(detail or {}), ensure_ascii=False)
    row = (number_of_run, number, at, state, name, text)
    run("insert into run_events values (?, ?, ?, ?, ?, ?)", row)
