"""What PostgreSQL takes and Redshift does not: its own reserved words, values without a type.

Sources: Amazon Redshift Database Developer Guide, "Reserved words" and "PREPARE"; the driver's
issue 59 for a value without a type among the columns of a SELECT.
"""

from __future__ import annotations

from ess_dask.testing.redshift.edits import Edits
from ess_dask.testing.redshift.errors import ServerError, syntax_error

UNKNOWN = (0, 705)
"""PostgreSQL's numbers of the type of a value that has none."""

NO_COLUMNS = {
    "AES128", "AES256", "ALLOWOVERWRITE", "AZ64", "BACKUP", "BINARY", "BLANKSASNULL", "BYTEDICT",
    "BZIP2", "CREDENTIALS", "CURRENT_USER_ID", "DEFLATE", "DEFRAG", "DELTA", "DELTA32K", "DISABLE",
    "EMPTYASNULL", "ENABLE", "ENCODE", "ENCRYPT", "ENCRYPTION", "EXPLICIT", "GLOBALDICT256",
    "GLOBALDICT64K", "GZIP", "IDENTITY", "IGNORE", "LUN", "LUNS", "LZO", "LZOP", "MINUS",
    "MOSTLY16", "MOSTLY32", "MOSTLY8", "NEW", "OFF", "OFFLINE", "OLD", "OPEN", "PARALLEL",
    "PARTITION", "PERCENT", "PERMISSIONS", "PIVOT", "RAW", "READRATIO", "RECOVER", "REJECTLOG",
    "RESORT", "RESPECT", "RESTORE", "SNAPSHOT", "SYSDATE", "SYSTEM", "TAG", "TDES", "TEXT255",
    "TEXT32K", "TIMESTAMP", "TOP", "TRUNCATECOLUMNS", "UNNEST", "UNPIVOT", "WALLET",
}  # fmt: skip
"""Words that PostgreSQL takes for a column's name without quotes."""

_NEVER_WORDS = {
    "DEFRAG", "LUN", "LUNS", "OFFLINE", "RAW", "RECOVER", "REJECTLOG", "RESORT", "TAG", "WALLET",
}  # fmt: skip
"""Those of them that mean nothing else anywhere, but for ENCODE RAW."""


def refuse_column(edits: Edits, place: int) -> None:
    """Raise when a column is declared by a reserved word without quotes."""
    if edits.token(place).kind == "word" and edits.word(place) in NO_COLUMNS:
        raise syntax_error(edits.token(place).text)


def refuse_reserved(edits: Edits) -> None:
    """Raise for reserved words that are used as names without quotes."""
    for place in range(len(edits)):
        before = edits.word(place - 1) if place else ""
        token = edits.token(place)
        is_word = token.kind == "word" and token.upper in _NEVER_WORDS
        if is_word and before not in (".", "AS", "ENCODE"):
            raise syntax_error(token.text)


def refuse_parameters(edits: Edits) -> None:
    """Raise for a bound value in a statement that cannot be prepared with one."""
    for place in range(len(edits)):
        if edits.token(place).kind == "parameter":
            raise ServerError(f"there is no parameter {edits.token(place).text}", "42P02")


def selected_parameters(edits: Edits) -> frozenset[int]:
    """Return the numbers of the values that are columns of a SELECT from a table by themselves."""
    found: set[int] = set()
    for place in range(len(edits)):
        if edits.token(place).kind == "word" and edits.word(place) == "SELECT":
            found.update(_columns(edits, place + 1))
    return frozenset(found)


def _columns(edits: Edits, start: int) -> list[int]:
    end = start
    while end < len(edits) and edits.word(end) not in ("FROM", ")"):
        end = edits.past_brackets(end) if edits.word(end) == "(" else end + 1
    if edits.word(end) != "FROM":
        return []
    return [
        int(edits.token(first).text[1:])
        for first, last in edits.split(start, end)
        if edits.token(first).kind == "parameter"
        and (last == first + 1 or edits.word(first + 1) == "AS")
    ]


def refuse_untyped(selected: frozenset[int], oids: tuple[int, ...]) -> None:
    """Raise when such a column has no type; ``oids`` are those that the client tells, in order."""
    told = dict(enumerate(oids, 1))
    if any(told.get(number, 0) in UNKNOWN for number in selected):
        raise ServerError("Assert", detail="error: Assert code: 1000 context: Invalid type: 705")
