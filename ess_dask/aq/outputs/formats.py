"""Rows to bytes, one at a time: CSV, separated, JSON, binary."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from ess_dask.aq.inputs.binary import encode_head, encode_record
from ess_dask.aq.kinds import Kind, Type, Value, format_float
from ess_dask.aq.program import OutputColumn, OutputFormat

Formatter = Callable[[list[Value]], bytes]
"""Returns the bytes of a row, given the values of the output's columns."""
FieldFormatter = Callable[[Value], str]


def title_of(form: OutputFormat, columns: tuple[OutputColumn, ...]) -> bytes:
    """Return what an output begins with: a title line, a binary head or nothing."""
    titles = [column.title for column in columns]
    if form.name == "bin":
        return encode_head([column.source.kind for column in columns], [""] * len(columns))
    if form.name == "aq":
        return encode_head([column.source.kind for column in columns], titles)
    if form.name == "jsn" or not form.title:
        return b""
    field = text_formatter(form)
    return (form.separator.join(field(title) for title in titles) + "\n").encode("latin-1")


def row_formatter(form: OutputFormat, columns: tuple[OutputColumn, ...]) -> Formatter:
    """Return what writes the rows of an output."""
    kinds = [column.source.kind for column in columns]
    if form.name in ("bin", "aq"):
        return lambda values: encode_record(kinds, values)
    if form.name == "jsn":
        return _json_formatter(columns)
    fields = [field_formatter(form, column) for column in columns]
    separator = form.separator

    def write(values: list[Value]) -> bytes:
        texts = [field(value) for field, value in zip(fields, values, strict=True)]
        return (separator.join(texts) + "\n").encode("latin-1")

    return write


def field_formatter(form: OutputFormat, column: OutputColumn) -> FieldFormatter:
    """Return what writes the values of a column as text."""
    kind = column.source.kind
    if column.print_format:
        return print_formatter(column.print_format, kind)
    if kind.type is Type.STR:
        return text_formatter(form)
    if kind is Kind.F:
        return short_float if form.short_floats else _long_float
    return str


def _long_float(value: Value) -> str:
    assert isinstance(value, float)
    return format_float(value)


def short_float(value: Value) -> str:
    """Return a float as C's ``%g`` prints it."""
    return f"{value:g}"


def text_formatter(form: OutputFormat) -> Callable[[Value], str]:
    """Return what writes the strings of a text format."""
    separator = form.separator
    if form.escape:
        marks = str.maketrans({char: "\\" + char for char in (separator, '"', "\\")})
        if form.name == "csv":
            return lambda value: f'"{str(value).translate(marks)}"' if value else ""
        return lambda value: str(value).translate(marks)
    if form.name == "csv":
        return quoted
    return str


def quoted(value: Value) -> str:
    """Return a string in quotes, its own ones doubled; nothing for an empty one."""
    if not value:
        return ""
    text = str(value)
    return '"' + (text.replace('"', '""') if '"' in text else text) + '"'


_CONVERSION = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?([a-zA-Z])")


def print_formatter(form: str, kind: Kind) -> FieldFormatter:
    """Return what writes numbers in a printf format, as C does: x and o unsigned, c one byte."""
    match = _CONVERSION.search(form.replace("%%", ""))
    letter = match[1] if match else ""
    mask = (1 << kind.bits) - 1 if letter in "xXo" else 0xFF if letter == "c" else 0
    if kind is Kind.F or not mask:
        return lambda value: form % value
    return lambda value: form % (value & mask if isinstance(value, int) else value)


def _json_formatter(columns: tuple[OutputColumn, ...]) -> Formatter:
    names = [json_text(column.title) + ":" for column in columns]
    fields = [_json_field(column) for column in columns]

    def write(values: list[Value]) -> bytes:
        members = (
            name + field(value) for name, field, value in zip(names, fields, values, strict=True)
        )
        return ("{" + ",".join(members) + "}\n").encode("latin-1")

    return write


def _json_field(column: OutputColumn) -> FieldFormatter:
    if column.print_format:
        form = print_formatter(column.print_format, column.source.kind)
        return lambda value: json_text(form(value))
    if column.source.kind is Kind.F:
        return _json_float
    return str if column.source.kind.type is Type.INT else json_text


def _json_float(value: Value) -> str:
    assert isinstance(value, float)
    return format_float(value) if math.isfinite(value) else "null"


_JSON_MARKS = str.maketrans(
    {chr(code): f"\\u{code:04x}" for code in range(32)}
    | {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f", '"': '\\"', "\\": "\\\\"}
)


def json_text(value: Value) -> str:
    """Return a JSON string; bytes that are not UTF-8 stay as they are."""
    return f'"{str(value).translate(_JSON_MARKS)}"'
