"""One client's connection: messages are carried to PostgreSQL and back, changed where needed."""

from __future__ import annotations

import selectors
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift import wire
from ess_dask.testing.redshift.commands import Copy, Unload
from ess_dask.testing.redshift.errors import ServerError, error_of, not_simulated
from ess_dask.testing.redshift.faults import Fault, Faults
from ess_dask.testing.redshift.journal import Journal
from ess_dask.testing.redshift.loading import Load
from ess_dask.testing.redshift.lookups import Lookups
from ess_dask.testing.redshift.reserved import refuse_untyped
from ess_dask.testing.redshift.results import as_redshift_types, with_hex
from ess_dask.testing.redshift.rewrite import Context
from ess_dask.testing.redshift.sources import s3_client
from ess_dask.testing.redshift.state import FAILED, IDLE, OPEN, Prepared, State, Step
from ess_dask.testing.redshift.statements import FAILING_SQL, Statement, understand
from ess_dask.testing.redshift.unload import Unloading
from ess_dask.testing.redshift.wire import Peer
from ess_dask.testing.s3 import S3Server

_ENDS_RUN = b"CIs"
_NO_PORTAL = wire.text("ess: not to be run") + b"\0\0\0\0"
_END_SECONDS = 10.0


class _CutError(Exception):
    """The connection is to be cut here."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all sessions of a stand-in share."""

    faults: Faults
    journal: Journal
    s3: S3Server
    role: str

    def s3_client(self, command: Copy | Unload) -> Any:
        """Return the S3 client that a COPY or an UNLOAD may use."""
        return s3_client(self.s3, self.role, command.authorization)


class Session:
    """Carries one client's messages until it leaves, is cut off, or its back end ends."""

    def __init__(self, around: Surroundings, client: Peer, backend: Peer, number: int) -> None:
        self._around = around
        self._client = client
        self._backend = backend
        self._number = number
        self._prepared: dict[str, Prepared] = {}
        self._portals: dict[str, Prepared] = {}
        self._state = State()
        self._lookups = Lookups(client, backend, self._state)
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
            self._end_backend()
            with suppress(ConnectionError):
                self._client.flush()
            self._client.close()

    def _end_backend(self) -> None:
        """End PostgreSQL's session: when it is gone, with its transaction, its socket closes."""
        with suppress(ConnectionError):
            if not self._state.pending:
                self._backend.send(b"X")
            self._backend.flush()
        if self._state.pending or not self._backend.drain(_END_SECONDS):
            self._around.journal.interrupt(self._number)
            self._backend.drain(_END_SECONDS)
        self._backend.close()
        self._around.journal.forget(self._number)

    def _turn(self) -> bool:
        if self._backend.has_message():
            kind, body = self._backend.take()
            self._from_backend(kind, body)
            unloading = self._state.pending[0].unloading if self._state.pending else None
            if unloading is not None and kind == b"d":
                # One by one they would take longer than all the rest.
                unloading.take(self._backend.take_rows())
        elif self._state.holder is None and self._client.has_message():
            return self._from_client(*self._client.take())
        else:
            self._client.flush()
            self._backend.flush()
            for key, _ in self._selector.select():
                key.data.fill()
        return True

    def _finish_alone(self) -> None:
        """A statement outside a transaction goes on in Redshift when its client is gone."""
        state = self._state
        if state.status != IDLE or not any(b"Z" in step.ends for step in state.pending):
            return
        state.is_losing = True
        try:
            while state.pending:
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
            self._other(kind, body)
        return True

    def _other(self, kind: bytes, body: bytes) -> None:
        if kind == b"D":
            named, (name, _) = body[:1], wire.split_text(body[1:])
            known = self._prepared if named == b"S" else self._portals
            self._expect(Step(b"Tn", known.get(name)))
        elif kind == b"C":
            self._expect(Step(b"3"))
        elif kind == b"S":
            self._expect(Step(b"Z"))
        self._backend.send(kind, body)

    def _expect(self, step: Step) -> None:
        self._state.pending.append(step)

    def _parse(self, body: bytes) -> None:
        name, rest = wire.split_text(body)
        sql, types = wire.split_text(rest)
        prepared = self._prepare(sql)
        prepared.types = types
        try:
            refuse_untyped(prepared.statement.selected, wire.numbers(types))
        except ServerError as error:
            prepared.statement = Statement(sql, FAILING_SQL, refusal=error)
        self._prepared[name] = prepared
        self._expect(Step(b"1", prepared))
        self._send_parse(name, prepared)

    def _send_parse(self, name: str, prepared: Prepared) -> None:
        sql = wire.text(prepared.statement.rewritten)
        self._backend.send(b"P", wire.text(name) + sql + prepared.types)

    def _bind(self, body: bytes) -> None:
        portal, rest = wire.split_text(body)
        name, _ = wire.split_text(rest)
        prepared = self._prepared.get(name)
        if prepared is not None:
            command = prepared.statement.copy or prepared.statement.unload
            if command and name and not self._state.pending:
                prepared = self._prepare_again(name, prepared)
            self._portals[portal] = prepared
        self._expect(Step(b"2", prepared))
        self._backend.send(b"B", body)

    def _prepare_again(self, name: str, old: Prepared) -> Prepared:
        """A COPY that comes again may find its table changed: then its text is another one."""
        if self._state.status == FAILED:
            return old
        new = self._prepare(old.statement.sql)
        new.types = old.types
        if new.statement.rewritten != old.statement.rewritten:
            self._expect(Step(b"3", is_hidden=True))
            self._backend.send(b"C", b"S" + wire.text(name))
            self._expect(Step(b"1", new, is_hidden=True))
            self._send_parse(name, new)
        self._prepared[name] = new
        return new

    def _execute(self, body: bytes) -> None:
        portal, _ = wire.split_text(body)
        prepared = self._portals.get(portal)
        fault = self._fault(prepared.statement.sql if prepared else "")
        is_run = self._start(Step(_ENDS_RUN, prepared), fault)
        self._backend.send(b"E", body if is_run else _NO_PORTAL)

    def _query(self, body: bytes) -> None:
        sql, _ = wire.split_text(body)
        fault = self._fault(sql)
        prepared = self._prepare(sql)
        is_run = self._start(Step(b"Z", prepared), fault)
        sql = prepared.statement.rewritten if is_run else FAILING_SQL
        self._backend.send(b"Q", wire.text(sql))

    def _fault(self, sql: str) -> Fault | None:
        fault = self._around.faults.statement(sql)
        if fault is not None and fault.kind == "cut_before":
            raise _CutError
        return fault

    def _start(self, step: Step, fault: Fault | None) -> bool:
        """Begin a statement; whether PostgreSQL is to run it. If not, the step has the error."""
        self._expect(step)
        if fault is not None and fault.kind == "fail":
            step.error = ServerError(fault.message, fault.code)
            # A commit that fails leaves no transaction.
            self._state.is_undone = step.prepared is not None and step.prepared.statement.is_commit
            return False
        step.is_lost = fault is not None
        if step.prepared is None or self._state.status == FAILED:
            return True
        try:
            self._start_command(step, step.prepared)
        except ServerError as error:
            step.error = error
            return False
        return True

    def _start_command(self, step: Step, prepared: Prepared) -> None:
        statement = prepared.statement
        if statement.copy and prepared.target:
            step.load = Load(statement.copy, prepared.target, self._around.journal, self._number)
            # Its rows come first: a Sync in between would be swallowed.
            self._state.holder = step
        elif statement.unload:
            client = self._around.s3_client(statement.unload)
            step.unloading = Unloading(statement.unload, prepared.fields, client)

    # What a statement means hangs on the catalog: it is asked for unseen, while nothing is pending.

    def _prepare(self, sql: str) -> Prepared:
        state = self._state
        statement = understand(sql, Context(state.status != IDLE, state.case_sensitive))
        if not (statement.copy or statement.unload or statement.guard):
            return Prepared(statement)
        if state.status == FAILED:
            return Prepared(replace(statement, rewritten="select 1"))
        try:
            if state.pending:
                raise not_simulated("this statement in the middle of a pipeline")
            return self._lookups.look_up(statement)
        except ServerError as error:
            return Prepared(Statement(sql, FAILING_SQL, refusal=error))

    # From the back end.

    def _from_backend(self, kind: bytes, body: bytes) -> None:
        state = self._state
        step = state.pending[0] if state.pending else None
        if step is None:
            self._tell(kind, body)
            return
        state.is_losing = state.is_losing or step.is_lost
        if kind == b"G" and step.load is not None:
            self._pump(step, step.load)
        elif step.unloading is not None and kind in b"Hdc":
            if kind == b"d":
                step.unloading.take([body])
        elif kind == b"E":
            self._failed(step, error_of(wire.fields(body)))
        elif kind == b"Z":
            self._ready(body)
        elif kind == b"C":
            self._completed(step, body)
        else:
            self._carry(step, kind, body)

    def _carry(self, step: Step, kind: bytes, body: bytes) -> None:
        if kind == b"T":
            body, places = as_redshift_types(body)
            if step.prepared is not None:
                step.prepared.binary = places
        elif kind == b"D" and step.prepared is not None and step.prepared.binary:
            body = with_hex(body, step.prepared.binary)
        if kind in step.ends:
            self._end(step)
        if not (step.is_hidden and kind in step.ends):
            self._tell(kind, body)

    def _end(self, step: Step) -> None:
        self._state.pending.popleft()
        if step is self._state.holder:
            self._state.holder = None

    def _tell(self, kind: bytes, body: bytes) -> None:
        if not self._state.is_losing:
            self._client.send(kind, body)

    def _pump(self, step: Step, load: Load) -> None:
        """Send a COPY's rows; a failure of theirs becomes PostgreSQL's, whose text is replaced."""
        self._client.flush()
        try:
            with closing(load.chunks(self._around.s3_client(load.command))) as chunks:
                for chunk in chunks:
                    self._backend.send(b"d", chunk)
                    if self._state.status != IDLE:
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

    def _failed(self, step: Step, said: ServerError) -> None:
        refusal = step.prepared.statement.refusal if step.prepared else None
        error = step.error or refusal or said
        if step.load is not None:
            step.load.finish(error)
            step.load = None
        step.unloading = None
        # What follows an error is skipped up to the next Sync, and gets no answers.
        pending = self._state.pending
        while pending and b"Z" not in pending[0].ends:
            self._state.is_losing = self._state.is_losing or pending[0].is_lost
            self._end(pending[0])
        self._tell(b"E", wire.fields_body(error.fields))

    def _completed(self, step: Step, tag: bytes) -> None:
        if step.load is not None:
            self._inform(step.load.finish(None))
            step.load, tag = None, b"COPY\0"
        elif step.unloading is not None:
            tag = b"UNLOAD\0"
            try:
                self._inform(step.unloading.finish())
            except ServerError as error:
                self._state.is_spoiled = True
                self._failed(step, error)
                return
        elif tag.startswith(b"TRUNCATE"):
            self._state.is_truncated = True
        elif tag == b"ROLLBACK\0":
            self._state.case_sensitive = self._state.case_committed
        case = step.prepared.statement.case_sensitive if step.prepared else None
        if case is not None:
            self._state.case_sensitive = case
        if b"C" in step.ends:
            self._end(step)
        self._tell(b"C", tag)

    def _inform(self, said: str) -> None:
        self._tell(b"N", wire.fields_body({"S": "INFO", "V": "INFO", "C": "00000", "M": said}))

    def _ready(self, status: bytes) -> None:
        state = self._state
        state.status = status
        while state.pending:
            step = state.pending[0]
            self._end(step)
            if b"Z" in step.ends:
                break
        if not state.pending:
            self._settle()
            if state.is_losing:
                raise _CutError
        if state.status == IDLE:
            state.case_committed = state.case_sensitive
        self._tell(b"Z", state.status)

    def _settle(self) -> None:
        """Do what belongs to a statement that is through: TRUNCATE commits, a failed one aborts."""
        state = self._state
        try:
            if state.is_truncated and state.status == OPEN:
                self._lookups.ask("commit")
            if state.is_spoiled and state.status == OPEN:
                self._lookups.ask(FAILING_SQL)
            if state.is_undone and state.status == FAILED:
                self._lookups.ask("rollback")
                state.case_sensitive = state.case_committed
        except ServerError:
            # Meant so for a spoiled one; a commit that fails has left no transaction either.
            pass
        state.is_truncated = state.is_spoiled = state.is_undone = False
