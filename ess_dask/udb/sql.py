"""Small SQL to the option lists that answer it: ``udbsql``.

    select COLS|* from DB:TAB [where FILTER] [order by COLS [asc|desc]] [limit N]
    select count(*)|count(COL)|count(distinct COL) [, ..] from DB:TAB [where FILTER]
    select [COLS,] count(*) from DB:TAB [where FILTER] group by COLS

FILTER is a filter of ``aq_udb``; ``and``, ``or``, ``not``, ``=`` and ``<>`` are understood, too,
and ``KEY in (select KEY from [DB:]TAB2 [where FILTER2])`` may be joined to it by ``and``.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from ess_dask.aq.errors import OptionError

_CONSTANT = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*')"""
_QUERY = re.compile(
    rf"""\s*select\s+(?P<what>.+?)\s+from\s+(?P<source>[^\s;()]+)
    (?:\s+where\s+(?P<where>(?:{_CONSTANT}|[^"'])+?))?
    (?:\s+group\s+by\s+(?P<group>[^"'()]+?))?
    (?:\s+order\s+by\s+(?P<order>[^"'()]+?))?
    (?:\s+limit\s+(?P<limit>\d+))?\s*;?\s*""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_COUNT = re.compile(
    r"count\s*\(\s*(?P<distinct>distinct\s+)?(?P<column>\*|[\w.]+)\s*\)", re.IGNORECASE
)
_IN = re.compile(
    r"(?P<key>\w+)\s+in\s*\(\s*(?P<query>select\b.*)\)\s*(?:(?:&&|and\b)\s*(?P<rest>.+))?",
    re.IGNORECASE | re.DOTALL,
)
_LAST_IN = re.compile(
    r"(?P<rest>.+?)\s*(?:&&|\band)\s*(?P<in>\w+\s+in\s*\(\s*select\b.*\))\s*",
    re.IGNORECASE | re.DOTALL,
)
_WORDS = re.compile(
    rf"{_CONSTANT}|(?<![\w.])(?:and|or|not)(?![\w.(])|(?<![\w.])not(?=\()|<>"
    r"|(?<![=<>!&~])=(?![=])",
    re.IGNORECASE | re.DOTALL,
)
_MEANING = {"and": "&&", "or": "||", "not": "!", "<>": "!=", "=": "=="}


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
    match = _QUERY.fullmatch(text)
    if match is None:
        raise OptionError(
            f"cannot read the query {text!r}", hint="select .. from DB:TAB [where ..] .."
        )
    parts = {name: value for name, value in match.groupdict().items() if value is not None}
    items = [item.strip() for item in parts["what"].split(",")]
    export = ["-exp", _source(parts["source"]), *_conditions(parts.get("where", ""), parts)]
    if any(_COUNT.fullmatch(item) for item in items) or "group" in parts:
        return _counting(items, export, parts)
    if any("(" in item or not item for item in items):
        raise OptionError(f"cannot read the columns {parts['what']!r}", hint="names, * or count()")
    if "order" in parts:
        export += _sorting(parts["order"])
    if "limit" in parts:
        export += ["-top", parts["limit"]]
    chosen = [] if items == ["*"] else ["-c", *items]
    return Compiled((*export, "-o,notitle", "-", *chosen))


def _source(text: str) -> str:
    database, colon, table = text.partition(":")
    if not database or (colon and not table):
        raise OptionError(f"{text!r} is no table", hint="write DB:TAB")
    return text


def _sorting(text: str) -> list[str]:
    names = text.replace(",", " ").split()
    descending = names[-1].lower() == "desc"
    if names[-1].lower() in ("asc", "desc"):
        names.pop()
    if not names or {"asc", "desc"} & {name.lower() for name in names}:
        raise OptionError(f"cannot order by {text!r}", hint="columns, then asc or desc for all")
    return ["-sort,dec" if descending else "-sort", *names]


def _counting(items: list[str], export: list[str], parts: dict[str, str]) -> Compiled:
    """Return a count: of rows, of different values, or of rows by groups."""
    if "order" in parts or "limit" in parts:
        raise OptionError("a count has no order by and no limit", hint="sort what it prints")
    counts = [match for item in items if (match := _COUNT.fullmatch(item))]
    plain = [item for item in items if not _COUNT.fullmatch(item)]
    groups = parts.get("group", "").replace(",", " ").split()
    distinct = [match["column"] for match in counts if match["distinct"]]
    if groups and (distinct or not counts):
        raise OptionError("group by goes with count(*)", hint="not with distinct or plain columns")
    if {name.lower() for name in plain} - {name.lower() for name in groups}:
        raise OptionError("columns beside a count must be in group by")
    wanted = [name for name in (*groups, *distinct) if name != "*"]
    unique = list(dict.fromkeys(wanted))
    chosen = ["-c", *unique] if unique and "*" not in distinct else []
    feed = (*export, "-o,aq", "-", *chosen)
    if groups:
        return Compiled(feed, ("-f,aq", "-", "-kX", "-", "-", *groups))
    keys = [word for name in distinct for word in ("-k", f"k_{name}", name) if name != "*"]
    return Compiled(feed, ("-f,aq", "-", *keys, "-o", "-"))


def _conditions(where: str, parts: dict[str, str]) -> list[str]:
    """Return the rules of a where clause: a group that looks for the key, and a filter."""
    if not where:
        return []
    last = _LAST_IN.fullmatch(where)
    match = _IN.fullmatch(last["in"] if last else where.strip())
    if match is None:
        return ["-filt", _filter(where)]
    rest = (last["rest"] if last else match["rest"]) or ""
    inner = _QUERY.fullmatch(match["query"])
    if inner is None or inner["group"] or inner["order"] or inner["limit"]:
        raise OptionError(f"cannot read the query within {where!r}")
    database = parts["source"].partition(":")[0]
    other, colon, table = inner["source"].partition(":")
    if colon and other != database:
        raise OptionError(f"{inner['source']!r} is in another database", hint="keys meet in one")
    found = ["-goto", "proc_key"]
    if inner["where"]:
        found = ["-if", "-filt", _filter(inner["where"]), *found, "-endif"]
    group = ["-pp,post=next_key", table if colon else other, *found, "-endpp"]
    return [*group, "-filt", _filter(rest)] if rest else group


def _filter(text: str) -> str:
    """Return a filter with SQL's words as aq_udb spells them; constants stay as they are."""
    return _WORDS.sub(lambda m: _MEANING.get(m[0].lower(), m[0]), text.strip())
