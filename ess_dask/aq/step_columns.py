"""Arrow columns as the aq language sees them, and what it gives back as Arrow columns.

================  ====  ===================================================================
Arrow             aq    notes
================  ====  ===================================================================
string, binary    S     bytes
int64             LS    smaller signed ones IS
uint64            L     smaller unsigned ones I, booleans 0 and 1
floats, decimals  F
dates, times      S     ``2014-09-01``, ``2014-09-01 12:30:05`` with a fraction where it has one
others            S     as Arrow writes them
================  ====  ===================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ess_dask.aq.kinds import Kind
from ess_dask.aq.program import OutputColumn
from ess_dask.aq.tables import arrow_type
from ess_dask.aq.vector.blocks import column_type

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def kind_of(type_: pa.DataType) -> Kind:
    """Return what an Arrow column is to the language."""
    import pyarrow as pa

    types = pa.types
    if types.is_boolean(type_):
        return Kind.I
    if types.is_floating(type_) or types.is_decimal(type_):
        return Kind.F
    if types.is_signed_integer(type_):
        return Kind.LS if type_.bit_width == 64 else Kind.IS
    if types.is_unsigned_integer(type_):
        return Kind.L if type_.bit_width == 64 else Kind.I
    return Kind.S


def type_of(column: OutputColumn) -> pa.DataType:
    """Return the Arrow type of a column that the language computed."""
    import pyarrow as pa

    kind = column.source.kind
    return pa.string() if column.print_format or kind is Kind.S else arrow_type(kind)


def to_series(column: pa.ChunkedArray) -> pl.Series:
    """Return the values of a column as frames of the language hold them: no nulls, text by byte."""
    import polars as pl
    import pyarrow as pa

    kind = kind_of(column.type)
    if kind is not Kind.S:
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        return pl.Series(column).cast(column_type(kind)).fill_null(kind.blank)
    types = pa.types
    if types.is_binary(column.type) or types.is_large_binary(column.type):
        texts = [(value or b"").decode("latin-1") for value in column.to_pylist()]
        return pl.Series(texts, dtype=pl.String)
    if types.is_temporal(column.type) and not types.is_duration(column.type):
        return _written(pl.Series(column))
    text = pl.Series(column.cast(pa.string())).fill_null("")
    if text.str.len_bytes().sum() == text.str.len_chars().sum():
        return text
    bytes_of = [value.encode().decode("latin-1") for value in text.to_list()]
    return pl.Series(bytes_of, dtype=pl.String)


def _written(times: pl.Series) -> pl.Series:
    import polars as pl

    if isinstance(times.dtype, pl.Datetime):
        whole = times.dt.to_string("%Y-%m-%d %H:%M:%S")
        micro = times.dt.microsecond()
        if (micro != 0).any():
            fraction = micro.cast(pl.String).str.zfill(6).str.strip_chars_end("0")
            both = pl.DataFrame({"whole": whole, "fraction": fraction})
            whole = both.select(
                pl.when(pl.col("fraction") == "")
                .then(pl.col("whole"))
                .otherwise(pl.col("whole") + "." + pl.col("fraction"))
            ).to_series()
        return whole.fill_null("")
    return times.cast(pl.String).fill_null("")


def to_arrow(series: pl.Series, type_: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """Return computed values as Arrow; raise ``UnicodeDecodeError`` for text that is not UTF-8."""
    import pyarrow as pa

    if type_ != pa.string() or series.str.len_bytes().sum() == series.str.len_chars().sum():
        return series.to_arrow().cast(type_)
    texts: list[Any] = [value.encode("latin-1").decode("utf-8") for value in series.to_list()]
    return pa.array(texts, pa.string())
