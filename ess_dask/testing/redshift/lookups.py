"""What the catalog says to a statement: asked on the client's own connection, unseen by it."""

from __future__ import annotations

from dataclasses import replace

from ess_dask.testing.redshift import wire
from ess_dask.testing.redshift.columns import columns_query, target
from ess_dask.testing.redshift.errors import ServerError, error_of
from ess_dask.testing.redshift.state import Prepared, State
from ess_dask.testing.redshift.statements import Statement
from ess_dask.testing.redshift.tokens import identifier
from ess_dask.testing.redshift.unload import Field, copy_out, row_fields
from ess_dask.testing.redshift.wire import Peer

_DESCRIBED = "ess_described"


class Lookups:
    """Questions to a client's back end, in its transaction; only while nothing is pending."""

    def __init__(self, client: Peer, backend: Peer, state: State) -> None:
        self._client = client
        self._backend = backend
        self._state = state

    def look_up(self, statement: Statement) -> Prepared:
        """Return a COPY, an UNLOAD or a guarded statement as it can be run; raise why it cannot."""
        if statement.copy:
            found = target(statement.copy, self.ask(columns_query(statement.copy)))
            names = ", ".join(identifier(column.name) for column in found.columns)
            form = "binary" if statement.copy.is_parquet else "csv"
            sql = f"COPY {statement.copy.sql_name} ({names}) FROM STDIN WITH (FORMAT {form})"
            return Prepared(replace(statement, rewritten=sql), found)
        if statement.unload:
            fields = self._describe(statement.rewritten)
            sql = copy_out(statement.unload, statement.rewritten)
            return Prepared(replace(statement, rewritten=sql), fields=fields)
        for row in self.ask(statement.guard):
            if row[0] is not None:
                raise ServerError(row[0].decode(), "0A000")
        return Prepared(statement)

    def ask(self, sql: str) -> list[list[bytes | None]]:
        """Run SQL on the client's back end, in its transaction, unseen by it."""
        self._backend.send(b"Q", wire.text(sql))
        return [wire.row(body) for kind, body in self._answers() if kind == b"D"]

    def _describe(self, sql: str) -> list[Field]:
        name = wire.text(_DESCRIBED)
        self._backend.send(b"P", name + wire.text(sql) + b"\0\0")
        self._backend.send(b"D", b"S" + name)
        self._backend.send(b"C", b"S" + name)
        self._backend.send(b"S")
        found = [row_fields(body) for kind, body in self._answers() if kind == b"T"]
        return found[0] if found else []

    def _answers(self) -> list[tuple[bytes, bytes]]:
        self._client.flush()
        answers: list[tuple[bytes, bytes]] = []
        while not answers or answers[-1][0] != b"Z":
            answers.append(self._backend.take())
        self._state.status = answers[-1][1]
        for kind, body in answers:
            if kind == b"E":
                raise error_of(wire.fields(body))
        return answers
