"""The small SQL of ``ess query`` and ``udbsql``: text to a statement, nothing looked up.

    select COLS|* from SOURCE [where FILTER] [order by COLS [asc|desc]] [limit N]
    select count(*)|count(COL)|count(distinct COL) [, ..] from SOURCE [where FILTER]
    select [COLS,] count(*)|count(COL) from SOURCE [where FILTER] group by COLS

Keywords may have any case. What SOURCE is, and whether the columns are there, its reader knows.
"""

from __future__ import annotations

import re
from typing import NoReturn

from ess_dask.aq.errors import OptionError
from ess_dask.dataclass import dataclass

CONSTANT = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*')"""
"""A quoted text, as filters have them."""

_TOKEN = re.compile(rf"""{CONSTANT}|[(),;]|[^\s(),;"']+|["']""", re.DOTALL)
_COUNT = re.compile(
    r"count\s*\(\s*(?P<distinct>distinct\s+)?(?P<column>\*|[\w.]+)\s*\)", re.IGNORECASE
)
_CLAUSES = ("where", "group", "order", "limit")
_SHAPE = "select .. from .. [where ..] [group by ..] [order by ..] [limit N]"
_SQL_WORDS = re.compile(
    rf"{CONSTANT}|(?<![\w.])(?:and|or|not)(?![\w.(])|(?<![\w.])not(?=\()|<>"
    r"|(?<![=<>!&~])=(?![=])",
    re.IGNORECASE | re.DOTALL,
)
_MEANING = {"and": "&&", "or": "||", "not": "!", "<>": "!=", "=": "=="}


@dataclass(frozen=True, slots=True)
class Name:
    """A column as written, and where it stands (from 0)."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Count:
    """``count(column)``; ``column.text`` may be ``*``."""

    column: Name
    distinct: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """A query taken apart. ``text`` is all of it; places (``_at``) count characters from 0.

    With ``counts`` it is a count query: ``columns`` are then among ``groups``.
    """

    text: str
    columns: tuple[Name, ...]
    counts: tuple[Count, ...]
    source: str
    source_at: int
    where: str = ""
    groups: tuple[Name, ...] = ()
    order: tuple[Name, ...] = ()
    descending: bool = False
    limit: int | None = None

    def refuse(self, why: str, at: int, hint: str = "") -> NoReturn:
        """Raise ``OptionError`` about the place ``at``."""
        refuse(self.text, why, at, hint)


def refuse(text: str, why: str, at: int, hint: str = "") -> NoReturn:
    """Raise ``OptionError`` about a place in a query; it is told as a character, from 1."""
    here = text[at:].strip()
    shown = f"{here[:30]!r}" if here else "its end"
    raise OptionError(f"query: {why}, at character {at + 1} ({shown})", hint=hint)


def parse_statement(text: str) -> Statement:
    """Return the statement that ``text`` is; ``OptionError`` says what is wrong and where."""
    return _Parser(text).statement()


def as_filter(where: str) -> str:
    """Return a filter with SQL's words as the language spells them; constants stay as they are."""
    return _SQL_WORDS.sub(lambda match: _MEANING.get(match[0].lower(), match[0]), where.strip())


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    at: int
    depth: int

    @property
    def word(self) -> str:
        """The text as keywords are compared; '' within parentheses."""
        return "" if self.depth else self.text.lower()

    @property
    def end(self) -> int:
        return self.at + len(self.text)


class _Parser:
    """Finds the keywords outside of quotes and parentheses, then reads what stands between."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._scan()
        self._starts: dict[str, int] = {}

    def statement(self) -> Statement:
        """Return the whole statement."""
        if not self._tokens or self._tokens[0].word != "select":
            self._refuse("expected 'select'", self._tokens[0].at if self._tokens else 0)
        words = [token.word for token in self._tokens]
        if "from" not in words:
            self._refuse("expected 'from'", len(self._text))
        from_ = words.index("from")
        self._find_clauses(from_)
        columns, counts = self._items(from_)
        at, source = self._slice(from_, 1, "a source")
        where = self._clause("where", 1, "a filter")[1]
        groups = self._names("group", allow_order=False)[0]
        order, descending = self._names("order", allow_order=True)
        found = Statement(
            self._text,
            columns,
            counts,
            source,
            at,
            where,
            groups,
            order,
            descending,
            self._limit(),
        )
        self._check_rules(found)
        return found

    def _refuse(self, why: str, at: int, hint: str = "") -> NoReturn:
        refuse(self._text, why, at, hint or f"write {_SHAPE}")

    def _scan(self) -> list[_Token]:
        tokens: list[_Token] = []
        opened: list[int] = []
        for match in _TOKEN.finditer(self._text):
            text, at = match[0], match.start()
            if text in ('"', "'"):
                self._refuse("a quote is not closed", at, "close it")
            if text == ")":
                if not opened:
                    self._refuse("')' closes nothing", at)
                opened.pop()
            tokens.append(_Token(text, at, len(opened)))
            if text == "(":
                opened.append(at)
        if opened:
            self._refuse("'(' is not closed", opened[-1])
        while tokens and tokens[-1].text == ";":
            tokens.pop()
        return tokens

    def _find_clauses(self, from_: int) -> None:
        """Note where each clause begins; they come in one order, each once."""
        for at in range(from_ + 1, len(self._tokens)):
            word = self._tokens[at].word
            if word not in _CLAUSES or not self._begins(word, at):
                continue
            later = [name for name in _CLAUSES[_CLAUSES.index(word) :] if name in self._starts]
            if later:
                self._refuse(f"{word!r} cannot stand behind {later[0]!r}", self._tokens[at].at)
            self._starts[word] = at

    def _begins(self, word: str, at: int) -> bool:
        """Whether a keyword begins a clause: a filter may have columns of these names."""
        following = self._tokens[at + 1] if at + 1 < len(self._tokens) else None
        if word in ("group", "order"):
            return following is not None and following.word == "by"
        if word == "limit" and "where" in self._starts and len(self._starts) == 1:
            return following is None or following.text.isdigit()
        return True

    def _slice(self, start: int, keywords: int, what: str) -> tuple[int, str]:
        """Return place and text between the keywords at ``start`` and the next clause."""
        first = start + keywords
        stop = min((at for at in self._starts.values() if at > start), default=len(self._tokens))
        behind = self._tokens[first - 1].end
        if first >= stop:
            self._refuse(f"expected {what}", behind)
        return self._tokens[first].at, self._text[
            self._tokens[first].at : self._tokens[stop - 1].end
        ]

    def _clause(self, word: str, keywords: int, what: str) -> tuple[int, str]:
        """Return place and text of a clause; '' when there is none."""
        return self._slice(self._starts[word], keywords, what) if word in self._starts else (0, "")

    def _items(self, from_: int) -> tuple[tuple[Name, ...], tuple[Count, ...]]:
        columns: list[Name] = []
        counts: list[Count] = []
        begin = self._tokens[0].end
        commas = [t for t in self._tokens[1:from_] if t.word == ","]
        for end in [*(comma.at for comma in commas), self._tokens[from_].at]:
            raw = self._text[begin:end]
            at = begin + len(raw) - len(raw.lstrip())
            self._item(raw.strip(), at, columns, counts)
            begin = end + 1
        return tuple(columns), tuple(counts)

    def _item(self, text: str, at: int, columns: list[Name], counts: list[Count]) -> None:
        if match := _COUNT.fullmatch(text):
            column = Name(match["column"], at + match.start("column"))
            counts.append(Count(column, bool(match["distinct"])))
            return
        if not text or re.search(r"[\s()\"']", text):
            why = "expected a column" if not text else f"cannot read the column {text!r}"
            self._refuse(why, at, "columns, *, count(*), count(COL) or count(distinct COL)")
        columns.append(Name(text, at))

    def _names(self, word: str, *, allow_order: bool) -> tuple[tuple[Name, ...], bool]:
        """Return the columns of ``.. by``, parted by commas or blanks, and whether ``desc``."""
        at, text = self._clause(word, 2, "a column")
        names = [Name(m[0], at + m.start()) for m in re.finditer(r"[^\s,]+", text)]
        direction = names.pop().text.lower() if allow_order and _is_direction(names[-1:]) else ""
        for name in names:
            if not re.fullmatch(r"[\w.]+", name.text) or (allow_order and _is_direction([name])):
                hint = "columns, then asc or desc for all of them" if allow_order else "columns"
                self._refuse(f"expected a column, not {name.text!r}", name.at, hint)
        if text and not names:
            self._refuse("expected a column", at)
        return tuple(names), direction == "desc"

    def _limit(self) -> int | None:
        at, text = self._clause("limit", 1, "a number")
        if text and not re.fullmatch(r"\d+", text, re.ASCII):
            self._refuse(f"the limit {text!r} is no number", at, "limit N is the last clause")
        return int(text) if text else None

    def _check_rules(self, found: Statement) -> None:
        """Hold the manual's four rules, and that what is beside a count is grouped by."""
        if not found.counts:
            if found.groups:
                self._refuse("group by needs a count", found.groups[0].at, "select count(*) ..")
            return
        for clause in ("order", "limit"):
            if clause in self._starts:
                place = self._tokens[self._starts[clause]].at
                self._refuse("a count has no order by and no limit", place, "sort what it prints")
        for count in found.counts:
            if found.groups and count.distinct:
                hint = "count(*) .. group by"
                self._refuse("group by does not go with distinct", count.column.at, hint)
        known = {name.text.lower() for name in found.groups}
        for name in found.columns:
            if name.text.lower() not in known:
                hint = "add it to group by, or leave it out"
                self._refuse(f"column {name.text!r} is beside a count", name.at, hint)


def _is_direction(names: list[Name]) -> bool:
    return bool(names) and names[0].text.lower() in ("asc", "desc")
