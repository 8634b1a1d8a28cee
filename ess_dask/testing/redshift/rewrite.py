"""A client's SQL in PostgreSQL's words: names folded, Redshift's own words translated."""

from __future__ import annotations

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift import ddl
from ess_dask.testing.redshift.edits import Edits
from ess_dask.testing.redshift.errors import ServerError, not_simulated
from ess_dask.testing.redshift.reserved import (
    refuse_parameters,
    refuse_reserved,
    selected_parameters,
)
from ess_dask.testing.redshift.tokens import Token, identifier, literal, lower

_LONGEST_NAME, _LONGEST_HERE = 127, 63
_ONLY_IN_REDSHIFT = {"ATTENCODINGTYPE", "ATTISDISTKEY", "ATTSORTKEYORD", "ADSRC", "RELDISTSTYLE"}
_GIVEN_NAMES = {"SCHEMA", "TABLE_NAME", "RELNAME"}
_SHADOWED = {"PG_ATTRIBUTE", "PG_ATTRDEF", "PG_CLASS"}
_CALLED = {"NVL": "COALESCE", "JSON_SERIALIZE": "redshift.json_serialize"}
_BEHIND_CONDITION = {"", ")", "AND"}
_TEMPORARY = {"LOCAL", "TEMP", "TEMPORARY"}
SETTINGS = {
    "analyze_threshold_percent": "10",
    "describe_field_name_in_uppercase": "off",
    "enable_case_sensitive_identifier": "off",
    "enable_result_cache_for_session": "on",
    "query_group": "default",
    "wlm_query_slot_count": "1",
}
"""Redshift's parameters that a session may set and show; only names' case has an effect."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the meaning of a statement hangs on: an open transaction, and how names are read."""

    in_transaction: bool = False
    case_sensitive: bool = False


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A statement for PostgreSQL.

    ``guard`` is SQL whose answer, if it is a text, says why the statement is refused.
    ``case_sensitive`` is what the statement, once it is run, makes of the names that follow.
    ``selected`` are the numbers of bound values that have to have a type.
    """

    sql: str
    guard: str = ""
    case_sensitive: bool | None = None
    selected: frozenset[int] = frozenset()


def folded(tokens: list[Token], context: Context) -> list[Token]:
    """Fold quoted names as unquoted ones, and refuse those that PostgreSQL would cut."""
    done = []
    for token in tokens:
        if token.kind in ("word", "quoted"):
            _check_length(token)
        if token.kind == "quoted" and not context.case_sensitive:
            token = Token("quoted", identifier(lower(token.value)))
        done.append(token)
    return done


def _check_length(name: Token) -> None:
    size = len(name.value.encode())
    if size > _LONGEST_NAME:
        raise ServerError(f"identifier {name.text} is longer than {_LONGEST_NAME} bytes", "42622")
    if size > _LONGEST_HERE:
        raise not_simulated(f"names of more than {_LONGEST_HERE} bytes: {name.text}")


def rewrite(tokens: list[Token], context: Context) -> Rewritten:
    """Translate one statement, whose names are folded; what cannot be is a ``ServerError``."""
    edits = Edits(tokens)
    refuse_reserved(edits)
    _words(edits)
    first = edits.word(0)
    guard, case = "", None
    if first == "CREATE":
        refuse_parameters(edits)
        place = 1
        while edits.word(place) in _TEMPORARY:
            place += 1
        if edits.word(place) == "TABLE":
            ddl.create_table(edits, place + 1)
    elif edits.words(0, 2) == ("ALTER", "TABLE"):
        guard = ddl.alter_table(edits, context.in_transaction)
    elif first == "LOCK" and edits.word(1) != "TABLE":
        edits.after(0, " TABLE")
    elif first in ("SET", "SHOW", "RESET"):
        case = _setting(edits)
    return Rewritten(edits.text(), guard, case, selected_parameters(edits))


def _words(edits: Edits) -> None:
    """Translate words that may stand anywhere."""
    words = [edits.word(place) for place in range(len(edits))]
    shadow = bool(_ONLY_IN_REDSHIFT & set(words)) or any(
        word == "WHERE" and _is_always_true(edits, place + 1) for place, word in enumerate(words)
    )
    for place, word in enumerate(words):
        if edits.token(place).kind != "word" or (place and words[place - 1] == "."):
            if shadow and word in _SHADOWED and words[place - 2] == "PG_CATALOG":
                edits.put(place - 2, "redshift")
            continue
        follows = edits.word(place + 1)
        if word == "SYSDATE" and follows != "(":
            edits.after(place, "()")
        elif word in _CALLED and follows == "(":
            edits.put(place, _CALLED[word])
        elif word in ("DATEADD", "DATEDIFF") and follows == "(":
            unit = edits.token(place + 2)
            if unit.kind == "word":
                edits.put(place + 2, literal(unit.value))
        elif word == "WHERE" and _is_always_true(edits, place + 1):
            _always_true(edits, place + 1)


def _is_always_true(edits: Edits, place: int) -> bool:
    return edits.word(place) == "1" and edits.word(place + 1) in _BEHIND_CONDITION


def _always_true(edits: Edits, place: int) -> None:
    """Translate ``WHERE 1``, with which SQLAlchemy's dialect asks for external tables.

    There are none: what it asks of their names, by names that the SELECT gives, is left out.
    """
    edits.put(place, "true")
    place += 1
    while edits.word(place) == "AND" and edits.word(place + 1) in _GIVEN_NAMES:
        edits.drop(place, place + 4)
        place += 4


def _setting(edits: Edits) -> bool | None:
    """Send Redshift's own parameters where PostgreSQL keeps foreign ones."""
    place = 1 + (edits.word(1) in ("SESSION", "LOCAL"))
    name = edits.token(place).value
    if name not in SETTINGS:
        return None
    edits.put(place, f"redshift.{name}")
    if name != "enable_case_sensitive_identifier" or edits.word(0) == "SHOW":
        return None
    if edits.word(1) == "LOCAL":
        raise not_simulated(f"SET LOCAL {name}")
    return edits.token(place + 2).value.lower() in ("true", "on", "1", "yes")
