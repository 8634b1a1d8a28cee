"""Glob patterns over the full path of a file, and the folders a listing has to walk for them.

``*`` and ``?`` also stand for ``/`` (``/data/*purchase*`` finds files in any folder below). A
pattern that does not begin with ``/`` (or ``s3://``) is taken from the datastore's root:
``purchase_*.gz`` in ``/lake`` means ``/lake/purchase_*.gz``, ``*purchase*`` any file below
``/lake``. In an S3 datastore a leading ``/`` means the bucket's root. A pattern to exclude that
does not begin with ``/``, ``*`` or ``s3://`` may begin at any folder or file name.
"""

from __future__ import annotations

import fnmatch
import os.path
import re
import shlex
from collections.abc import Iterable

from ess_dask.catalog.model import Category, Datastore
from ess_dask.dataclass import dataclass
from ess_dask.errors import UsageError

_GLOB = re.compile(r"[*?\[]")
_LITERAL_OR_GLOB = re.compile(r"\[([*?\[])\]|[*?\[]")


@dataclass(frozen=True, slots=True)
class PathFilter:
    """Which paths are wanted, and where they can be.

    ``prefixes`` are texts one of which every wanted path starts with; none of them starts with
    another. For a local datastore they end with ``/`` or name one file. Unless ``deep``, folders
    are not entered but listed, as entries that end with ``/`` (size 0, no etag).
    """

    prefixes: tuple[str, ...]
    wanted: re.Pattern[str]
    unwanted: re.Pattern[str]
    pruned: re.Pattern[str]
    deep: bool = True

    def matches(self, path: str) -> bool:
        """Whether a full path is wanted and not excluded."""
        return bool(self.wanted.fullmatch(path)) and not self.unwanted.fullmatch(path)

    def prunes(self, folder: str) -> bool:
        """Whether every path below ``folder`` (ending with ``/``) is excluded."""
        return bool(self.pruned.fullmatch(folder))


def split_patterns(text: str) -> tuple[str, ...]:
    """Split patterns at blanks; a literal blank is quoted, as in a shell.

    Raises ``UsageError`` for a quote that is not closed and when nothing is left.
    """
    try:
        patterns = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(
            f"pattern {text!r}: {str(error).lower()}",
            hint="put a name that holds a quote between quotes of the other kind",
        ) from None
    if not patterns:
        raise UsageError("a pattern is needed", hint="for example '*purchase*gz'")
    return patterns


def filter_of(store: Datastore, category: Category, exclude: Iterable[str] = ()) -> PathFilter:
    """Return the filter of a category's patterns; ``exclude`` is added to its own."""
    return compile_patterns(store, category.patterns, (*category.exclude, *exclude))


def compile_patterns(
    store: Datastore, patterns: Iterable[str], exclude: Iterable[str] = ()
) -> PathFilter:
    """Compile patterns to include (any of them) and to exclude for a datastore."""
    wanted = [anchor(store, pattern) for pattern in patterns]
    unwanted = [_anchor_excluded(store, pattern) for pattern in exclude]
    return PathFilter(
        prefixes=_outermost((_prefix(p, store.is_local) for p in wanted), store.is_local),
        wanted=_union(wanted),
        unwanted=_union(unwanted),
        pruned=_union(pattern for pattern in unwanted if pattern.endswith("*")),
    )


def anchor(store: Datastore, pattern: str) -> str:
    """Return the pattern over full paths (absolute, or ``s3://bucket/key``).

    Raises ``UsageError`` for one with a NUL, which no name of a file holds.
    """
    if "\0" in pattern:
        raise UsageError(f"the pattern {pattern!r} holds a NUL", hint="take it out")
    if not store.is_local:
        return _anchor_s3(store, pattern)
    if not pattern.startswith("/"):
        pattern = f"{literal(store.root.rstrip('/'))}/{pattern}"
    # Only the literal part may be normalised: in "a*/../b" the dots are part of the glob.
    cut = _literal_folder(pattern)
    folder = os.path.normpath("/" + cut.lstrip("/"))
    return f"{folder.rstrip('/')}/{pattern[len(cut) :].lstrip('/')}"


def _anchor_s3(store: Datastore, pattern: str) -> str:
    if pattern.startswith("s3://"):
        return pattern
    root = store.root.rstrip("/")
    if pattern.startswith("/"):
        root = "s3://" + root.removeprefix("s3://").partition("/")[0]
    return f"{literal(root)}/{pattern.removeprefix('./').lstrip('/')}"


def _anchor_excluded(store: Datastore, pattern: str) -> str:
    if pattern.startswith(("*", "s3://")):
        return pattern
    if pattern.startswith("/"):
        return anchor(store, pattern)
    return f"*/{pattern}"


def _literal_folder(pattern: str) -> str:
    """Return the folders before the first glob character, without the last ``/``."""
    found = _GLOB.search(pattern)
    literal = pattern[: found.start()] if found else pattern
    return literal[: literal.rfind("/")]


def _prefix(pattern: str, local: bool) -> str:
    """Return the text every match starts with; a glob character in brackets is literal."""
    prefix, end = "", 0
    for found in _LITERAL_OR_GLOB.finditer(pattern):
        prefix += pattern[end : found.start()]
        if not found[1]:
            return prefix[: prefix.rfind("/") + 1] if local else prefix
        prefix, end = prefix + found[1], found.end()
    return prefix + pattern[end:]


def _outermost(prefixes: Iterable[str], local: bool) -> tuple[str, ...]:
    kept: list[str] = []
    for prefix in sorted(set(prefixes)):
        covered = any(prefix.startswith(k) for k in kept if k.endswith("/") or not local)
        if not covered:
            kept.append(prefix)
    return tuple(kept)


def _union(patterns: Iterable[str]) -> re.Pattern[str]:
    bodies = [fnmatch.translate(pattern) for pattern in patterns]
    return re.compile("|".join(bodies) if bodies else r"(?!)")


def literal(text: str) -> str:
    """Return the pattern that matches exactly this text."""
    return re.sub(r"([*?\[])", r"[\1]", text)
