"""The rows of an Arrow table on stdout: csv, json, ndjson, table, parquet."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from ess_dask.api.spoken import spoken, values_of
from ess_dask.cli._render import Table, Value, render

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("csv", "json", "ndjson", "table", "parquet")


def write_rows(table: pa.Table, form: str) -> None:
    """Write all rows to stdout. In csv a text is quoted and a null is nothing; numbers keep all
    their digits; a list or struct is JSON."""
    writers: dict[str, Callable[[pa.Table, BinaryIO], None]] = {
        "csv": _csv,
        "json": _json,
        "ndjson": _ndjson,
        "parquet": _parquet,
    }
    if form == "table":
        rows = [tuple(map(_value, row)) for row in _rows(table)]
        render(Table(tuple(_distinct(table.column_names)), rows), "table")
        return
    writers[form](table, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _csv(table: pa.Table, target: BinaryIO) -> None:
    from pyarrow import csv

    csv.write_csv(_flat(table), target)


def _json(table: pa.Table, target: BinaryIO) -> None:
    names = list(_distinct(table.column_names))
    objects = [dict(zip(names, map(_plain, row), strict=True)) for row in _rows(table)]
    target.write(json.dumps(objects, indent=2, ensure_ascii=False).encode() + b"\n")


def _ndjson(table: pa.Table, target: BinaryIO) -> None:
    names = list(_distinct(table.column_names))
    for row in _rows(table):
        found = dict(zip(names, map(_plain, row), strict=True))
        target.write(json.dumps(found, ensure_ascii=False).encode() + b"\n")


def _parquet(table: pa.Table, target: BinaryIO) -> None:
    import pyarrow.parquet as pq

    held = spoken(table, far=False)
    pq.write_table(held.rename_columns(list(_distinct(table.column_names))), target)


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    for batch in table.to_batches(max_chunksize=1 << 14):
        yield from zip(*map(values_of, batch.columns), strict=True)


def _flat(table: pa.Table) -> pa.Table:
    """Return a table that CSV can hold: what is nested or binary as text."""
    import pyarrow as pa

    table = spoken(table)
    for at, field in enumerate(table.schema):
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type):
            texts = [_text(value) for value in values_of(table.column(at))]
            table = table.set_column(at, field.name, pa.array(texts, pa.string()))
    return table


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    return json.dumps(_plain(value), ensure_ascii=False)


def _value(value: Any) -> Value:
    if isinstance(value, list | dict | bytes):
        return _text(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: exact decimals, dates and bytes as text, no NaN."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    return value.hex() if isinstance(value, bytes) else str(value)


def _distinct(names: list[str]) -> Iterator[str]:
    """Number the names that come again: an object of JSON has each once."""
    seen: set[str] = set()
    for name in names:
        number, shown = 2, name
        while shown in seen:
            shown, number = f"{name}_{number}", number + 1
        seen.add(shown)
        yield shown
