"""What the stand-in answers instead of PostgreSQL's own errors."""

from __future__ import annotations

from ess_dask.dataclass import dataclass

SYNTAX = "42601"
UNDEFINED_TABLE = "42P01"
UNDEFINED_COLUMN = "42703"
NOT_SUPPORTED = "0A000"
INTERNAL = "XX000"
ACTIVE_TRANSACTION = "25001"


@dataclass
class ServerError(Exception):
    """An error as a client gets it: message, SQLSTATE, detail."""

    message: str
    code: str = INTERNAL
    detail: str = ""

    def __str__(self) -> str:
        return self.message

    @property
    def fields(self) -> dict[str, str]:
        """The fields of the protocol's error message."""
        shown = {"S": "ERROR", "V": "ERROR", "C": self.code, "M": self.message}
        return shown | ({"D": self.detail} if self.detail else {})


def not_simulated(what: str) -> ServerError:
    """Return the refusal of what Redshift can do and the stand-in cannot."""
    return ServerError(f"the stand-in does not simulate {what}", NOT_SUPPORTED)


def syntax_error(near: str) -> ServerError:
    """Return the error of a text that is no statement."""
    return ServerError(f'syntax error at or near "{near}"', SYNTAX)


def error_of(said: dict[str, str]) -> ServerError:
    """Return PostgreSQL's error, by the fields of its message, as Redshift words it."""
    code, text = said.get("C", INTERNAL), said.get("M", "")
    declared, _, _ = said.get("n", "").partition(" #")
    if code == "23514" and declared.startswith(("character", "varbyte")):
        return ServerError(f"value too long for type {declared}", "22001")
    if code == "23502":
        return ServerError(f"Cannot insert a NULL value into column {said.get('c', '')}", code)
    return ServerError(text, code, said.get("D", ""))
