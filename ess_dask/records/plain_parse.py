"""Plain lines to typed columns, by pyarrow's CSV parser.

Text comes out as Arrow strings. Numbers are typed by the parser where a look at the first lines
promises that all of them are numbers, otherwise by ``cast``, from text: the parser gives up a whole
column for one value that is none. What it takes for a number and ``cast`` does not (``0x1f``,
``nan(1)``) never reaches a row: a text in which that is possible goes the second way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ess_dask.records.arrays import to_numpy
from ess_dask.records.cast import cast, reason
from ess_dask.records.parse import Failure
from ess_dask.records.spec import Column, ReadSpec
from ess_dask.records.split import LF
from ess_dask.records.title import Fields
from ess_dask.records.types import FLOATS, INTEGERS, arrow_type, schema_of
from ess_dask.records.usual import usual_times

if TYPE_CHECKING:
    import pyarrow as pa

    from ess_dask.records.lines import Bytes

    Kinds = Mapping[int, pa.DataType]

BLOCK_BYTES = 4 << 20
"""What the parser takes at a time: its buffers are used again and stay near the processor."""

SAMPLE_BYTES = 64 << 10
"""Bytes at the start of a text by which it is judged whether its numbers are clean."""


def parse_lines(text: Bytes, fields: Fields, spec: ReadSpec) -> tuple[pa.Table, list[Failure]]:
    """Return one row for each line that is not empty, and the failures in row order.

    There is such a line, and each has as many fields as ``fields`` (two at least). There is at most
    one failure for a row, that of its first failing column.
    """
    import pyarrow as pa

    kinds = _promising(text, fields, spec)
    try:
        table = _read(text, fields, spec, kinds)
        clean = all(_finite(table.column(f"f{position}")) for position in kinds)
    except pa.ArrowInvalid:
        clean = False
    if not clean:
        kinds = {}
        table = _read(text, fields, spec, kinds)
    failures: dict[int, Failure] = {}
    arrays = []
    for position, column in zip(fields.positions, fields.columns, strict=True):
        array = table.column(f"f{position}")
        if position not in kinds and column.type.name != "string":
            array = _cast(array, column, spec, failures)
        arrays.append(array)
    typed = pa.Table.from_arrays(arrays, schema=schema_of(fields.columns))
    return typed, [failures[row] for row in sorted(failures)]


def _read(text: Bytes, fields: Fields, spec: ReadSpec, kinds: Kinds) -> pa.Table:
    """Return the columns ``f<position>``, as text but for ``kinds``."""
    import pyarrow as pa
    from pyarrow import csv

    names = [f"f{position}" for position in range(fields.width)]
    types = {name: kinds.get(position, pa.string()) for position, name in enumerate(names)}
    wanted = [names[position] for position in fields.positions]
    return csv.read_csv(
        pa.BufferReader(pa.py_buffer(text)),
        csv.ReadOptions(
            use_threads=False,
            column_names=names,
            # No line may be longer than a block.
            block_size=max(BLOCK_BYTES, spec.max_record_bytes + 2),
        ),
        csv.ParseOptions(delimiter=spec.delimiter, quote_char=False, ignore_empty_lines=True),
        csv.ConvertOptions(
            check_utf8=False,
            column_types=types,
            include_columns=wanted,
            null_values=[""],
            strings_can_be_null=spec.blank == "null",
        ),
        # The C library's pool, which keeps what is freed (``ess_dask.allocator``): Arrow's own
        # gives it back after 10 ms, and the kernel clears it again.
        memory_pool=pa.system_memory_pool(),
    )


def _promising(text: Bytes, fields: Fields, spec: ReadSpec) -> Kinds:
    """Return by position the types of number columns that look clean at the start of the text."""
    import numpy as np
    import pyarrow as pa

    if spec.blank != "null":
        return {}
    kinds = {
        position: arrow_type(column.type)
        for position, column in zip(fields.positions, fields.columns, strict=True)
        if column.type.name in (*FLOATS, *INTEGERS)
    }
    if any(pa.types.is_integer(kind) for kind in kinds.values()) and _holds_x(text):
        kinds = {place: kind for place, kind in kinds.items() if pa.types.is_floating(kind)}
    ends = np.flatnonzero(text[:SAMPLE_BYTES] == LF)
    sample = text[: ends[-1] + 1] if len(ends) else text[:0]
    return {
        position: kind
        for position, kind in kinds.items()
        if _takes(sample, Fields(fields.width, fields.columns[:1], (position,)), spec, kind)
    }


def _takes(sample: Bytes, field: Fields, spec: ReadSpec, kind: pa.DataType) -> bool:
    """Whether the parser takes all values of one field for ``kind``."""
    import pyarrow as pa

    try:
        _read(sample, field, spec, {field.positions[0]: kind})
    except pa.ArrowInvalid:
        return False
    return True


def _holds_x(text: Bytes) -> bool:
    # The parser reads hexadecimal integers.
    return bool((text == ord("x")).any() or (text == ord("X")).any())


def _finite(column: pa.ChunkedArray) -> bool:
    """Whether no number is NaN or infinite: those the parser spells in more ways than ``cast``."""
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_floating(column.type):
        return True
    filled = column.drop_null() if column.null_count else column
    return bool(np.isfinite(to_numpy(filled)).all())


def _cast(
    array: pa.ChunkedArray, column: Column, spec: ReadSpec, failures: dict[int, Failure]
) -> pa.ChunkedArray:
    """Cast a column of text; note the first failure of each row."""
    import polars as pl
    import pyarrow as pa

    if (usual := usual_times(array, column.type)) is not None:
        return usual
    text = pl.Series(array)
    casted = cast(text, column.type, spec.blank)
    if casted.failed.any():
        rows = casted.failed.arg_true().to_list()
        for row, value in zip(rows, text.filter(casted.failed).to_list(), strict=True):
            failures.setdefault(row, Failure(row, column.name, reason(value, column.type)))
    return pa.chunked_array([casted.values.to_arrow()]).cast(arrow_type(column.type))
