"""Typed rows as the records they could be read from again, for rejects that are no longer text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from ess_dask.records.spec import Column, ReadSpec

if TYPE_CHECKING:
    import pyarrow as pa


def retell(table: pa.Table, spec: ReadSpec) -> list[bytes]:
    """Return a record for each row, which ``csv.read_rejected`` reads under ``retold_title``.

    Skipped fields are blank.
    """
    columns = _fields(spec)
    values = [
        table[column.name].to_pylist()
        if column.type.name != "skip" and column.name in table.column_names
        else [None] * table.num_rows
        for column in columns
    ]
    return [_record(row, columns, spec.delimiter) for row in zip(*values, strict=True)]


def retold_title(spec: ReadSpec) -> str:
    """Return the title record of retold rows, '' where files have none."""
    if not spec.header:
        return ""
    names = [column.name.encode() for column in _fields(spec)]
    return _joined(names, spec.delimiter).decode()


def show(table: pa.Table) -> list[bytes]:
    """Return rows of any columns as text, for people."""
    import pyarrow as pa

    def texts(column: pa.ChunkedArray) -> list[str]:
        try:
            return [text or "" for text in column.cast(pa.string()).to_pylist()]
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return [str(value) for value in column]

    rows = zip(*(texts(column) for column in table.columns), strict=True)
    return [_joined([text.encode() for text in row], ",") for row in rows]


def _fields(spec: ReadSpec) -> list[Column]:
    """Return the columns that records have a field for."""
    by_name = spec.header and not spec.by_position
    return [column for column in spec.columns if not (by_name and column.type.name == "skip")]


def _record(row: Sequence[Any], columns: Sequence[Column], delimiter: str) -> bytes:
    fields = [_field(value, column) for value, column in zip(row, columns, strict=True)]
    return _joined(fields, delimiter)


def _field(value: Any, column: Column) -> bytes:
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, date):
        pattern = column.type.format
        if pattern:
            return value.strftime(pattern).encode()
        return (value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()).encode()
    return (f"{value:f}" if column.type.name == "decimal" else str(value)).encode()


def _joined(fields: Sequence[bytes], delimiter: str) -> bytes:
    apart = delimiter.encode()
    special = (apart, b'"', b"\r", b"\n")
    quoted = (
        b'"' + field.replace(b'"', b'""') + b'"' if any(s in field for s in special) else field
        for field in fields
    )
    return apart.join(quoted)
