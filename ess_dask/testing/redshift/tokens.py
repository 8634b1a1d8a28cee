"""SQL text as tokens: enough to rewrite words without touching strings and comments."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift.errors import syntax_error

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<string>'(?:[^'\\]|\\.|'')*')
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<word>[^\W\d][\w$]*)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<parameter>\$\d+)
    |(?P<sign>::|.)""",
    re.VERBOSE | re.DOTALL,
)
_DOLLARS = re.compile(r"\$(\w*)\$.*?\$\1\$", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of SQL: ``kind`` is space, string, quoted, word, number, parameter or sign."""

    kind: str
    text: str

    @property
    def upper(self) -> str:
        """The word in capitals; of any other kind, its text."""
        return self.text.upper() if self.kind == "word" else self.text

    @property
    def value(self) -> str:
        """What a string or an identifier stands for."""
        if self.kind == "string" and self.text[0] == "'":
            return unescape(self.text[1:-1].replace("''", "'"))
        if self.kind == "quoted":
            return self.text[1:-1].replace('""', '"')
        return lower(self.text) if self.kind == "word" else self.text


def tokenize(sql: str) -> list[Token]:
    """Split SQL into tokens; joined, their texts are the SQL again."""
    tokens: list[Token] = []
    at = 0
    while at < len(sql):
        dollars = _DOLLARS.match(sql, at)
        match = dollars or _TOKEN.match(sql, at)
        if match is None:
            raise syntax_error(sql[at : at + 20])
        kind = "string" if dollars else str(match.lastgroup)
        tokens.append(Token(kind, match[0]))
        at = match.end()
    return tokens


def significant(tokens: Iterable[Token]) -> list[Token]:
    """Return the tokens without spaces and comments."""
    return [token for token in tokens if token.kind != "space"]


def outer(tokens: Iterable[Token]) -> list[Token]:
    """Return the tokens that stand outside of all parentheses."""
    found, depth = [], 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if not depth:
            found.append(token)
    return found


def join(tokens: Iterable[Token]) -> str:
    """Return the text of tokens."""
    return "".join(token.text for token in tokens)


def statements(tokens: list[Token]) -> list[list[Token]]:
    """Split tokens at semicolons; statements of spaces alone are left out."""
    found: list[list[Token]] = [[]]
    for token in tokens:
        if token.text == ";" and token.kind == "sign":
            found.append([])
        else:
            found[-1].append(token)
    return [part for part in found if significant(part)]


def lower(name: str) -> str:
    """Fold an identifier as Redshift does: ASCII letters only."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def unescape(body: str) -> str:
    r"""Return what the inside of a string literal stands for; ``\N`` and the like stay."""

    def one(match: re.Match[str]) -> str:
        found = match[1]
        if found.isdigit():
            return chr(int(found, 8))
        return _ESCAPES.get(found, found if found in "\\'" else match[0])

    return re.sub(r"\\([0-7]{1,3}|.)", one, body, flags=re.DOTALL)


def identifier(name: str) -> str:
    """Return a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Return a quoted string, safe where backslashes escape."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
