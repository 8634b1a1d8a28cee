"""Regular expressions as functions and mappings use them: engine and attributes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Protocol

from ess_dask.aq.errors import OptionError
from ess_dask.aq.patterns.posix import translate

POSIX_ATTRIBUTES = frozenset(("rx", "rx_extended", "rx_icase", "rx_newline"))
_PCRE_FLAGS = {
    "caseless": re.IGNORECASE,
    "dotall": re.DOTALL,
    "multiline": re.MULTILINE,
    "extended": re.VERBOSE,
}
_PCRE_WORDS = frozenset(
    ("pcre", "ungreedy", "dollar_endonly", "anchored", "utf", "ucp", "dupnames", "notempty")
)
_PCRE_SILENT = frozenset(
    (
        "allow_empty_class",
        "alt_verbnames",
        "never_backslash_c",
        "never_ucp",
        "never_utf",
        "no_dotstar_anchor",
        "no_start_optimize",
        "no_utf_check",
        "alt_circumflex",
    )
)
"""Flags that forbid or tune what plain patterns do not use: they change no result here."""
PCRE_ATTRIBUTES = frozenset(_PCRE_FLAGS) | _PCRE_WORDS | _PCRE_SILENT
REGEX_ATTRIBUTES = POSIX_ATTRIBUTES | PCRE_ATTRIBUTES | {"ncas"}

_AMBIGUOUS = re.compile(r"\||\?|\)[*+{]")
"""Where the first match of a backtracking engine may not be the longest one POSIX asks for."""


class Match(Protocol):
    """A match of either engine."""

    def group(self, number: int = 0, /) -> Any:
        """Return the text of a group, None if it took no part."""

    def start(self, number: int = 0, /) -> int:
        """Return where a group starts."""

    def end(self, number: int = 0, /) -> int:
        """Return where a group ends."""


class Regex:
    """A compiled expression over strings of bytes.

    ``groups`` is the number of subexpressions, ``names`` maps names to their numbers.
    """

    def __init__(self, compiled: Any, *, anchored: bool = False, utf: bool = False) -> None:
        self.groups: int = compiled.groups
        self.names: dict[str, int] = dict(compiled.groupindex)
        self._find: Callable[..., Match | None] = compiled.match if anchored else compiled.search
        self._utf = utf
        self.plain: str | None = None if anchored or utf else _plain(compiled)

    def search(self, text: str, start: int = 0) -> Match | None:
        """Return the first match at or after ``start``."""
        if self._utf:
            return self._search_utf(text, start)
        return self._find(text, start)

    def _search_utf(self, text: str, start: int) -> Match | None:
        try:
            decoded = text.encode("latin-1").decode("utf-8")
            offset = len(text[:start].encode("latin-1").decode("utf-8"))
        except UnicodeDecodeError:
            return None
        found = self._find(decoded, offset)
        return None if found is None else _UtfMatch(found, decoded)


class _UtfMatch:
    """A match over characters, told in bytes."""

    def __init__(self, match: Match, text: str) -> None:
        self._match = match
        self._text = text

    def group(self, number: int = 0, /) -> Any:
        found = self._match.group(number)
        return None if found is None else found.encode("utf-8").decode("latin-1")

    def start(self, number: int = 0, /) -> int:
        return len(self._text[: self._match.start(number)].encode("utf-8"))

    def end(self, number: int = 0, /) -> int:
        return len(self._text[: self._match.end(number)].encode("utf-8"))


def _plain(compiled: Any) -> str | None:
    return compiled.pattern if isinstance(compiled, re.Pattern) else None


def is_regex(attributes: Iterable[str]) -> bool:
    """Whether any attribute asks for a regular expression (``ncas`` alone does not)."""
    return bool((POSIX_ATTRIBUTES | PCRE_ATTRIBUTES) & set(attributes))


def regex_defaults(text: str, where: str) -> frozenset[str]:
    """Return the attributes that ``-rx`` sets; ``OptionError`` for words that are none."""
    names = frozenset(text.lower().replace("|", ",").split(","))
    if unknown := names - REGEX_ATTRIBUTES:
        raise OptionError(f"unknown attribute {min(unknown)!r} in {where!r}")
    return names


def with_defaults(attributes: Iterable[str], defaults: frozenset[str]) -> frozenset[str]:
    """Return ``attributes`` with those of ``-rx``, unless they say more than an engine's name."""
    own = frozenset(attributes)
    other = {"rx": PCRE_ATTRIBUTES, "pcre": POSIX_ATTRIBUTES}
    chosen = own & (POSIX_ATTRIBUTES | PCRE_ATTRIBUTES)
    if chosen - other.keys() or any(defaults & other[engine] for engine in chosen):
        return own
    return own | defaults


def compile_regex(pattern: str, attributes: Iterable[str]) -> Regex:
    """Return the compiled ``pattern``; ``OptionError`` when it or its attributes are wrong."""
    return _compile(pattern, frozenset(attributes))


@lru_cache(maxsize=256)
def _compile(pattern: str, attributes: frozenset[str]) -> Regex:
    if unknown := attributes - REGEX_ATTRIBUTES:
        raise OptionError(f"regular expression attribute {sorted(unknown)[0]!r} is not supported")
    if attributes & PCRE_ATTRIBUTES:
        if attributes & POSIX_ATTRIBUTES:
            raise OptionError(f"both engines are asked for {pattern!r}", hint="use rx or pcre")
        return _pcre(pattern, attributes)
    return _posix(pattern, attributes)


def _posix(pattern: str, attributes: frozenset[str]) -> Regex:
    source = translate(
        pattern, extended="rx_extended" in attributes, newline="rx_newline" in attributes
    )
    flags = re.ASCII | re.DOTALL
    if attributes & {"ncas", "rx_icase"}:
        flags |= re.IGNORECASE
    try:
        if _AMBIGUOUS.search(source.replace("(?m:", "").replace(r"\?", "").replace(r"\|", "")):
            import regex

            return Regex(regex.compile(source, int(flags & ~re.ASCII) | regex.ASCII | regex.POSIX))
        return Regex(re.compile(source, flags))
    except (re.error, ValueError, OverflowError) as error:
        raise OptionError(f"bad regular expression {pattern!r}: {error}") from None
    except Exception as error:
        raise _foreign(error, pattern) from None


def _foreign(error: Exception, pattern: str) -> Exception:
    import regex

    if isinstance(error, regex.error):
        return OptionError(f"bad regular expression {pattern!r}: {error}")
    return error


def _pcre(pattern: str, attributes: frozenset[str]) -> Regex:
    import regex

    utf = bool(attributes & {"utf", "ucp"})
    flags = regex.VERSION0 | (regex.UNICODE if "ucp" in attributes else regex.ASCII)
    for name, flag in _PCRE_FLAGS.items():
        flags |= int(flag) if name in attributes else 0
    if "ncas" in attributes:
        flags |= regex.IGNORECASE
    if utf:
        pattern = pattern.encode("latin-1").decode("utf-8", "replace")
    source = _swap_greed(pattern) if "ungreedy" in attributes else pattern
    if "dollar_endonly" in attributes:
        source = re.sub(r"(?<!\\)\$", r"\\Z", source)
    if "notempty" in attributes:
        source = f"(?=[\\s\\S])(?:{source})(?<=[\\s\\S])"
    try:
        compiled = regex.compile(source, flags)
    except regex.error as error:
        raise OptionError(f"bad regular expression {pattern!r}: {error}") from None
    return Regex(compiled, anchored="anchored" in attributes, utf=utf)


_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?|(?:[*+?]|\{\d+(?:,\d*)?\})(?P<mode>[?+]?)|.", re.DOTALL
)


def _swap_greed(pattern: str) -> str:
    def swap(match: re.Match[str]) -> str:
        if match["mode"] is None or match["mode"] == "+":
            return match[0]
        return match[0][:-1] if match["mode"] else match[0] + "?"

    return _TOKEN.sub(swap, pattern)
