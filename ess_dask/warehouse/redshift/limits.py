"""Values that no Redshift table holds, found by whole columns before a row is staged.

Texts and binaries of more bytes than a VARCHAR or VARBYTE has, texts with a NUL character, dates
and timestamps outside the years 1 to 9999, rows longer than COPY takes, and nulls where the table
takes none.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.engine.model import Unfit
from ess_dask.records.arrays import to_numpy
from ess_dask.records.rejects import VALUE_LIMIT, quote_value
from ess_dask.records.spec import MIB, Column
from ess_dask.warehouse.redshift.nested import as_texts, part_type
from ess_dask.warehouse.redshift.types import MAX_BINARY, MAX_TEXT, NESTED

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

MAX_ROW = 4 * MIB
"""Greatest length of a row that COPY takes, in bytes."""

NO_NULL = "null, and the table's column takes none"

_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_DAY_MICROSECONDS = 86_400_000_000

_NUL = "\\u0000"
_JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_ODD_JSON = (
    ("NaN|Infinity", re.compile("NaN|Infinity"), "holds NaN or an infinity, which no SUPER can"),
    (r"\\u0000", re.compile(r"\\u0000"), "holds a NUL character"),
)
"""What may be odd in nested values: how it is looked for, what is odd outside of texts, why."""

Bad = tuple["NDArray[np.bool_]", str]
"""Which rows of a column are bad, and why."""


@dataclass(frozen=True, slots=True)
class RedshiftCheck:
    """Finds the rows that a table with these columns cannot hold (``engine.model.RowCheck``).

    ``required`` are the columns that take no null.
    """

    columns: tuple[Column, ...]
    required: tuple[str, ...] = ()

    def unfit(self, table: pa.Table) -> Unfit:
        """Return the bad rows. Columns that are missing or of another type are left alone: the
        sink names them."""
        arrays, nested = {}, {c.name for c in self.columns if c.type.name == NESTED}
        for column in self.columns:
            if table.column_names.count(column.name) == 1:
                array = _as_stored(as_texts(table[column.name]), part_type(column.type))
                if array is not None:
                    arrays[column.name] = array
        return find_bad(arrays, self.required, nested)


def find_bad(
    arrays: dict[str, pa.ChunkedArray],
    required: Collection[str] = (),
    nested: Collection[str] = (),
) -> Unfit:
    """Return the rows with a value that Redshift cannot hold, the first such column of each.

    ``arrays`` are columns in the types they are staged in, by name; ``required`` those that take no
    null, ``nested`` those whose texts are JSON.
    """
    import numpy as np

    found: list[tuple[int, str, str]] = []
    seen: NDArray[np.bool_] | None = None
    for name, array in arrays.items():
        bad = _bad_values(array) + (_bad_json(array) if name in nested else [])
        for mask, why in bad + (_nulls(array) if name in required else []):
            new = mask if seen is None else mask & ~seen
            seen = mask if seen is None else mask | seen
            found += [(row, name, f"{why}{_shown(array, row)}") for row in _rows(new)]
    found += [(row, "", why) for row, why in _long_rows(arrays, seen)]
    found.sort()
    rows = np.array([row for row, _, _ in found], np.int64)
    return Unfit(rows, [name for _, name, _ in found], [why for _, _, why in found])


def _as_stored(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray | None:
    import pyarrow as pa

    if column.type == wanted:
        return column
    try:
        return column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _bad_values(array: pa.ChunkedArray) -> list[Bad]:
    import pyarrow.types as kinds

    kind = array.type
    if kinds.is_string(kind):
        return [*_too_long(array, MAX_TEXT), *_with_nul(array)]
    if kinds.is_binary(kind):
        return _too_long(array, MAX_BINARY)
    if kinds.is_date32(kind):
        return _outside(array, "date", _FIRST_DAY, _LAST_DAY)
    if kinds.is_timestamp(kind):
        last = (_LAST_DAY + 1) * _DAY_MICROSECONDS - 1
        return _outside(array, "timestamp", _FIRST_DAY * _DAY_MICROSECONDS, last)
    return []


def _nulls(array: pa.ChunkedArray) -> list[Bad]:
    import pyarrow.compute as pc

    return [(_mask(pc.is_null(array)), NO_NULL)] if array.null_count else []


def _too_long(array: pa.ChunkedArray, limit: int) -> list[Bad]:
    import pyarrow.compute as pc

    lengths = pc.binary_length(array)
    if (pc.max(lengths).as_py() or 0) <= limit:
        return []
    return [(_mask(pc.greater(lengths, limit)), f"longer than {limit:,} bytes")]


def _with_nul(array: pa.ChunkedArray) -> list[Bad]:
    import pyarrow.compute as pc

    if not any(_holds_nul(chunk) for chunk in array.chunks):
        return []
    mask = _mask(pc.match_substring(array, "\0"))
    return [(mask, "holds a NUL character")] if mask.any() else []


def _bad_json(array: pa.ChunkedArray) -> list[Bad]:
    """Find what JSON text can say and ``json_parse`` does not read; few texts are looked at."""
    import numpy as np
    import pyarrow.compute as pc

    found = []
    for told, exact, why in _ODD_JSON:
        some = _rows(_mask(pc.match_substring_regex(array, told)))
        bad = [row for row in some if exact.search(_JSON_TEXT.sub(_kept_nul, array[row].as_py()))]
        if bad:
            mask = np.zeros(len(array), np.bool_)
            mask[bad] = True
            found.append((mask, why))
    return found


def _kept_nul(text: re.Match[str]) -> str:
    """Return nothing of a text inside of JSON but whether it holds a NUL."""
    return _NUL if _NUL in text[0].replace("\\\\", "") else ""


def _holds_nul(chunk: pa.StringArray) -> bool:
    """Whether the chunk's texts may hold a NUL: only then each of them is looked at."""
    import numpy as np

    data = chunk.buffers()[2]
    if data is None or not len(chunk):
        return False
    first, last = np.frombuffer(chunk.buffers()[1], np.int32)[
        [chunk.offset, chunk.offset + len(chunk)]
    ]
    return bool(last > first) and int(np.frombuffer(data, np.uint8)[first:last].min()) == 0


def _outside(array: pa.ChunkedArray, kind: str, first: int, last: int) -> list[Bad]:
    import pyarrow as pa
    import pyarrow.compute as pc

    number = array.cast(pa.int32() if kind == "date" else pa.int64())
    bounds = pc.min_max(number).as_py()
    if bounds["min"] is None or (bounds["min"] >= first and bounds["max"] <= last):
        return []
    bad = pc.or_(pc.less(number, first), pc.greater(number, last))
    return [(_mask(bad), f"out of range for {kind}")]


def _long_rows(
    arrays: dict[str, pa.ChunkedArray], seen: NDArray[np.bool_] | None
) -> list[tuple[int, str]]:
    import numpy as np
    import pyarrow.compute as pc
    import pyarrow.types as kinds

    sized = [a for a in arrays.values() if kinds.is_string(a.type) or kinds.is_binary(a.type)]
    lengths = [pc.fill_null(pc.binary_length(array), 0) for array in sized]
    if sum(pc.max(length).as_py() or 0 for length in lengths) <= MAX_ROW:
        return []
    total = np.sum([to_numpy(length) for length in lengths], axis=0, dtype=np.int64)
    mask: NDArray[np.bool_] = np.asarray(total > MAX_ROW)
    mask = mask if seen is None else mask & ~seen
    return [(row, f"row longer than {MAX_ROW:,} bytes") for row in _rows(mask)]


def _mask(bad: pa.ChunkedArray) -> NDArray[np.bool_]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    mask: NDArray[Any] = to_numpy(pc.fill_null(bad, False).cast(pa.uint8()))
    return mask.astype(np.bool_)


def _rows(mask: NDArray[np.bool_]) -> list[int]:
    import numpy as np

    rows: list[int] = np.flatnonzero(mask).tolist()
    return rows


def _shown(array: pa.ChunkedArray, row: int) -> str:
    """Return a value behind a colon; nothing for a null."""
    return f": {_value(array, row)}" if array[row].is_valid else ""


def _value(array: pa.ChunkedArray, row: int) -> str:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as kinds

    value = array.slice(row, 1)
    if kinds.is_binary(value.type):
        return quote_value(pc.binary_slice(value, 0, VALUE_LIMIT)[0].as_py().hex())
    if not kinds.is_string(value.type):
        # Python has no such date.
        return quote_value(value.cast(pa.string())[0].as_py())
    return quote_value(pc.utf8_slice_codeunits(value, 0, VALUE_LIMIT + 1)[0].as_py())
