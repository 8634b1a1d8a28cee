"""Parts as gzip CSV, where COPY cannot take Parquet: RFC 4180, UTF-8, lines that end with LF.

Null is a word that no value is, and '' an empty field. Binaries are hexadecimal, timestamps
``YYYY-MM-DD HH:MM:SS.ffffff``, with ``+00`` where they have a zone. No title line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from ess_dask.errors import DataError
from ess_dask.records.spec import MIB

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_LEVEL = 2
_BATCH_ROWS = 65_536
_BLOCK = 16 * MIB
"""Bytes that are parsed at once; a row must fit in, and COPY takes rows of 4 MB."""


def null_marker(load_id: str) -> str:
    """Return the word for null in the CSV parts of a load, for COPY's ``NULL AS``.

    Letters, digits and hyphens only. A text that is this very word is refused when it is staged.
    """
    return f"ess-null-{hashlib.sha256(load_id.encode()).hexdigest()[:20]}"


def write_csv(source: Path, target: Path, load_id: str) -> None:
    """Write a Parquet part as gzip CSV, some rows at a time; the same bytes every time.

    Raises ``DataError`` for a text that is the load's word for null.
    """
    import pyarrow.parquet as pq
    from isal import igzip

    marker = null_marker(load_id)
    with (
        target.open("wb") as raw,
        cast("IO[bytes]", igzip.IGzipFile("", "wb", _LEVEL, raw, mtime=0)) as packed,  # type: ignore[no-untyped-call]
        pq.ParquetFile(source) as part,
    ):
        for batch in part.iter_batches(_BATCH_ROWS):
            # All texts in quotes: one at the start of the file may look like a byte order mark.
            _as_text(batch, marker).write_csv(
                packed, include_header=False, null_value=marker, quote_style="non_numeric"
            )


def read_csv(path: Path, schema: pa.Schema, load_id: str) -> Iterator[pa.Table]:
    """Yield the rows of such a file in the types they were written from."""
    import polars as pl
    import pyarrow as pa
    import pyarrow.csv as csv

    names = schema.names
    everything = csv.open_csv(
        str(path),
        read_options=csv.ReadOptions(column_names=names, block_size=_BLOCK),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[null_marker(load_id)],
            strings_can_be_null=True,
        ),
    )
    with everything:
        for batch in everything:
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            typed = [_typed(frame[field.name], field) for field in schema]
            yield pa.table(typed, schema=schema)


def _as_text(batch: pa.RecordBatch, marker: str) -> pl.DataFrame:
    import polars as pl

    frame = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)
    texts = [pl.col(name).cast(pl.String) for name, kind in frame.schema.items() if _texts(kind)]
    taken = frame.select((text == marker).any() for text in texts).to_dict(as_series=False)
    for name in (name for name, found in taken.items() if found[0]):
        raise DataError(
            f"column {name!r}: the text {marker!r} stands for null in this load",
            hint="run again: another load has another word",
        )
    return frame.select(_written(name, kind) for name, kind in frame.schema.items())


def _texts(kind: pl.DataType) -> bool:
    import polars as pl

    return kind in (pl.String, pl.Categorical)


def _written(name: str, kind: pl.DataType) -> pl.Expr:
    """Return a column as its values are written."""
    import polars as pl

    column = pl.col(name)
    if kind == pl.Binary:
        return column.bin.encode("hex")
    if isinstance(kind, pl.Datetime):
        return column.dt.strftime("%Y-%m-%d %H:%M:%S%.6f" + ("+00" if kind.time_zone else ""))
    if kind.is_float():
        # Redshift spells out what is no number.
        words = {"inf": "Infinity", "-inf": "-Infinity"}
        return column.cast(pl.String).replace(words)
    return column.cast(pl.String) if kind in (pl.Date, pl.Categorical) else column


def _typed(column: pl.Series, field: pa.Field) -> pa.Array:
    """Return a column of a CSV part in the type it was written from."""
    import pyarrow as pa
    import pyarrow.types as kinds

    if kinds.is_binary(field.type):
        return column.str.decode("hex").to_arrow().cast(field.type)
    if kinds.is_timestamp(field.type):
        column = column.str.strip_suffix("+00")
        return column.to_arrow().cast(pa.timestamp("us")).cast(field.type)
    return column.to_arrow().cast(pa.string()).cast(field.type)
