"""The staged parts as DuckDB reads them: checked against what the workers said, in file order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.errors import DataError, UsageError
from ess_dask.warehouse.changes import in_order, names
from ess_dask.warehouse.duckdb.types import cast_sql, parse_sql_type, sql_type
from ess_dask.warehouse.model import LoadFile, LoadRequest, StagedPart
from ess_dask.warehouse.quote import escape_glob, fold, quote
from ess_dask.warehouse.schema import FILE_COLUMN, widens

if TYPE_CHECKING:
    import duckdb

_READ = "read_parquet(?, union_by_name = true)"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to insert: SQL after FROM, its parameters, and ``order`` (SQL after the rows)."""

    relation: str
    parameters: tuple[Any, ...] = ()
    order: str = ""


def check_parts(connection: duckdb.DuckDBPyConnection, request: LoadRequest) -> None:
    """Raise ``DataError`` unless parts and files hold the rows that were told, and the columns."""
    _check_metadata(request.parts)
    counts: Counter[str] = Counter()
    if request.parts:
        if not request.plan.columns:
            raise UsageError(
                "rows are staged but the plan has no columns",
                hint="plan again with columns_of(parts)",
            )
        _check_columns(connection, request)
        query = f"SELECT {FILE_COLUMN}, count(*) FROM {_READ} GROUP BY ALL"  # noqa: S608
        counts.update(dict(connection.execute(query, [_paths(request)]).fetchall()))
    told = {file.uri: file.rows_loaded for file in request.files}
    strangers = sorted(uri for uri in counts if uri not in told)
    if strangers:
        raise DataError(f"staged rows are of files that are not in the load: {strangers[:5]}")
    for uri, rows in told.items():
        if counts[uri] != rows:
            raise DataError(
                f"{uri}: {rows} rows were cleaned, {counts[uri]} are staged",
                hint="nothing was loaded; run again to stage the file anew",
            )


def _check_metadata(parts: Sequence[StagedPart]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for part in parts:
        try:
            rows = pq.read_metadata(part.path).num_rows
        except FileNotFoundError:
            raise DataError(f"staged part {part.path} has vanished") from None
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"staged part {part.path} cannot be read: {error}") from error
        if rows != part.rows:
            raise DataError(f"staged part {part.path} holds {rows} rows, not {part.rows}")


def _check_columns(connection: duckdb.DuckDBPyConnection, request: LoadRequest) -> None:
    described = connection.execute(f"DESCRIBE SELECT * FROM {_READ}", [_paths(request)]).fetchall()  # noqa: S608
    staged = {fold(row[0]): row[1] for row in described}
    wanted = {fold(column.name): column for column in request.plan.columns}
    problems = [
        f"{name!r} is not planned" for name in staged if name not in wanted and name != FILE_COLUMN
    ]
    for name, column in wanted.items():
        have = staged.get(name)
        if have is None:
            problems.append(f"{column.name!r} is not staged")
        elif have != '"NULL"' and not widens(parse_sql_type(have), column.type):
            problems.append(f"{column.name!r} is staged as {have}, not {sql_type(column.type)}")
    if problems:
        raise DataError(f"the staged columns are not the planned ones: {'; '.join(problems)}")


def rows_of(request: LoadRequest, taken: Sequence[LoadFile]) -> Rows:
    """Return the staged rows of these files, in the order of the parts."""
    if len(taken) == len(request.files):
        return Rows(_READ, (_paths(request),))
    # The scan numbers the rows before the filter, which may hand them on in any order.
    numbered = f"(SELECT *, row_number() OVER () AS _ess_order FROM {_READ})"  # noqa: S608
    uris = [file.uri for file in taken]
    return Rows(
        f"{numbered} WHERE {FILE_COLUMN} IN (SELECT unnest(?))",
        (_paths(request), uris),
        " ORDER BY _ess_order",
    )


def last_by_key(
    connection: duckdb.DuckDBPyConnection, request: LoadRequest, taken: Sequence[LoadFile]
) -> Rows:
    """Return the last staged row of each key, by date, uri and line, as a temporary table.

    Nulls in a key are equal to each other.
    """
    keys = ", ".join(quote(name) for name in request.plan.target.key)
    order = in_order(taken)
    cast = ", ".join(
        f"{cast_sql(column)} AS {quote(column.name)}" for column in request.plan.columns
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE _ess_source AS "  # noqa: S608 - names quoted
        f"SELECT {cast}, {FILE_COLUMN}, _ess_rank, _ess_order "
        f"FROM (SELECT *, row_number() OVER () AS _ess_order FROM {_READ}) "
        f"JOIN (SELECT unnest(?) AS _ess_uri, unnest(?) AS _ess_rank) ON {FILE_COLUMN} = _ess_uri "
        f"QUALIFY row_number() OVER "
        f"(PARTITION BY {keys} ORDER BY _ess_rank DESC, _ess_order DESC) = 1",
        [_paths(request), list(order), list(order.values())],
    )
    return Rows("temp._ess_source", order=" ORDER BY _ess_rank, _ess_order")


def _paths(request: LoadRequest) -> list[str]:
    order = in_order(request.files)
    first = {
        part.path: min((order.get(uri, 0) for uri in part.uris), default=0)
        for part in request.parts
    }
    return [escape_glob(str(Path(path))) for path in sorted(first, key=lambda p: (first[p], p))]


def check_rejects(request: LoadRequest, taken: Sequence[LoadFile], rows: int) -> None:
    """Raise ``DataError`` unless as many rejected rows were kept as the files' counts say."""
    told = sum(file.rows_rejected for file in taken)
    if request.rejects and rows != told:
        raise DataError(
            f"{told} rows were rejected, the rejects files hold {rows} of {names(taken)}",
            hint="nothing was loaded; run again",
        )
