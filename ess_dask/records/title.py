"""The title line of a file against the declared columns: which field is which column."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

from ess_dask.dataclass import dataclass
from ess_dask.errors import ColumnsError
from ess_dask.records.columnspec import spec_names
from ess_dask.records.spec import Column, ReadSpec

DELIMITERS = (",", "\t", ";", "|", ":", "^", " ")
"""What usually separates fields, most usual first."""


@dataclass(frozen=True, slots=True)
class Fields:
    """How the fields of a record map to columns.

    ``width`` is the number of fields of a record, ``positions[i]`` the field (from 0) of
    ``columns[i]``; skipped columns are left out.
    """

    width: int
    columns: tuple[Column, ...]
    positions: tuple[int, ...]

    def alone(self, position: int) -> Fields:
        """Return these fields with the column at one position and no other."""
        column = self.columns[self.positions.index(position)]
        return Fields(self.width, (column,), (position,))


def fields_by_position(spec: ReadSpec) -> Fields:
    """Return the fields of a file without a title line: one per declared column, skipped or not."""
    kept = [(i, column) for i, column in enumerate(spec.columns) if column.type.name != "skip"]
    columns = tuple(column for _, column in kept)
    return Fields(len(spec.columns), columns, tuple(i for i, _ in kept))


def fields_behind_title(title: str, spec: ReadSpec, uri: str) -> Fields:
    """Return the fields by position in a file whose title line is passed over.

    Raises ``ColumnsError`` when the title names the declared columns in another order: by position
    their values would be taken for one another.
    """
    if is_title(title, spec) and not _names_in_place(title, spec):
        raise ColumnsError(
            f"{uri}: the title names the columns in another order than the column spec",
            hint="make a category of its own for such files, or give columns by name in Python or "
            f"in a pipeline file; the title is {_shown(title)!r}",
        )
    return fields_by_position(spec)


def fields_by_title(title: str, spec: ReadSpec, uri: str) -> Fields:
    """Return the fields by name, case-insensitively and in any order.

    ``title`` is the text of the title record. Raises ``ColumnsError`` that lists every missing,
    doubled and (``extra_columns="fail"``) undeclared column.
    """
    found = _find(title, spec)
    if isinstance(found, Fields):
        return found
    problems, hint = found
    raise ColumnsError(f"{uri}: " + "; ".join(problems), hint=hint)


@lru_cache(maxsize=256)
def is_title(record: str, spec: ReadSpec) -> bool:
    """Whether a record names the declared columns, in any order: it has a field for each of them,
    and the name of each that has one."""
    wanted = {_fold(column.name) for column in spec.columns if column.name}
    names = _spec_names(record, spec.delimiter)
    return bool(wanted) and len(names) == len(spec.columns) and wanted <= set(names)


@lru_cache(maxsize=256)
def _names_in_place(title: str, spec: ReadSpec) -> bool:
    names = _spec_names(title, spec.delimiter)
    pairs = zip(names, spec.columns, strict=True)
    return all(not column.name or name == _fold(column.name) for name, column in pairs)


def _spec_names(title: str, delimiter: str) -> list[str]:
    """Return the names that a probe gives these titles, folded."""
    titles = [name.strip() for name in split_fields(title, delimiter)]
    return [_fold(name) for name in spec_names(titles)]


@lru_cache(maxsize=256)
def _find(title: str, spec: ReadSpec) -> Fields | tuple[list[str], str]:
    """Return the fields, or problems and hint. Most files of a lake have the same title."""
    names = [_fold(name) for name in split_fields(title, spec.delimiter)]
    wanted = tuple(column for column in spec.columns if column.type.name != "skip")
    count = Counter(name for name in names if name)
    problems = [f"column {c.name!r} is missing" for c in wanted if _fold(c.name) not in count]
    problems += [f"column {name!r} stands {n} times" for name, n in count.items() if n > 1]
    if spec.extra_columns == "fail":
        declared = {_fold(column.name) for column in spec.columns}
        problems += [f"column {name!r} is not declared" for name in count if name not in declared]
    if problems:
        hint = _hint(title, wanted, spec.delimiter, found=len(names))
        return problems, hint
    return Fields(len(names), wanted, tuple(names.index(_fold(c.name)) for c in wanted))


def split_fields(record: str, delimiter: str) -> list[str]:
    """Return the fields of one well-formed record, quotes taken off."""
    if '"' not in record:
        return record.split(delimiter)
    quoted, plain = r'"((?:[^"]|"")*)"', rf"([^{re.escape(delimiter)}]*)"
    pattern = re.compile(rf"(?:{quoted}|{plain})(?:{re.escape(delimiter)}|\Z)", re.DOTALL)
    fields: list[str] = []
    at = 0
    while match := pattern.match(record, at):
        inside = match[1]
        fields.append(match[2] if inside is None else inside.replace('""', '"'))
        at = match.end()
        if not record[match.start() : at].endswith(delimiter) or at == match.start():
            break
        if at == len(record):
            fields.append("")
            break
    return fields


def _fold(name: str) -> str:
    return name.strip().casefold()


def _hint(title: str, wanted: tuple[Column, ...], delimiter: str, *, found: int) -> str:
    declared = {_fold(column.name) for column in wanted}

    def matches(separator: str) -> int:
        return len(declared & {_fold(name) for name in split_fields(title, separator)})

    best = max(DELIMITERS, key=lambda separator: (matches(separator), title.count(separator)))
    here = matches(delimiter)
    guessed = matches(best) > here or (here == 0 and found == 1 and title.count(best) > 0)
    if best != delimiter and guessed:
        return f"the title looks like it is separated by {best!r}, not {delimiter!r}"
    return f"the title is {_shown(title)!r}: declare its columns, or header: false if it is none"


def _shown(title: str) -> str:
    return title if len(title) <= 200 else title[:199] + "…"
