"""What is to be done with a client's SQL: passed on as PostgreSQL has it, loaded, or refused."""

from __future__ import annotations

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift.commands import Copy, Unload, parse_copy, parse_unload
from ess_dask.testing.redshift.errors import ServerError, not_simulated
from ess_dask.testing.redshift.rewrite import Context, Rewritten, folded, rewrite
from ess_dask.testing.redshift.tokens import outer, significant, statements, tokenize

FAILING_SQL = "select from where"
"""Fails in PostgreSQL itself, so that the transaction is aborted by the one who keeps it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A client's SQL and what PostgreSQL gets for it.

    ``refusal`` takes the place of the error that PostgreSQL then gives. ``guard``,
    ``case_sensitive`` and ``selected`` are those of ``Rewritten``.
    """

    sql: str
    rewritten: str
    copy: Copy | None = None
    unload: Unload | None = None
    refusal: ServerError | None = None
    guard: str = ""
    case_sensitive: bool | None = None
    selected: frozenset[int] = frozenset()
    is_commit: bool = False


def understand(sql: str, context: Context) -> Statement:
    """Return what a client's SQL means; never raises."""
    try:
        return _understand(sql, context)
    except ServerError as error:
        return Statement(sql, FAILING_SQL, refusal=error)


def _understand(sql: str, context: Context) -> Statement:
    parts = [folded(part, context) for part in statements(tokenize(sql))]
    firsts = [significant(part)[0].upper for part in parts]
    if len(parts) > 1 and {"COPY", "UNLOAD"} & set(firsts):
        raise not_simulated("COPY and UNLOAD in one query with other statements")
    if firsts == ["COPY"]:
        return Statement(sql, "", copy=parse_copy(significant(parts[0])))
    if firsts == ["UNLOAD"]:
        unload = parse_unload(significant(parts[0]))
        return Statement(sql, _inner(unload.query, context), unload=unload)
    done = [rewrite(part, context) for part in parts]
    return Statement(
        sql,
        ";".join(part.sql for part in done),
        guard=_only(done).guard,
        case_sensitive=_only(done).case_sensitive,
        selected=done[0].selected if len(done) == 1 else frozenset(),
        is_commit=firsts in (["COMMIT"], ["END"]),
    )


def _only(done: list[Rewritten]) -> Rewritten:
    """Return the statement that is looked at more closely; with others, it could come too late."""
    if len(done) == 1:
        return done[0]
    if any(part.guard or part.case_sensitive is not None for part in done):
        raise not_simulated("this statement in one query with others")
    return Rewritten("")


def _inner(query: str, context: Context) -> str:
    """Return the query of an UNLOAD for PostgreSQL."""
    parts = statements(tokenize(query))
    if len(parts) != 1 or significant(parts[0])[0].upper not in ("SELECT", "WITH"):
        raise ServerError("UNLOAD takes one SELECT", "42601")
    if any(token.upper == "LIMIT" for token in outer(parts[0])):
        raise ServerError("Limit clause is not supported", "0A000")
    return rewrite(folded(parts[0], context), context).sql
