"""One client's connection: its messages are carried to PostgreSQL and back, changed where needed."""

from __future__ import annotations

import selectors
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from ess_dask.testing.redshift import wire
from ess_dask.testing.redshift.columns import Target, columns_query, target
from ess_dask.testing.redshift.errors import ServerError, not_simulated
from ess_dask.testing.redshift.faults import Fault, Faults
from ess_dask.testing.redshift.journal import Journal
from ess_dask.testing.redshift.loading import Load
from ess_dask.testing.redshift.sources import s3_client
from ess_dask.testing.redshift.statements import FAILING_SQL, Statement, understand
from ess_dask.testing.redshift.tokens import identifier
from ess_dask.testing.redshift.wire import Peer
from ess_dask.testing.s3 import S3Server

_IDLE, _FAILED = b"I", b"E"
_ENDS_RUN = b"CIs"
_NO_PORTAL = wire.text("ess: a scripted fault") + b"\0\0\0\0"


class _CutError(Exception):
    """The connection is to be cut here."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all sessions of a stand-in share."""

    faults: Faults
    journal: Journal
    s3: S3Server
    role: str

    def s3_client(self, statement: Statement) -> Any:
        """Return the S3 client that a COPY or an UNLOAD may use."""
        command = statement.copy or statement.unload
        if command is None:
            raise ValueError("only COPY and UNLOAD go to S3")
        return s3_client(self.s3, self.role, command.authorization)


@dataclass
class _Step:
    """A message that the back end has not answered yet; it ends with one of these kinds."""

    ends: bytes
    statement: Statement | None = None
    error: ServerError | None = None
    load: Load | None = None
    is_hidden: bool = False
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class _Prepared:
    statement: Statement
    target: Target | None = None
    types: bytes = b""


class Session:
    """Carries one client's messages until it leaves, is cut off, or its back end ends."""

    def __init__(self, around: Surroundings, client: Peer, backend: Peer, number: int) -> None:
        self._around = around
        self._client = client
        self._backend = backend
        self._number = number
        self._prepared: dict[str, _Prepared] = {}
        self._portals: dict[str, _Prepared] = {}
        self._pending: deque[_Step] = deque()
        self._status = _IDLE
        self._truncated = False
        self._holder: _Step | None = None
        self._losing = False
        self._selector = selectors.DefaultSelector()
        for peer in (client, backend):
            self._selector.register(peer.sock, selectors.EVENT_READ, peer)

    def run(self) -> None:
        """Carry messages; at the end PostgreSQL's session is over, and then the client's socket."""
        try:
            while self._turn():
                pass
        except _CutError:
            pass
        except ConnectionError:
            self._finish_alone()
        finally:
            self._selector.close()
            self._backend.close()
            self._around.journal.end_session(self._number)
            self._client.close()

    def _turn(self) -> bool:
        if self._backend.has_message():
            self._from_backend(*self._backend.take())
        elif self._holder is None and self._client.has_message():
            return self._from_client(*self._client.take())
        else:
            for key, _ in self._selector.select():
                key.data.fill()
        return True

    def _finish_alone(self) -> None:
        """A statement outside a transaction goes on in Redshift when its client is gone."""
        if self._status != _IDLE or not any(b"Z" in step.ends for step in self._pending):
            return
        self._losing = True
        try:
            while self._pending:
                self._from_backend(*self._backend.take())
        except (ConnectionError, _CutError):
            return

    # From the client.

    def _from_client(self, kind: bytes, body: bytes) -> bool:
        if kind == b"P":
            self._parse(body)
        elif kind == b"B":
            self._bind(body)
        elif kind == b"E":
            self._execute(body)
        elif kind == b"Q":
            self._query(body)
        elif kind == b"X":
            return False
        else:
            if kind in b"DC":
                self._pending.append(_Step(b"Tn" if kind == b"D" else b"3"))
            elif kind == b"S":
                self._pending.append(_Step(b"Z"))
            self._backend.send(kind, body)
        return True

    def _parse(self, body: bytes) -> None:
        name, rest = wire.split_text(body)
        sql, types = wire.split_text(rest)
        prepared = replace(self._prepare(sql), types=types)
        self._prepared[name] = prepared
        self._pending.append(_Step(b"1", prepared.statement))
        self._send_parse(name, prepared)

    def _send_parse(self, name: str, prepared: _Prepared) -> None:
        sql = wire.text(prepared.statement.rewritten)
        self._backend.send(b"P", wire.text(name) + sql + prepared.types)

    def _bind(self, body: bytes) -> None:
        portal, rest = wire.split_text(body)
        name, _ = wire.split_text(rest)
        prepared = self._prepared.get(name)
        if prepared is not None:
            if prepared.statement.copy and name and not self._pending:
                prepared = self._prepare_again(name, prepared)
            self._portals[portal] = prepared
        self._pending.append(_Step(b"2", prepared.statement if prepared else None))
        self._backend.send(b"B", body)

    def _prepare_again(self, name: str, old: _Prepared) -> _Prepared:
        """A COPY that comes again may find its table changed: then its text is another one."""
        new = replace(self._prepare(old.statement.sql), types=old.types)
        if self._status != _FAILED and new.target != old.target:
            self._prepared[name] = new
            self._pending.append(_Step(b"3", is_hidden=True))
            self._backend.send(b"C", b"S" + wire.text(name))
            self._pending.append(_Step(b"1", new.statement, is_hidden=True))
            self._send_parse(name, new)
        return new

    def _execute(self, body: bytes) -> None:
        portal, _ = wire.split_text(body)
        prepared = self._portals.get(portal)
        fault = self._fault(prepared.statement.sql if prepared else "")
        if fault is not None and fault.kind == "fail":
            self._pending.append(_Step(_ENDS_RUN, error=ServerError(fault.message, fault.code)))
            self._backend.send(b"E", _NO_PORTAL)
            return
        self._run(_Step(_ENDS_RUN), prepared, fault)
        self._backend.send(b"E", body)

    def _query(self, body: bytes) -> None:
        sql, _ = wire.split_text(body)
        fault = self._fault(sql)
        if fault is not None and fault.kind == "fail":
            self._pending.append(_Step(b"Z", error=ServerError(fault.message, fault.code)))
            self._backend.send(b"Q", wire.text(FAILING_SQL))
            return
        prepared = self._prepare(sql)
        self._run(_Step(b"Z"), prepared, fault)
        self._backend.send(b"Q", wire.text(prepared.statement.rewritten))

    def _fault(self, sql: str) -> Fault | None:
        fault = self._around.faults.statement(sql)
        if fault is not None and fault.kind == "cut_before":
            raise _CutError
        return fault

    def _run(self, step: _Step, prepared: _Prepared | None, fault: Fault | None) -> None:
        step.is_lost = fault is not None
        if prepared is not None:
            step.statement = prepared.statement
            if prepared.statement.copy and prepared.target and self._status != _FAILED:
                step.load = Load(
                    prepared.statement.copy, prepared.target, self._around.journal, self._number
                )
                # Its rows come first: a Sync in between would be swallowed.
                self._holder = step
        self._pending.append(step)

    def _prepare(self, sql: str) -> _Prepared:
        """Understand a statement; for a COPY the table's columns are asked for, unseen."""
        statement = understand(sql)
        if statement.copy is None:
            return _Prepared(statement)
        if self._status == _FAILED:
            return _Prepared(replace(statement, rewritten="select 1"))
        try:
            if self._pending:
                raise not_simulated("COPY in the middle of a pipeline")
            found = target(statement.copy, self._ask(columns_query(statement.copy)))
        except ServerError as error:
            return _Prepared(replace(statement, copy=None, rewritten=FAILING_SQL, refusal=error))
        names = ", ".join(identifier(column.name) for column in found.columns)
        sql = f"COPY {statement.copy.sql_name} ({names}) FROM STDIN WITH (FORMAT csv)"
        return _Prepared(replace(statement, rewritten=sql), found)

    def _ask(self, sql: str) -> list[list[bytes | None]]:
        """Run SQL on the client's back end, in its transaction, unseen by it; nothing is pending."""
        self._backend.send(b"Q", wire.text(sql))
        rows: list[list[bytes | None]] = []
        error: ServerError | None = None
        while True:
            kind, body = self._backend.take()
            if kind == b"D":
                rows.append(wire.row(body))
            elif kind == b"E":
                said = wire.fields(body)
                error = ServerError(said.get("M", ""), said.get("C", ""), said.get("D", ""))
            elif kind == b"Z":
                self._status = body
                if error is not None:
                    raise error
                return rows

    # From the back end.

    def _from_backend(self, kind: bytes, body: bytes) -> None:
        step = self._pending[0] if self._pending else None
        self._losing = self._losing or (step is not None and step.is_lost)
        if kind == b"G" and step is not None and step.load is not None:
            self._pump(step, step.load)
            return
        if kind == b"E":
            body = self._failed(step, body)
        elif kind == b"C":
            body = self._completed(step, body)
        elif kind == b"Z":
            body = self._ready(body)
        hidden = step is not None and step.is_hidden and kind in step.ends
        if step is not None and kind != b"Z" and kind in step.ends:
            self._release(self._pending.popleft())
        if not hidden:
            self._tell(kind, body)

    def _release(self, step: _Step) -> None:
        if step is self._holder:
            self._holder = None

    def _tell(self, kind: bytes, body: bytes) -> None:
        if not self._losing:
            self._client.send(kind, body)

    def _pump(self, step: _Step, load: Load) -> None:
        """Send a COPY's rows; a failure of theirs becomes PostgreSQL's, whose text is replaced."""
        try:
            if step.statement is None:
                raise ValueError("a load has a statement")
            for chunk in load.chunks(self._around.s3_client(step.statement)):
                self._backend.send(b"d", chunk)
                if self._status != _IDLE:
                    self._look_for_client()
        except ServerError as error:
            step.error = error
            self._backend.send(b"f", wire.text("the load failed"))
        else:
            self._backend.send(b"c")
        if b"Z" not in step.ends:
            # The client's own Sync waits until this is through.
            self._backend.send(b"H")

    def _look_for_client(self) -> None:
        """Notice a client that has gone; its COPY is rolled back with its transaction."""
        for key, _ in self._selector.select(0):
            if key.data is self._client:
                self._client.fill()

    def _failed(self, step: _Step | None, body: bytes) -> bytes:
        error = step and (step.error or (step.statement and step.statement.refusal))
        said = error.fields if error else _as_redshift(wire.fields(body))
        if step is not None and step.load is not None:
            step.load.finish(ServerError(said["M"], said["C"]))
            step.load = None
        # What follows an error is skipped up to the next Sync, and gets no answers.
        while self._pending and b"Z" not in self._pending[0].ends:
            self._losing = self._losing or self._pending[0].is_lost
            self._release(self._pending.popleft())
        return wire.fields_body(said)

    def _completed(self, step: _Step | None, body: bytes) -> bytes:
        if body.startswith(b"TRUNCATE"):
            self._truncated = True
        if step is None or step.load is None:
            return body
        said, step.load = step.load.finish(None), None
        self._tell(b"N", wire.fields_body({"S": "INFO", "V": "INFO", "C": "00000", "M": said}))
        return b"COPY\0"

    def _ready(self, status: bytes) -> bytes:
        self._status = status
        while self._pending:
            step = self._pending.popleft()
            self._release(step)
            if b"Z" in step.ends:
                break
        if self._truncated and not self._pending:
            self._truncated = False
            if self._status == b"T":
                self._ask("commit")
        if self._losing and not self._pending:
            raise _CutError
        return self._status


def _as_redshift(said: dict[str, str]) -> dict[str, str]:
    """Return PostgreSQL's error as Redshift words it."""
    declared, _, column = said.get("n", "").partition(" #")
    if said.get("C") == "23514" and column.isdigit():
        return {
            "S": "ERROR",
            "V": "ERROR",
            "C": "22001",
            "M": f"value too long for type {declared}",
        }
    return said
