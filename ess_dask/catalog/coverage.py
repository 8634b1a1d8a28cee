"""How many files and bytes lie on each day: kept in the index, or counted from a list of files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import date, datetime

from ess_dask.catalog.dates import compile_dates
from ess_dask.catalog.model import FileDate, FileRef
from ess_dask.dataclass import dataclass

UNDATED, NUMBERED = "", "#"
"""In place of a day: of files without a date, and of those with an integer id."""

_CHANGES = (
    (-1, "select f.uri, f.size from files f left join temp.listed l on f.uri = l.uri"
         " where f.category = ?1 and l.size is not f.size"),
    (1, "select l.uri, l.size from temp.listed l left join files f"
        " on f.category = ?1 and f.uri = l.uri where l.size is not f.size"),
)  # fmt: skip
"""Files that go and files that come; one of another size does both."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Files and stored bytes by the day of their date. ``undated`` files have none in their name,
    ``numbered`` ones an integer id."""

    files: Mapping[date, int]
    sizes: Mapping[date, int]
    undated: int = 0
    numbered: int = 0


def coverage_of(files: Iterable[FileRef]) -> Coverage:
    """Return the coverage of dated files."""
    found: dict[str, tuple[int, int]] = {}
    for file in files:
        day = day_of(file.date)
        count, size = found.get(day, (0, 0))
        found[day] = (count + 1, size + file.size)
    return _coverage((day, *figures) for day, figures in found.items())


def day_of(found: FileDate | None) -> str:
    """Return what stands in the index for a date."""
    if found is None:
        return UNDATED
    return found.date().isoformat() if isinstance(found, datetime) else NUMBERED


def read_coverage(connection: sqlite3.Connection, number: int, dateregex: str) -> Coverage:
    """Return the coverage of an indexed category; counts it anew where the index has none yet."""
    if not _is_known(connection, number, dateregex):
        _count_all(connection, number, dateregex)
    rows = connection.execute("select day, files, bytes from days where category = ?", (number,))
    return _coverage(rows)


def count_days(connection: sqlite3.Connection, number: int, dateregex: str) -> None:
    """Count the days of a category as they are once its index has been made equal to
    ``temp.listed``: before that, in the same transaction.

    Where there are files already whose days are not counted (by this ``dateregex``), they are not
    now either.
    """
    any_file = connection.execute("select 1 from files where category = ?", (number,)).fetchone()
    if any_file is None:
        _begin(connection, number, dateregex)
    if _is_known(connection, number, dateregex):
        _define(connection, dateregex)
        for sign, changed in _CHANGES:
            _add(connection, number, sign, changed)
        connection.execute("delete from days where category = ? and files = 0", (number,))
    else:
        connection.execute("delete from coverage where category = ?", (number,))


def _is_known(connection: sqlite3.Connection, number: int, dateregex: str) -> bool:
    row = connection.execute("select dateregex from coverage where category = ?", (number,))
    found = row.fetchone()
    return found is not None and found[0] == dateregex


def _count_all(connection: sqlite3.Connection, number: int, dateregex: str) -> None:
    _define(connection, dateregex)
    connection.execute("begin immediate")
    try:
        _begin(connection, number, dateregex)
        _add(connection, number, 1, "select uri, size from files where category = ?1")
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise


def _begin(connection: sqlite3.Connection, number: int, dateregex: str) -> None:
    connection.execute("delete from days where category = ?", (number,))
    connection.execute("insert or replace into coverage values (?, ?)", (number, dateregex))


def _define(connection: sqlite3.Connection, dateregex: str) -> None:
    """Give SQL the function that finds the day in a name."""
    find = compile_dates(dateregex).find

    def day(uri: bytes) -> str:
        return day_of(find(uri.decode("utf-8", "surrogateescape")))

    connection.create_function("day_in", 1, day, deterministic=True)


def _add(connection: sqlite3.Connection, number: int, sign: int, files: str) -> None:
    statement = (
        f"insert into days select ?1, day_in(uri), ?2 * count(*), ?2 * sum(size) from ({files})"  # noqa: S608 - own text
        " group by 2 on conflict do update set"
        " files = days.files + excluded.files, bytes = days.bytes + excluded.bytes"
    )
    connection.execute(statement, (number, sign))


def _coverage(rows: Iterable[tuple[str, int, int]]) -> Coverage:
    files: dict[date, int] = {}
    sizes: dict[date, int] = {}
    other = {UNDATED: 0, NUMBERED: 0}
    for day, count, size in sorted(rows):
        if day in other:
            other[day] = count
        else:
            files[date.fromisoformat(day)] = count
            sizes[date.fromisoformat(day)] = size
    return Coverage(files, sizes, other[UNDATED], other[NUMBERED])
