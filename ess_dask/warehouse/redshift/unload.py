"""Rows of a query out of Redshift: UNLOAD to files in S3, told by its manifest, read back.

The cluster writes one file or more for each of its slices, and a manifest with their rows and
bytes. What is reported and read is what the manifest names, never what a listing finds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ess_dask.catalog.listing import list_matching
from ess_dask.catalog.model import Datastore, FileRef
from ess_dask.catalog.patterns import compile_patterns, literal
from ess_dask.catalog.store import find_file, open_file
from ess_dask.dataclass import dataclass
from ess_dask.errors import DataError, ReadError
from ess_dask.records.spec import Column, DataType
from ess_dask.warehouse.quote import RESERVED, fold, parse_table, quote
from ess_dask.warehouse.redshift.copy import Unload
from ess_dask.warehouse.redshift.existing import table_state
from ess_dask.warehouse.redshift.place import Format
from ess_dask.warehouse.redshift.types import parse

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.warehouse.redshift.session import Session
    from ess_dask.warehouse.redshift.warehouse import RedshiftWarehouse

_READS_AT_ONCE = 8
_SELECT = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:\(|(?:select|with)\b)", re.I | re.DOTALL)
_OUTER = re.compile(
    r"'(?:[^'\\]|''|\\.)*'|\"(?:[^\"]|\"\")*\"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"
    r"|--[^\n]*|/\*.*?\*/|(?P<word>[()]|\b(?:limit|offset|fetch|top)\b)",
    re.IGNORECASE | re.DOTALL,
)
# What UNLOAD puts behind the target. Without PARALLEL, which we never leave out, it would be digits
# alone: so may the files of others be called, of a day for one.
_PART = re.compile(r"\d{4,}_part_\d{2,}(?:\.\w+)*")
_ENDING: dict[Format, str] = {"parquet": ".parquet", "csv": ".gz"}


@dataclass(frozen=True, slots=True)
class Destination:
    """Where files go: their names begin with ``prefix`` (``s3://bucket/...``), as it is written.

    ``store`` is a datastore that holds the prefix: it says with which right we look there.
    """

    store: Datastore
    prefix: str


@dataclass(frozen=True, slots=True)
class Shape:
    """What the files look like. ``header`` is for CSV. ``overwrite``: the files of an earlier
    unload to the same place go."""

    format: Format = "parquet"
    header: bool = False
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class UnloadedFile:
    """One file as the manifest names it: its url, its rows, its bytes as stored."""

    url: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Unloaded:
    """What an unload wrote. ``columns`` are the query's; a file may have no rows."""

    files: tuple[UnloadedFile, ...]
    columns: tuple[Column, ...]
    manifest: str

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        """Bytes of all files, as stored."""
        return sum(file.bytes for file in self.files)


def run_unload(
    warehouse: RedshiftWarehouse, text: str, where: Destination, shape: Shape
) -> Unloaded:
    """Unload a query, or a table by its name, and return what the manifest says of it.

    Of a table the columns ``_ess_load`` and ``_ess_file`` stay behind. Raises ``DataError`` (no
    such table, the query's own errors, files that are there already), ``AccessError`` (the role may
    not write, we may not read), and what connecting raises.
    """
    from ess_dask.catalog.s3_objects import remove

    if shape.overwrite:
        # Of no rows a cluster may write nothing at all: an older manifest would speak for it.
        remove(where.store, [f"{where.prefix}manifest"])
    with warehouse.session() as session:
        unload = Unload(
            query=as_query(session, text, warehouse.url.options.schema),
            prefix=where.prefix,
            authorization=warehouse.authorization(),
            format=shape.format,
            header=shape.header,
            overwrite=shape.overwrite,
        )
        _execute(session, unload)
    unloaded = read_manifest(where)
    if shape.overwrite:
        _remove_stale(where, unloaded)
    return unloaded


def as_query(session: Session, text: str, schema: str) -> str:
    """Return a SELECT: ``text`` itself, or that of all columns of the table it names.

    UNLOAD takes no LIMIT in the outer SELECT (Developer Guide, "UNLOAD"): such a one becomes an
    inner one.
    """
    if _SELECT.match(text):
        query = text.strip().rstrip("; \t\r\n")
        return f"SELECT * FROM ({query}\n) AS limited" if _is_limited(query) else query  # noqa: S608
    state = table_state(session, parse_table(text, schema))
    if not state.exists:
        raise DataError(
            f"there is no table {state.name} to unload",
            hint="a query begins with SELECT or WITH; anything else is taken for a table's name",
        )
    names = [each.name for each in state.columns if not fold(each.name).startswith(RESERVED)]
    return f"SELECT {', '.join(map(quote, names))} FROM {state.name.sql}"  # noqa: S608 - quoted


def _is_limited(query: str) -> bool:
    """Whether the outer SELECT has a LIMIT, or what means the same."""
    depth, words = 0, _OUTER.finditer(query)
    # Where all of it is in parentheses, what they hold counts as the outer one.
    whole = query.startswith("(")
    for word in (found["word"].lower() for found in words if found["word"]):
        depth += (word == "(") - (word == ")")
        if word not in "()" and (whole or not depth):
            return True
    return False


def _execute(session: Session, unload: Unload) -> None:
    try:
        session.run(unload.sql())
        session.commit()
    except DataError as error:
        if "not empty" in error.message:
            error.hint = "name another place, or overwrite what is there"
        raise


def read_manifest(where: Destination) -> Unloaded:
    """Return what the manifest behind a prefix says; without one no row was written.

    Raises ``DataError`` when it cannot be understood.
    """
    url = f"{where.prefix}manifest"
    try:
        found = find_file(where.store, url)
    except ReadError:
        return Unloaded((), (), "")
    with open_file(where.store, found) as source:
        text = source.read()
    try:
        told = json.loads(text)
        files = tuple(
            UnloadedFile(
                str(each["url"]), int(each["meta"]["record_count"]),
                int(each["meta"]["content_length"]),
            )
            for each in told["entries"]
        )  # fmt: skip
        return Unloaded(files, tuple(map(_column, told["schema"]["elements"])), url)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{url} is not the manifest of an unload: {error!r}") from None


def _column(element: dict[str, Any]) -> Column:
    kind = element["type"]
    lengths = (int(kind.get(name) or 0) for name in ("max_length", "precision", "scale"))
    return Column(str(element["name"]), parse(str(kind["base"]), *lengths))


def _listed(where: Destination) -> dict[str, FileRef]:
    """Return the versions of all objects behind the prefix, by their urls."""
    wanted = compile_patterns(where.store, (f"{literal(where.prefix)}*",))
    return {file.uri: file for file in list_matching(where.store, wanted)}


def _remove_stale(where: Destination, unloaded: Unloaded) -> None:
    """Remove the files of an earlier unload that had more of them: they would be read with ours."""
    from ess_dask.catalog.s3_objects import remove

    ours = {file.url for file in unloaded.files}
    start = len(where.prefix)
    remove(
        where.store,
        [uri for uri in _listed(where) if uri not in ours and _PART.fullmatch(uri[start:])],
    )


def remove_unloaded(where: Destination) -> None:
    """Remove everything behind a prefix that was made for one unload alone."""
    from ess_dask.catalog.s3_objects import remove

    remove(where.store, list(_listed(where)))


def read_back(where: Destination, unloaded: Unloaded) -> pa.Table:
    """Return the rows of a Parquet unload, files in the manifest's order, several read at once.

    Raises ``DataError`` unless every file has the bytes and rows that the manifest tells, and where
    columns have the same name.
    """
    import pyarrow as pa

    _refuse_same_names(unloaded.columns)
    # Of no rows the empty file knows the types better than the manifest, if there is one.
    empty = [file for file in unloaded.files if file.bytes][:1]
    wanted = [file for file in unloaded.files if file.rows] or empty
    listed = _listed(where) if wanted else {}
    with ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="ess-unload") as pool:
        tables = list(pool.map(lambda file: _read(where.store, file, listed), wanted))
    return pa.concat_tables(tables) if tables else _schema(unloaded.columns).empty_table()


def _refuse_same_names(columns: Sequence[Column]) -> None:
    names = [column.name for column in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(
            f"the query has more than one column called {', '.join(twice)}",
            hint="give each a name of its own: AS",
        )


def _read(store: Datastore, file: UnloadedFile, listed: dict[str, FileRef]) -> pa.Table:
    import pyarrow as pa
    from pyarrow import parquet

    found = listed.get(file.url)
    if found is None or found.size != file.bytes:
        what = "is gone" if found is None else f"has {found.size} bytes, not {file.bytes}"
        raise DataError(f"{file.url} {what}", hint="unload again")
    with open_file(store, found) as source:
        table = parquet.read_table(pa.BufferReader(source.read()))
    if table.num_rows != file.rows:
        raise DataError(
            f"{file.url} has {table.num_rows} rows, the manifest tells {file.rows}",
            hint="unload again",
        )
    return table


def _schema(columns: Iterable[Column]) -> pa.Schema:
    """Return the Arrow schema of an empty result; what it has no type for is a text."""
    import pyarrow as pa

    from ess_dask.records.types import arrow_type
    from ess_dask.warehouse.redshift.types import REDSHIFT_TYPES

    def kind(type_: DataType) -> pa.DataType:
        if type_.name == "decimal":
            return pa.decimal128(type_.precision or 38, type_.scale)
        return arrow_type(type_) if type_.name in REDSHIFT_TYPES else pa.string()

    return pa.schema([(column.name, kind(column.type)) for column in columns])


def files_pattern(where: Destination, shape: Shape) -> str:
    """Return the glob pattern of the files of an unload: not of its manifest."""
    return f"{literal(where.prefix)}[0-9]*_part_[0-9]*{_ENDING[shape.format]}"


def spec_letters(columns: Sequence[Column]) -> list[str]:
    """Return for each column the letter of a column spec that holds its values as CSV has them.

    What only a text keeps exactly is S: long decimals, booleans (t, f), dates, times.
    """
    return [_letter(column.type) for column in columns]


def _letter(type_: DataType) -> str:
    whole = {"int16": "IS", "int32": "IS", "int64": "LS", "float32": "F", "float64": "F"}
    if type_.name != "decimal":
        return whole.get(type_.name, "S")
    if type_.scale == 0 and 0 < type_.precision <= 18:
        return "LS"
    return "F" if 0 < type_.precision <= 15 else "S"
