"""Wildcards ``*`` and ``?``, each literal behind a backslash; the whole value must match."""

from __future__ import annotations

import re
from functools import lru_cache

_TOKEN = re.compile(r"\\([*?\\])|([*?])|(.)", re.DOTALL)


@lru_cache(maxsize=1024)
def compile_glob(pattern: str, *, ncas: bool = False) -> re.Pattern[str]:
    """Return what ``fullmatch``-es the values that ``pattern`` means."""
    flags = re.ASCII | re.DOTALL | (re.IGNORECASE if ncas else 0)
    return re.compile(glob_source(pattern), flags)


def glob_source(pattern: str) -> str:
    """Return the regular expression of a glob, without anchors."""

    def one(match: re.Match[str]) -> str:
        if match[2]:
            return ".*" if match[2] == "*" else "."
        return re.escape(match[1] or match[3])

    return _TOKEN.sub(one, pattern)


def has_wildcard(pattern: str) -> bool:
    """Whether ``pattern`` matches more than one value."""
    return any(match[2] for match in _TOKEN.finditer(pattern))


def literal_of(pattern: str) -> str:
    """Return the only value a pattern without wildcards matches."""
    return _TOKEN.sub(lambda match: match[1] or match[3], pattern)
