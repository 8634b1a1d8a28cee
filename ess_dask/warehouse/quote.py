"""Names in SQL: how a table is written by a user, quoted, and compared. No value is ever quoted."""

from __future__ import annotations

import re

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError

RESERVED = "_ess_"
"""Prefix of our own columns and tables; refused in users' names."""

_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


@dataclass(frozen=True, slots=True)
class TableName:
    """A table inside a database. ``str()`` is the name in the ledger: folded, schema included.

    ``catalog`` is the database's own name: SQL needs it where the schema is called the same.
    """

    schema: str
    table: str
    catalog: str = ""

    @property
    def schema_sql(self) -> str:
        """The schema quoted, for SQL text."""
        same = fold(self.catalog) == fold(self.schema)
        return ".".join(map(quote, [self.catalog, self.schema] if same else [self.schema]))

    @property
    def sql(self) -> str:
        """The table quoted, with its schema, for SQL text."""
        return f"{self.schema_sql}.{quote(self.table)}"

    def __str__(self) -> str:
        return f"{fold(self.schema)}.{fold(self.table)}"


def quote(name: str) -> str:
    """Return an identifier for SQL text: in double quotes, those inside doubled."""
    if "\0" in name:
        raise ConfigError(f"the name {name!r} holds a NUL character")
    return '"' + name.replace('"', '""') + '"'


def fold(name: str) -> str:
    """Return the name as warehouses compare it: ASCII letters in lower case, others as they are."""
    return re.sub("[A-Z]+", lambda upper: upper[0].lower(), name)


def parse_table(text: str, default_schema: str = "main") -> TableName:
    """Return the parts of ``[schema.]name``; a part with a dot in it stands in double quotes.

    Raises ``ConfigError`` for anything else and for our own tables' names.
    """
    parts: list[str] = []
    rest = text
    while match := _PART.match(rest):
        parts.append(match[1].replace('""', '"') if match[1] else match[2])
        if not (rest := rest[match.end() :]).startswith("."):
            break
        rest = rest[1:] or "."
    if rest or len(parts) not in {1, 2}:
        raise ConfigError(
            f"{text!r} is not a table name",
            hint='write name or schema.name; a part with a dot in it in double quotes: "a.b"',
        )
    if fold(parts[-1]).startswith(RESERVED):
        raise ConfigError(
            f"table names that start with {RESERVED} are kept for the ledger: {text!r}",
            hint="choose another name",
        )
    quote(text)
    return TableName(parts[0] if len(parts) == 2 else default_schema, parts[-1])


def escape_glob(path: str) -> str:
    """Return a file's path so that a reader that expands globs takes it literally."""
    return re.sub(r"[*?\[]", lambda special: f"[{special[0]}]", path)
