"""Columns by key path: the part that JSON and XML share.

A document is walked in its own order. A column is set when its value passes by; a row leaves at
the end of every element of an innermost ``[*]`` array, or of every record if there is none. What
belongs to an array is blank again behind each of its elements, so that values that come later in
the document are blank in the rows that left before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ess_dask.aq.columns import ColumnSpec
from ess_dask.aq.errors import OptionError
from ess_dask.dataclass import dataclass

EVERY = "*"
Step = str | int
"""A key (lower case, marked by a leading dot), an index, or ``*`` for every element."""
Path = tuple[Step, ...]
Candidates = tuple[tuple[int, int], ...]
"""Pairs of (column, steps matched so far)."""

_ELEMENT = re.compile(r"([^\[\].]*)((?:\[(?:\d{1,18}|\*)\])*)")


def parse_path(text: str) -> Path:
    """Return the steps of a key path such as ``a.b[*].c``."""
    steps: list[Step] = []
    if not text:
        return ()
    for element in text.split("."):
        match = _ELEMENT.fullmatch(element)
        if match is None or not element:
            raise OptionError(f"bad key {text!r}", hint="write key.key[N].key[*]")
        if match[1]:
            steps.append("." + match[1].lower())
        indexes = re.findall(r"\[(\d+|\*)\]", match[2])
        steps.extend(EVERY if index == EVERY else int(index) for index in indexes)
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths of all columns and the arrays whose elements make rows."""

    paths: tuple[Path, ...]
    innermost: frozenset[Path]
    below: dict[Path, tuple[int, ...]]

    @classmethod
    def of(cls, columns: tuple[ColumnSpec, ...], base: str) -> Paths:
        """Return the paths of ``columns`` below ``base``."""
        paths = []
        for column in columns:
            key = column.key or ""
            if not key and not base:
                raise OptionError(f"column {column.name!r} has no key", hint="TYPE:name:key")
            paths.append(parse_path(base) + parse_path(key))
        arrays = {path[: at + 1] for path in paths for at, step in enumerate(path) if step == EVERY}
        innermost = frozenset(
            array
            for array in arrays
            if not any(other != array and other[: len(array)] == array for other in arrays)
        )
        below = {
            array: tuple(at for at, path in enumerate(paths) if path[: len(array)] == array)
            for array in arrays
        }
        return cls(tuple(paths), innermost, below)

    @property
    def start_in_array(self) -> bool:
        """Whether any path enters a top-level array by itself."""
        return any(path and not str(path[0]).startswith(".") for path in self.paths)

    @property
    def start_in_every(self) -> bool:
        """Whether the elements of a top-level array make rows of their own."""
        return any(path[0] == EVERY for path in self.paths if path)

    def all_columns(self) -> Candidates:
        """Return what matches before the first step."""
        return tuple((column, 0) for column in range(len(self.paths)))

    def enter(self, candidates: Candidates, step: Step) -> Candidates:
        """Return the candidates that have ``step`` next, one step further."""
        return tuple(
            (column, depth + 1)
            for column, depth in candidates
            if depth < len(self.paths[column]) and self.paths[column][depth] == step
        )

    def enter_element(self, candidates: Candidates, index: int) -> Candidates:
        """Return the candidates that the element ``index`` of an array continues."""
        return self.enter(candidates, EVERY) + self.enter(candidates, index)


class Row:
    """The texts gathered for the next row."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self.texts = [""] * len(paths.paths)

    def set(self, candidates: Candidates, text: str) -> None:
        """Set the columns whose path ends here."""
        for column, depth in candidates:
            if depth == len(self._paths.paths[column]):
                self.texts[column] = text

    def leave_element(self, candidates: Candidates) -> Iterator[list[str]]:
        """Yield the row if the element that ends makes one, and blank what belongs to its array."""
        arrays = {
            self._paths.paths[column][:depth]
            for column, depth in candidates
            if depth and self._paths.paths[column][depth - 1] == EVERY
        }
        if arrays & self._paths.innermost:
            yield list(self.texts)
        for array in arrays:
            for column in self._paths.below[array]:
                self.texts[column] = ""

    def leave_record(self) -> Iterator[list[str]]:
        """Yield the row if records make rows, and blank everything."""
        if not self._paths.innermost:
            yield self.texts
        self.texts = [""] * len(self._paths.paths)
