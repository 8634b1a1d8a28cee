"""A query of ``udbsql`` to the option lists that answer it. ``ess_dask.aq.sql`` has the grammar.

The source is ``DB:TAB``; FILTER is a filter of ``aq_udb``, and
``KEY in (select KEY from [DB:]TAB2 [where FILTER2])`` may be joined to it by ``and``.
"""

from __future__ import annotations

import re
import shlex

from ess_dask.aq.errors import OptionError
from ess_dask.aq.sql import Name, Statement, as_filter, parse_statement
from ess_dask.dataclass import dataclass

_IN = re.compile(
    r"(?P<key>\w+)\s+in\s*\(\s*(?P<query>select\b.*)\)\s*(?:(?:&&|and\b)\s*(?P<rest>.+))?",
    re.IGNORECASE | re.DOTALL,
)
_LAST_IN = re.compile(
    r"(?P<rest>.+?)\s*(?:&&|\band)\s*(?P<in>\w+\s+in\s*\(\s*select\b.*\))\s*",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Compiled:
    """The options of ``aq_udb``, and those of ``aq_cnt`` that counts what it gives, if any."""

    export: tuple[str, ...]
    count: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = f"aq_udb {shlex.join(self.export)}"
        return f"{shown} | aq_cnt {shlex.join(self.count)}" if self.count else shown


def compile_query(text: str) -> Compiled:
    """Return what answers a query; ``OptionError`` says what is not supported."""
    found = parse_statement(text)
    export = ["-exp", _source(found.source), *_conditions(found)]
    if found.counts:
        return _counting(found, export)
    if found.order:
        export += ["-sort,dec" if found.descending else "-sort", *_texts(found.order)]
    if found.limit is not None:
        export += ["-top", str(found.limit)]
    items = _texts(found.columns)
    chosen = [] if items == ["*"] else ["-c", *items]
    return Compiled((*export, "-o,notitle", "-", *chosen))


def _texts(names: tuple[Name, ...]) -> list[str]:
    return [name.text for name in names]


def _source(text: str) -> str:
    database, colon, table = text.partition(":")
    if not database or (colon and not table) or re.search(r"\s", text):
        raise OptionError(f"{text!r} is no table", hint="write DB:TAB")
    return text


def _counting(found: Statement, export: list[str]) -> Compiled:
    """Return a count: of rows, of different values, or of rows by groups."""
    groups = _texts(found.groups)
    distinct = [count.column.text for count in found.counts if count.distinct]
    unique = list(dict.fromkeys(name for name in (*groups, *distinct) if name != "*"))
    chosen = ["-c", *unique] if unique and "*" not in distinct else []
    feed = (*export, "-o,aq", "-", *chosen)
    if groups:
        return Compiled(feed, ("-f,aq", "-", "-kX", "-", "-", *groups))
    keys = [word for name in distinct for word in ("-k", f"k_{name}", name) if name != "*"]
    return Compiled(feed, ("-f,aq", "-", *keys, "-o", "-"))


def _conditions(found: Statement) -> list[str]:
    """Return the rules of a where clause: a group that looks for the key, and a filter."""
    where = found.where
    if not where:
        return []
    last = _LAST_IN.fullmatch(where)
    match = _IN.fullmatch(last["in"] if last else where.strip())
    if match is None:
        return ["-filt", as_filter(where)]
    rest = (last["rest"] if last else match["rest"]) or ""
    inner = parse_statement(match["query"])
    if inner.counts or inner.order or inner.limit is not None:
        raise OptionError(f"cannot read the query within {where!r}")
    database = found.source.partition(":")[0]
    other, colon, table = inner.source.partition(":")
    if colon and other != database:
        raise OptionError(f"{inner.source!r} is in another database", hint="keys meet in one")
    keys = ["-goto", "proc_key"]
    if inner.where:
        keys = ["-if", "-filt", as_filter(inner.where), *keys, "-endif"]
    group = ["-pp,post=next_key", table if colon else other, *keys, "-endpp"]
    return [*group, "-filt", as_filter(rest)] if rest else group
