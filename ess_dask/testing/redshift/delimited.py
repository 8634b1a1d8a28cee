"""CSV files as COPY reads them: checked by columns; row by row only where a row is not regular."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from ess_dask.dataclass import dataclass
from ess_dask.testing.redshift.casting import cast
from ess_dask.testing.redshift.columns import Column
from ess_dask.testing.redshift.errors import ServerError
from ess_dask.testing.redshift.journal import RowError
from ess_dask.testing.redshift.options import whole_number
from ess_dask.testing.redshift.sources import Source

_SHOWN = 1024
_ROWS = 1 << 17
_NULL = "\\N"
_NO_UTF8 = re.compile("[\udc80-\udcff]+")


@dataclass(frozen=True, slots=True)
class Delimited:
    """Good rows of a file as texts for PostgreSQL, and the other ones among them."""

    table: Any
    errors: list[RowError]


@dataclass
class _Fields:
    """The fields of a file, by columns; ``lines`` are the rows' lines, where they are known.

    Where they are not, the rows begin behind ``header`` lines.
    """

    frame: Any
    header: int = 0
    lines: Sequence[int] | None = None
    errors: list[RowError] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Shape:
    """How the file is written."""

    url: str
    columns: Sequence[Column]
    delimiter: str
    quote: str
    header: int
    null: str


def read_delimited(
    source: Source, columns: Sequence[Column], options: Mapping[str, str]
) -> Iterator[Delimited]:
    """Read a CSV file for these columns, and check it some rows at a time."""
    shape = _Shape(
        source.url,
        columns,
        _one_character(options, "DELIMITER", ","),
        _one_character(options, "QUOTE", '"'),
        whole_number(options, "IGNOREHEADER"),
        options.get("NULL", _NULL),
    )
    fields = _fields(_plain(source, options), shape, options)
    size = _ROWS if fields.lines is None else max(len(fields.frame), 1)
    for start in range(0, max(len(fields.frame), 1), size):
        yield _checked(fields, shape, (start, size), options)


def _checked(
    fields: _Fields, shape: _Shape, some: tuple[int, int], options: Mapping[str, str]
) -> Delimited:
    """Check (start, number) rows of a file."""
    import polars as pl

    start, size = some
    frame = fields.frame.slice(start, size)
    bad: dict[int, RowError] = {}
    done = []
    for column, name in zip(shape.columns, frame.columns, strict=True):
        checked = cast(column, frame[name], options)
        done.append(checked.texts.alias(name))
        for row, (code, reason) in checked.errors.items():
            if row not in bad:
                bad[row] = _row_error(fields, shape, start + row, column, (code, reason))
    good = pl.DataFrame(done)
    if bad:
        good = good.filter(~pl.int_range(pl.len()).is_in(list(bad)))
    found = sorted([*fields.errors, *bad.values()], key=lambda error: error.line)
    return Delimited(good.to_arrow(), found)


def _one_character(options: Mapping[str, str], name: str, default: str) -> str:
    found = {"\\t": "\t"}.get(options.get(name, default), options.get(name, default))
    if len(found) != 1 or not found.isascii():
        raise ServerError(f"COPY {name.lower()} must be a single ASCII character", "22023")
    return found


def _plain(source: Source, options: Mapping[str, str]) -> bytes:
    if "GZIP" not in options:
        return source.data
    try:
        return gzip.decompress(source.data)
    except (OSError, EOFError, zlib.error) as error:
        raise ServerError(
            "S3 Query Exception (Fetch)",
            detail=f"error: zlib error code: -3 context: {error} location: {source.url}",
        ) from error


def _fields(data: bytes, shape: _Shape, options: Mapping[str, str]) -> _Fields:
    text = data.decode("utf-8", "surrogateescape")
    if not text.isascii() and _NO_UTF8.search(text):
        if "ACCEPTINVCHARS" in options:
            stand = "?" if options["ACCEPTINVCHARS"] == "ON" else options["ACCEPTINVCHARS"]
            text = _NO_UTF8.sub(lambda found: stand * len(found[0]), text)
            data = text.encode()
        else:
            return _by_rows(text, shape)
    return _by_columns(data, text, shape) or _by_rows(text, shape)


def _by_columns(data: bytes, text: str, shape: _Shape) -> _Fields | None:
    """Read a regular file at once; nothing is returned for one that is not."""
    import polars as pl
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    names = [f"c{i}" for i in range(len(shape.columns))]
    if not data:
        return _Fields(pl.DataFrame(schema=dict.fromkeys(names, pl.String)))
    if data[:1] in b"\r\n" or b"\n\n" in data or b"\n\r\n" in data:
        # Lines without anything, perhaps: Arrow would make nulls of them.
        return None
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            arrow_csv.ReadOptions(column_names=names, skip_rows_after_names=shape.header),
            arrow_csv.ParseOptions(
                delimiter=shape.delimiter, quote_char=shape.quote, newlines_in_values=True,
                ignore_empty_lines=False,
            ),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), null_values=[shape.null],
                strings_can_be_null=True,
            ),
        )  # fmt: skip
    except pa.ArrowInvalid:
        return None
    return _Fields(pl.DataFrame(pl.from_arrow(table)), _header_lines(text, shape))


def _header_lines(text: str, shape: _Shape) -> int:
    reader = _reader(text, shape)
    for _ in zip(range(shape.header), reader, strict=False):
        pass
    return int(reader.line_num)


def _reader(text: str, shape: _Shape) -> Any:
    lines = io.StringIO(text, newline="")
    return csv.reader(lines, delimiter=shape.delimiter, quotechar=shape.quote)


def _by_rows(text: str, shape: _Shape) -> _Fields:
    """Read a file with irregular rows: these are errors, and lines are counted."""
    import polars as pl

    wanted = len(shape.columns)
    rows: list[list[str | None]] = []
    lines: list[int] = []
    errors: list[RowError] = []
    reader = _reader(text, shape)
    line = 1
    for number, row in enumerate(reader):
        first, line = line, reader.line_num + 1
        row = row or [""] * (wanted == 1)
        if number < shape.header:
            continue
        problem = _irregular(row, wanted)
        if problem is None:
            rows.append([None if value == shape.null else value for value in row])
            lines.append(first)
        else:
            errors.append(_error(shape, first, row, None, problem))
    schema = {f"c{i}": pl.String for i in range(wanted)}
    return _Fields(pl.DataFrame(rows, schema=schema, orient="row"), lines=lines, errors=errors)


def _irregular(row: list[str], wanted: int) -> tuple[int, str] | None:
    if any(map(_NO_UTF8.search, row)):
        return 1220, _bad_bytes(row)
    if not row:
        return 1211, "Input line contains no data"
    if len(row) > wanted:
        return 1202, "Extra column(s) found"
    if len(row) < wanted:
        return 1214, "Delimiter not found"
    return None


def _bad_bytes(row: Sequence[str]) -> str:
    """Tell the first bytes that are no UTF-8, with Redshift's number of what is wrong with them."""
    match = next(found for value in row if (found := _NO_UTF8.search(value)))
    wrong = match[0].encode("utf-8", "surrogateescape")
    is_start = 0xC2 <= wrong[0] <= 0xF4
    kind = 3 if not is_start else 2 if match.end() == len(match.string) else 4
    return (
        "String contains invalid or unsupported UTF8 codepoints. "
        f"Bad UTF8 hex sequence: {wrong.hex(' ')} (error {kind})"
    )


def _row_error(
    fields: _Fields, shape: _Shape, row: int, column: Column, problem: tuple[int, str]
) -> RowError:
    values = [value if value is not None else shape.null for value in fields.frame.row(row)]
    if fields.lines is not None:
        line = fields.lines[row]
    else:
        # Lines inside of quotes count as well.
        before = fields.frame.head(row)
        inner = sum(before[name].str.count_matches("\n").sum() for name in before.columns)
        line = fields.header + row + inner + 1
    return _error(shape, line, values, column, problem)


def _error(
    shape: _Shape, line: int, row: Sequence[str], column: Column | None, problem: tuple[int, str]
) -> RowError:
    shown = [value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for value in row]
    shown = [value.replace("\0", " ") for value in shown]
    place = shape.columns.index(column) if column else 0
    length = column.length if column else None
    return RowError(
        filename=shape.url,
        line=line,
        column=column.name if column else "",
        type=_short(column.type) if column else "",
        length=""
        if length is None
        else f"{length}" + (f",{column.scale}" if column and column.scale else ""),
        position=sum(len(value) + 1 for value in shown[:place]),
        raw_line=shape.delimiter.join(shown)[:_SHOWN],
        raw_value=shown[place][:_SHOWN] if column else "",
        code=problem[0],
        reason=problem[1],
    )


def _short(kind: str) -> str:
    return {
        "character varying": "varchar", "character": "char", "integer": "int4", "bigint": "int8",
        "smallint": "int2", "double precision": "float8", "real": "float4", "boolean": "bool",
        "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
        "time without time zone": "time",
    }.get(kind, kind)  # fmt: skip
