"""The text of a ``DB.spec`` file (Essentia's udb.spec): parse and format.

Sections ``@Server:``, ``@Port:N``, ``@PKey:``, ``@Table:NAME``, ``@Vector:NAME``, ``@Var:``; their
items follow on the same line or on the next ones, separated by blanks. ``#`` starts a comment. In
the old form there is no ``@PKey:`` and the tables hold the key columns themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field, replace

from ess_dask.dataclass import dataclass
from ess_dask.errors import ConfigError, UsageError
from ess_dask.tables.spec import (
    VARIABLES,
    ColumnSpec,
    DatabaseSpec,
    Kind,
    check_name,
    check_unique,
    check_variables,
    make_table,
    parse_column,
)

MAX_LINE = 2046
"""Longest line, in bytes."""

_COMMENT = re.compile(r"(^|\s)#.*")
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(\|[\w.:\[\]-]+)?(:\d{1,5})?(\*\d+)?")


def format_spec(spec: DatabaseSpec) -> str:
    """Return the file's text; ``parse_spec`` gives the same value back."""
    lines = ["@Server:", *(f"  {server}" for server in spec.servers)] if spec.servers else []
    lines += [f"@Port:{spec.port}"] if spec.port else []
    if spec.key:
        lines += ["@PKey:", *(f"  {_bare(column)}" for column in spec.key)]
    for table in spec.tables:
        lines += [f"@{table.kind.capitalize()}:{table.name}"]
        lines += [f"  {column}" for column in table.columns]
    if spec.variables:
        lines += ["@Var:", *(f"  {column}" for column in spec.variables)]
    return "".join(f"{line}\n" for line in lines)


def parse_spec(name: str, text: str, origin: str) -> DatabaseSpec:
    """Read a file's text into database ``name``.

    ``origin`` is the file's path for messages: ``ConfigError`` starts with ``origin:line:column``.
    """
    spec = DatabaseSpec(name)
    for section in _sections(text, origin):
        try:
            spec = _add(spec, section, origin)
        except ConfigError:
            raise
        except UsageError as error:
            message = f"{origin}:{section.line}:1: {error.message}"
            raise ConfigError(message, hint=error.hint) from None
    return spec


@dataclass(slots=True)
class _Section:
    keyword: str
    value: str
    line: int
    items: list[tuple[int, int, str]] = field(default_factory=list)
    """Line and column (from 1) and text of each item."""


def _sections(text: str, origin: str) -> Iterator[_Section]:
    section: _Section | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if len(line.encode("utf-8", "surrogateescape")) > MAX_LINE:
            raise ConfigError(
                f"{origin}:{number}:{MAX_LINE + 1}: the line is longer than {MAX_LINE} bytes",
                hint="put one column on a line",
            )
        content = _COMMENT.sub("", line)
        if content.strip().startswith("@"):
            if section:
                yield section
            section, content = _open(content, number, origin)
        for match in re.finditer(r"\S+", content):
            if section is None:
                raise ConfigError(
                    f"{origin}:{number}:{match.start() + 1}: {match.group()!r} stands before"
                    " the first section",
                    hint="begin with @Server:, @PKey:, @Table:NAME, @Vector:NAME or @Var:",
                )
            section.items.append((number, match.start() + 1, match.group()))
    if section:
        yield section


def _open(content: str, number: int, origin: str) -> tuple[_Section, str]:
    match = re.match(r"(\s*)@\s*(\w+)\s*:\s*", content)
    keyword = match.group(2).lower() if match else ""
    if not match or keyword not in {"server", "port", "pkey", "table", "vector", "var"}:
        raise ConfigError(
            f"{origin}:{number}:{content.index('@') + 1}: unknown section {content.strip()!r}",
            hint="known are @Server: @Port:N @PKey: @Table:NAME @Vector:NAME @Var:",
        )
    rest = content[match.end() :]
    value = ""
    if keyword in {"port", "table", "vector"}:
        value, _, rest = rest.partition(" ")
    # Blanks keep the columns of what follows on the section's own line true.
    return _Section(keyword, value.strip(), number), " " * (len(content) - len(rest)) + rest


def _add(spec: DatabaseSpec, section: _Section, origin: str) -> DatabaseSpec:
    match section.keyword:
        case "server":
            return replace(spec, servers=spec.servers + _servers(section, origin))
        case "port":
            return replace(spec, port=_port(section))
        case "pkey":
            return replace(spec, key=_key(spec, _columns(section, origin)))
        case "var":
            variables = spec.variables + _columns(section, origin)
            check_unique(variables)
            check_variables(variables)
            return replace(spec, variables=variables)
        case keyword:
            kind: Kind = "vector" if keyword == "vector" else "table"
            return add_table(spec, section.value, kind, _columns(section, origin))


def add_table(
    spec: DatabaseSpec, name: str, kind: Kind, columns: tuple[ColumnSpec, ...]
) -> DatabaseSpec:
    """Return the database with one more table or vector; ``UsageError`` when it cannot be."""
    check_name(name, kind)
    if name.lower() == VARIABLES:
        raise UsageError(f"{name!r} means something else to aq_udb: choose another {kind} name")
    if existing := spec.find(name):
        raise UsageError(
            f"database {spec.name} already has a {existing.kind} {existing.name}",
            hint=f"drop it first: ess drop {existing.kind} {existing.name}",
        )
    table, key = make_table(name, kind, columns, spec.key)
    return replace(spec, tables=(*spec.tables, table), key=key)


def _key(spec: DatabaseSpec, columns: tuple[ColumnSpec, ...]) -> tuple[ColumnSpec, ...]:
    if spec.key:
        raise UsageError("the primary key is given twice, by @PKey: or by pkey columns before it")
    if extra := [str(column) for column in columns if set(column.attrs) - {"pkey"}]:
        raise UsageError(f"key column {extra[0]} cannot have attributes")
    return tuple(replace(column, attrs=("pkey",)) for column in columns)


def _columns(section: _Section, origin: str) -> tuple[ColumnSpec, ...]:
    columns = []
    for line, place, item in section.items:
        try:
            columns.append(parse_column(item))
        except UsageError as error:
            raise ConfigError(
                f"{origin}:{line}:{place}: {error.message}", hint=error.hint
            ) from None
    check_unique(columns)
    return tuple(columns)


def _servers(section: _Section, origin: str) -> tuple[str, ...]:
    for line, place, item in section.items:
        if not _SERVER.fullmatch(item):
            raise ConfigError(
                f"{origin}:{line}:{place}: {item!r} is not a server",
                hint="write HOST[|ALT][:PORT][*WEIGHT]",
            )
    return tuple(item for _, _, item in section.items)


def _port(section: _Section) -> int:
    if not section.value.isdecimal() or not 0 < int(section.value) < 65536:
        raise UsageError(f"{section.value!r} is not a port", hint="write @Port:10010")
    return int(section.value)


def _bare(column: ColumnSpec) -> str:
    return str(replace(column, attrs=()))
