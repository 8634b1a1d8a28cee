"""What is to be done with a client's SQL: passed on as PostgreSQL has it, loaded, or refused."""

from __future__ import annotations

from dataclasses import dataclass

from ess_dask.testing.redshift.commands import Copy, Unload, parse_copy, parse_unload
from ess_dask.testing.redshift.errors import ServerError, not_simulated
from ess_dask.testing.redshift.tokens import significant, statements, tokenize

FAILING_SQL = "select from where"
"""Fails in PostgreSQL itself, so that the transaction is aborted by the one who keeps it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A client's SQL and what PostgreSQL gets for it.

    ``refusal`` takes the place of the error that PostgreSQL then gives.
    """

    sql: str
    rewritten: str
    copy: Copy | None = None
    unload: Unload | None = None
    refusal: ServerError | None = None


def understand(sql: str) -> Statement:
    """Return what a client's SQL means; never raises."""
    try:
        return _understand(sql)
    except ServerError as error:
        return Statement(sql, FAILING_SQL, refusal=error)


def _understand(sql: str) -> Statement:
    parts = statements(tokenize(sql))
    firsts = [significant(part)[0].upper for part in parts]
    if len(parts) > 1 and {"COPY", "UNLOAD"} & set(firsts):
        raise not_simulated("COPY and UNLOAD in one query with other statements")
    if firsts == ["COPY"]:
        return Statement(sql, "", copy=parse_copy(significant(parts[0])))
    if firsts == ["UNLOAD"]:
        return Statement(sql, "", unload=parse_unload(significant(parts[0])))
    return Statement(sql, sql)
