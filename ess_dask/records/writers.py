"""Arrow tables to bytes for people and programs: CSV, JSON, newline-delimited JSON, Parquet.

Text is UTF-8. CSV follows Essentia: a title line, strings in quotes, a blank string and null as
nothing, float64 with 17 significant digits.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from ess_dask.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["csv", "json", "ndjson", "parquet"]
_BATCH_ROWS = 50_000


def write_table(table: pa.Table, stream: BinaryIO, format: Format) -> None:  # noqa: A002
    """Write ``table`` to ``stream`` in ``format``; raise ``UsageError`` for an unknown one."""
    if format not in _WRITERS:
        raise UsageError(f"unknown format {format!r}", hint="use one of " + ", ".join(_WRITERS))
    _WRITERS[format](table, stream)


def write_csv(table: pa.Table, stream: BinaryIO, *, title: bool = True) -> None:
    """Write rows as CSV: numbers bare, strings and times in quotes, null as nothing."""
    if title:
        names = ",".join(_quote(name) for name in table.column_names)
        stream.write(f"{names}\n".encode())
    if not table.num_columns:
        return
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        columns = [[_csv_value(value) for value in column.to_pylist()] for column in batch.columns]
        lines = [",".join(row) for row in zip(*columns, strict=True)]
        stream.write("".join(f"{line}\n" for line in lines).encode())


def write_ndjson(table: pa.Table, stream: BinaryIO) -> None:
    """Write one JSON object per row and line."""
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        stream.write("".join(f"{_json(row)}\n" for row in batch.to_pylist()).encode())


def write_json(table: pa.Table, stream: BinaryIO) -> None:
    """Write one JSON array of objects, one object per line."""
    separator = b"["
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        for row in batch.to_pylist():
            stream.write(separator + b"\n  " + _json(row).encode())
            separator = b","
    stream.write(b"[]\n" if separator == b"[" else b"\n]\n")


def write_parquet(table: pa.Table, stream: BinaryIO) -> None:
    """Write Parquet, compressed with zstd."""
    import pyarrow.parquet as pq

    pq.write_table(table, stream, compression="zstd")


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _csv_value(value: Any) -> str:
    if value is None or value in ("", b""):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.17g}"
    if isinstance(value, int | Decimal):
        return str(value)
    return _quote(_text(value))


def _text(value: Any) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _json(row: dict[str, Any]) -> str:
    plain = {name: _json_value(value) for name, value in row.items()}
    return json.dumps(plain, ensure_ascii=False, default=_text, allow_nan=False)


def _json_value(value: Any) -> Any:
    # JSON has no word for infinity or not-a-number.
    return None if isinstance(value, float) and not math.isfinite(value) else value


_WRITERS: dict[str, Callable[[pa.Table, BinaryIO], None]] = {
    "csv": write_csv,
    "json": write_json,
    "ndjson": write_ndjson,
    "parquet": write_parquet,
}
