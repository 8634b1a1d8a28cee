"""Parquet files as COPY reads them: strictly by position and type, converted by columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ess_dask.testing.redshift.columns import STRINGS, Column
from ess_dask.testing.redshift.errors import ServerError
from ess_dask.testing.redshift.sources import Source

_ROWS = 1 << 16
_BYTES = 16 << 20
"""Of rows that are converted at once."""
_NAMES = {
    "bool": "boolean", "halffloat": "float16", "float": "float", "double": "double",
    "string": "binary {} (UTF8)", "large_string": "binary {} (UTF8)",
    "date32[day]": "int32 {} (DATE)",
    "int8": "int32 {} (INT_8)", "int16": "int32 {} (INT_16)", "uint8": "int32 {} (UINT_8)",
    "uint16": "int32 {} (UINT_16)", "uint32": "int32 {} (UINT_32)", "uint64": "int64 {} (UINT_64)",
    "timestamp[ms]": "int64 {} (TIMESTAMP_MILLIS)", "timestamp[us]": "int64 {} (TIMESTAMP_MICROS)",
}  # fmt: skip
_SIMPLE = {
    "smallint": {"int8", "int16"},
    "integer": {"int32"},
    "bigint": {"int64"},
    "real": {"float"},
    "double precision": {"double"},
    "boolean": {"bool"},
    "date": {"date32[day]"},
    "character varying": {"string", "large_string"},
    "character": {"string", "large_string"},
    "varbyte": {"binary", "large_binary"},
}


def parquet_batches(source: Source, columns: Sequence[Column], to_json: bool) -> Iterator[Any]:
    """Yield a file's rows as Arrow batches that ``binary_rows`` takes, one column for each.

    What Redshift cannot read into these columns is its "Spectrum Scan Error".
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(
            pa.BufferReader(source.data),
            coerce_int96_timestamp_unit="us",
            arrow_extensions_enabled=False,
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise scan_error(f"Invalid Parquet file: {error}", source) from error
    schema = file.schema_arrow
    if len(schema) != len(columns):
        raise scan_error(
            f"Unmatched number of columns between table and file. Table columns: {len(columns)}, "
            f"Data columns: {len(schema)}, File name: {source.address}",
            source,
        )
    for column, found in zip(columns, schema, strict=True):
        if not _fits(column, found.type, to_json):
            raise scan_error(
                f"File '{source.address}' has an incompatible Parquet schema for column "
                f"'{source.url}.{column.name}'. Column type: {column.declared.upper()}, "
                f"Parquet schema:\noptional {_parquet_name(found)}",
                source,
            )
    try:
        for whole in file.iter_batches(_ROWS):
            rows = max(_BYTES * whole.num_rows // max(whole.nbytes, 1), 1)
            for start in range(0, whole.num_rows, rows):
                batch = whole.slice(start, rows)
                values = [_checked(c, batch.column(i), source) for i, c in enumerate(columns)]
                yield pa.RecordBatch.from_arrays(values, [f"c{i}" for i in range(len(columns))])
    except (pa.ArrowInvalid, OSError) as error:
        raise scan_error(f"Invalid Parquet file: {error}", source) from error


def scan_error(context: str, source: Source) -> ServerError:
    """Return Redshift's error of a columnar file."""
    return ServerError(
        "Spectrum Scan Error",
        detail="\n  -----------------------------------------------\n"
        f"  error:  Spectrum Scan Error\n  code:      15007\n  context:   {context}\n"
        f"  location:  {source.url}\n  -----------------------------------------------",
    )


def _parquet_name(field: Any) -> str:
    name = _NAMES.get(str(field.type), str(field.type))
    return name.format(field.name) if "{}" in name else f"{name} {field.name}"


def _fits(column: Column, kind: Any, to_json: bool) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if column.type in _SIMPLE:
        return str(kind) in _SIMPLE[column.type]
    if column.type == "numeric":
        # A value has the bytes in the file that the table's digits need, neither more nor fewer.
        return (
            pa.types.is_decimal(kind)
            and kind.scale == column.scale
            and column.length is not None
            and _decimal_bytes(kind.precision) == _decimal_bytes(column.length)
        )
    if column.type.startswith("timestamp"):
        # Nanoseconds would be misread: the file's numbers are taken for microseconds.
        with_zone = column.type == "timestamp with time zone"
        return (
            pa.types.is_timestamp(kind)
            and kind.unit in ("ms", "us")
            and (kind.tz is not None or not with_zone)
        )
    return column.type == "super" and to_json and _is_json(kind)


def _decimal_bytes(digits: int) -> int:
    """Return how many bytes a Parquet file has for decimals of so many digits."""
    return (int(10**digits).bit_length() + 8) // 8


def _is_json(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return all(_is_json(kind.field(i).type) for i in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_json(kind.value_type)
    return str(kind) in ("string", "large_string", "bool", "float", "double") or (
        pa.types.is_signed_integer(kind)
    )


def _checked(column: Column, values: Any, source: Source) -> Any:
    """Return values as they go on, after the checks of what a type alone does not say."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if column.not_null and values.null_count:
        raise scan_error(f"Missing data for not-null field: column {column.name}", source)
    if column.type in STRINGS or column.type == "varbyte":
        longest = pc.max(pc.binary_length(values)).as_py() or 0
        if column.length is not None and longest > column.length:
            raise scan_error(
                f"The length of the data column {column.name} is longer than the length defined in "
                f"the table. Table: {column.length}, Data: {longest}, File name: {source.address}",
                source,
            )
    if column.type == "character" and pc.all(pc.string_is_ascii(values)).as_py() not in (
        True,
        None,
    ):
        raise scan_error(
            f"Multibyte character not supported for CHAR: column {column.name}", source
        )
    if column.type == "super":
        return json_text(values)
    if pa.types.is_timestamp(values.type):
        # A file's moment is in UTC: kept as it is, without the zone.
        return values.cast(pa.timestamp("us"))
    return values


def json_text(values: Any) -> Any:
    """Return nested values as JSON texts; a null stays a null."""
    import polars as pl

    series = pl.Series("v", values)
    texts = pl.DataFrame({"v": series}).select(
        pl.when(pl.col("v").is_not_null()).then(
            # Only a struct can be encoded: one around the value, whose braces are cut off again.
            pl.struct("v").struct.json_encode().str.slice(5).str.head(-1)
        )
    )
    return texts.to_series().to_arrow()


def csv_bytes(table: Any) -> bytes:
    """Return a table as CSV in which a null is nothing, and an empty text is two quotes."""
    import pyarrow as pa
    from pyarrow import csv

    out = pa.BufferOutputStream()
    csv.write_csv(table, out, csv.WriteOptions(include_header=False, batch_size=_ROWS))
    return bytes(out.getvalue().to_pybytes())
