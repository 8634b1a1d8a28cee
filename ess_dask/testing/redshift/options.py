"""The words after the source of a COPY or the target of an UNLOAD."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift.errors import ServerError, not_simulated, syntax_error
from ess_dask.testing.redshift.tokens import Token

FLAG, VALUE, SWITCH, SIZE, UNDONE = "flag", "value", "switch", "size", "undone"

AUTHORIZATION = {
    "IAM_ROLE": VALUE, "CREDENTIALS": VALUE, "ACCESS_KEY_ID": VALUE, "SECRET_ACCESS_KEY": VALUE,
    "SESSION_TOKEN": VALUE,
}  # fmt: skip
COPY_OPTIONS = AUTHORIZATION | {
    "CSV": FLAG, "PARQUET": FLAG, "MANIFEST": FLAG, "GZIP": FLAG, "EMPTYASNULL": FLAG,
    "TRUNCATECOLUMNS": FLAG, "EXPLICIT_IDS": FLAG, "SERIALIZETOJSON": FLAG, "NOLOAD": FLAG,
    "DELIMITER": VALUE, "NULL": VALUE, "IGNOREHEADER": VALUE, "MAXERROR": VALUE, "REGION": VALUE,
    "DATEFORMAT": VALUE, "TIMEFORMAT": VALUE, "ENCODING": VALUE, "QUOTE": VALUE,
    "STATUPDATE": SWITCH, "COMPUPDATE": SWITCH, "ACCEPTINVCHARS": SWITCH,
} | dict.fromkeys(
    ("ZSTD", "BZIP2", "LZOP", "ORC", "AVRO", "JSON", "SHAPEFILE", "FIXEDWIDTH", "ENCRYPTED",
     "MASTER_SYMMETRIC_KEY", "READRATIO", "SSH", "FILLRECORD", "BLANKSASNULL", "ACCEPTANYDATE",
     "ESCAPE", "IGNOREBLANKLINES", "IGNOREALLERRORS", "REMOVEQUOTES", "ROUNDEC", "TRIMBLANKS",
     "COMPROWS"),
    UNDONE,
)  # fmt: skip
UNLOAD_OPTIONS = AUTHORIZATION | {
    "CSV": FLAG, "PARQUET": FLAG, "MANIFEST": FLAG, "GZIP": FLAG, "HEADER": FLAG,
    "ALLOWOVERWRITE": FLAG, "VERBOSE": FLAG, "ENCRYPTED": FLAG, "AUTO": FLAG,
    "DELIMITER": VALUE, "NULL": VALUE, "REGION": VALUE,
    "PARALLEL": SWITCH, "MAXFILESIZE": SIZE, "ROWGROUPSIZE": SIZE, "EXTENSION": VALUE,
} | dict.fromkeys(
    ("ZSTD", "BZIP2", "JSON", "FIXEDWIDTH", "KMS_KEY_ID", "MASTER_SYMMETRIC_KEY",
     "PARTITION", "CLEANPATH", "ESCAPE", "ADDQUOTES"),
    UNDONE,
)  # fmt: skip

_SWITCH_VALUES = {"ON", "TRUE", "OFF", "FALSE", "PRESET"}
_OFF = {"OFF", "FALSE"}


@dataclass(frozen=True, slots=True)
class Authorization:
    """With what a statement wants to go to S3: a role, or keys."""

    role: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


class Words:
    """Tokens (without spaces) taken one after the other."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def peek(self) -> Token:
        """Return the next token; at the end, one without text."""
        return self._tokens[self._at] if self._at < len(self._tokens) else Token("end", "")

    def next(self) -> Token:
        """Take the next token."""
        token = self.peek()
        if token.kind == "end":
            raise ServerError("syntax error at end of input", "42601")
        self._at += 1
        return token

    def skip(self, *words: str) -> bool:
        """Take the next token if it is one of these words or signs."""
        found = self.peek().upper in words
        self._at += found
        return found

    def expect(self, word: str) -> None:
        """Take the next token, which must be this one."""
        if not self.skip(word):
            raise syntax_error(self.peek().text)

    def string(self) -> str:
        """Take a string literal; a parameter is refused, as Redshift does."""
        token = self.next()
        if token.kind != "string":
            raise syntax_error(token.text)
        return token.value


def parse_options(words: Words, known: Mapping[str, str]) -> dict[str, str]:
    """Return the options up to the end, by their names in capitals; a flag's value is ``ON``."""
    found: dict[str, str] = {}
    while words.peek().kind != "end":
        if words.skip("FORMAT", "AS", "WITH"):
            continue
        token = words.next()
        name = token.upper
        kind = known.get(name)
        if kind is None or token.kind != "word":
            raise syntax_error(token.text)
        if kind == UNDONE:
            raise not_simulated(name)
        if name in found:
            raise ServerError("conflicting or redundant options", "42601")
        found[name] = _option_value(words, kind)
    return found


def _option_value(words: Words, kind: str) -> str:
    if kind == FLAG:
        return "ON"
    if kind == SWITCH:
        if words.skip("AS"):
            return words.string()
        return words.next().upper if words.peek().upper in _SWITCH_VALUES else "ON"
    words.skip("AS")
    token = words.next()
    if kind == SIZE:
        unit = words.next().upper
        if unit not in ("MB", "GB"):
            raise syntax_error(unit)
        return f"{token.text} {unit}"
    if token.kind not in ("string", "number", "word"):
        raise syntax_error(token.text)
    return token.value


def switched_off(options: Mapping[str, str], name: str) -> bool:
    """Whether an option says OFF."""
    return options.get(name, "") in _OFF


def whole_number(options: Mapping[str, str], name: str, default: int = 0) -> int:
    """Return an option's number."""
    found = options.get(name, str(default))
    if not re.fullmatch(r"\d{1,9}", found):
        raise syntax_error(found)
    return int(found)


def authorization(options: Mapping[str, str]) -> Authorization:
    """Return what the statement shows to S3; showing nothing, or two things, is an error."""
    keys = dict(
        part.split("=", 1) for part in options.get("CREDENTIALS", "").split(";") if "=" in part
    )
    shown = Authorization(
        role=options.get("IAM_ROLE", keys.get("aws_iam_role", "")),
        access_key=options.get("ACCESS_KEY_ID", keys.get("aws_access_key_id", "")),
        secret_key=options.get("SECRET_ACCESS_KEY", keys.get("aws_secret_access_key", "")),
        token=options.get("SESSION_TOKEN", keys.get("token", "")),
    )
    if bool(shown.role) == bool(shown.access_key):
        what = "Invalid credentials" if shown.role else "CREDENTIALS argument is not supplied"
        raise ServerError(what)
    return shown
