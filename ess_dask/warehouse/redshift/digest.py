"""Digests of columns: by the worker from Arrow, by Redshift from a table; both give the same.

All measures are additive, so that those of parts are summed and no row moves to compare them.
Rows and non-null values are counted; integers, decimals, days of dates and booleans are summed
exactly; of timestamps the decimal number ``YYYYMMDDhhmmssuuuuuu``; of texts and binaries the bytes,
and on request the first 32 bits of the md5 of texts. Of floats the finite values are counted and
summed, scaled by a power of two; ``digest.compare`` allows their sum a tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from ess_dask.records.spec import Column
from ess_dask.warehouse.digest import ColumnDigest, Digest
from ess_dask.warehouse.redshift.digest_measures import (
    MAGNITUDE,
    Found,
    kind_of,
    read_measures,
    sql_measures,
)
from ess_dask.warehouse.redshift.names import quoted
from ess_dask.warehouse.redshift.nested import as_texts, part_type
from ess_dask.warehouse.redshift.types import stored

if TYPE_CHECKING:
    import pyarrow as pa

_EXACT = Context(prec=200)


def table_digest(table: pa.Table, columns: Sequence[Column], *, text: bool) -> Digest:
    """Return the digest of Arrow rows. With ``text`` the md5 of texts is added (slow).

    ``columns`` are found by name and taken as Redshift stores them.
    """
    from ess_dask.warehouse.redshift.digest_arrow import md5_sums, measure

    arrays = {column.name: _as_stored(table, column) for column in columns}
    texts = {c.name: arrays[c.name] for c in columns if text and kind_of(c.type) == "text"}
    md5 = md5_sums(texts) if texts else {}
    found = []
    for column in columns:
        measured = measure(arrays[column.name], stored(column.type))
        if column.name in md5:
            measured.append(("md5 sum", md5[column.name]))
        found.append(_column_digest(column.name, measured))
    return Digest(table.num_rows, tuple(found))


def digest_sql(relation_sql: str, columns: Sequence[Column], *, text: bool) -> str:
    """Return the SELECT whose one row ``read_digest`` takes.

    ``relation_sql`` is SQL text after FROM. Understood by Redshift and by PostgreSQL that has a
    function ``strtol``.
    """
    expressions = ["count(*)"]
    for column in columns:
        expressions += sql_measures(quoted(column.name), column.type, text=text)
    return f"SELECT {', '.join(expressions)} FROM {relation_sql}"  # noqa: S608 - names are quoted


def read_digest(row: Sequence[Any], columns: Sequence[Column], *, text: bool) -> Digest:
    """Return the digest that the row of ``digest_sql`` for the same columns holds."""
    values: Iterator[Any] = iter(row)
    rows = int(next(values))
    found = [
        _column_digest(column.name, read_measures(values, column.type, text=text))
        for column in columns
    ]
    return Digest(rows, tuple(found))


def combine(digests: Sequence[Digest]) -> Digest:
    """Return the digest of all rows together; of no digest that of no rows and no columns."""
    if not digests:
        return Digest(0, ())
    columns = zip(*(digest.columns for digest in digests), strict=True)
    return Digest(
        sum(digest.rows for digest in digests), tuple(_added(column) for column in columns)
    )


def _added(parts: Sequence[ColumnDigest]) -> ColumnDigest:
    if len(parts) == 1:
        return parts[0]
    measures = []
    for same in zip(*(part.measures for part in parts), strict=True):
        total: Any = 0
        for _, value in same:
            exact = isinstance(value, Decimal)
            total = _EXACT.add(total, value) if exact else total + value
        measures.append((same[0][0], total))
    return ColumnDigest(parts[0].name, tuple(measures), sum(part.magnitude for part in parts))


def _column_digest(name: str, found: Found) -> ColumnDigest:
    magnitude = next((value for label, value in found if label == MAGNITUDE), 0.0)
    return ColumnDigest(name, tuple(pair for pair in found if pair[0] != MAGNITUDE), magnitude)


def _as_stored(table: pa.Table, column: Column) -> pa.ChunkedArray:
    array, wanted = as_texts(table[column.name]), part_type(column.type)
    return array if array.type == wanted else array.cast(wanted)
