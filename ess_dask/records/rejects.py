"""Rejected rows: their Arrow schema, how they are built, written and counted by reason."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.dataclass import dataclass
from ess_dask.records.arrays import (
    binaries,
    distinct,
    empty_table,
    from_numpy,
    repeated,
    slices,
    strings,
    take,
)
from ess_dask.records.chunk import REJECT_FIELDS, Origin

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Indices = NDArray[np.int64]

RAW_LIMIT = 64 << 10
"""Longest ``raw`` kept of a rejected row, in bytes; the rest is cut off."""
TABLE_ROWS = 500_000
"""Rejects in one piece of a table: an Arrow array holds 2 GiB of text."""
BLANK_LINE = "blank line"
"""What is said of a line with nothing in it."""
VALUE_LIMIT = 80
"""Longest value quoted in a reason, in characters."""


def reject_schema() -> pa.Schema:
    """Return the Arrow schema of rejects, fields as in ``REJECT_FIELDS``."""
    import pyarrow as pa

    text = pa.string()
    # One title for all rows of a file: as a dictionary it is held once.
    types = (text, text, pa.int64(), text, text, pa.binary(), pa.dictionary(pa.int32(), text))
    return pa.schema(list(zip(REJECT_FIELDS, types, strict=True)))


@dataclass(frozen=True, slots=True)
class Refused:
    """Records of one text that gave no row: one element of each array for each of them, in order.

    ``places`` are line numbers, or indices of lines; ``columns`` (Arrow strings) are '' where the
    whole record is bad; ``reasons`` are Arrow strings, ``raws`` Arrow's binary, cut to RAW_LIMIT.
    """

    places: NDArray[np.int64]
    columns: pa.Array
    reasons: pa.Array
    raws: pa.Array

    def __len__(self) -> int:
        return len(self.places)

    def slice(self, start: int, stop: int, shift: int = 0) -> Refused:
        """Return some of them, with ``shift`` added to their places."""
        columns, reasons, raws = (
            array.slice(start, stop - start) for array in (self.columns, self.reasons, self.raws)
        )
        return Refused(self.places[start:stop] + shift, columns, reasons, raws)

    def merged(self, other: Refused) -> Refused:
        """Return these and ``other``, in the order of their places."""
        import numpy as np
        import pyarrow as pa

        if not len(other):
            return self
        places = np.concatenate([self.places, other.places])
        order = np.argsort(places, kind="stable")
        which = from_numpy(order)
        columns, reasons, raws = (
            take(pa.concat_arrays(both), which)
            for both in (
                (self.columns, other.columns),
                (self.reasons, other.reasons),
                (self.raws, other.raws),
            )
        )
        return Refused(places[order], columns, reasons, raws)


def raws_of(data: Bytes, starts: Indices, stops: Indices) -> pa.Array:
    """Return records of a text, cut to RAW_LIMIT, as Arrow's binary."""
    import numpy as np

    return slices(data, starts, np.minimum(stops, starts + RAW_LIMIT))


def no_raws(count: int) -> pa.Array:
    """Return as many records without their text."""
    return binaries([b""] * count)


def build_rejects(
    uri: str,
    rows: Iterable[tuple[int, str, str, bytes]] = (),
    *,
    member: str = "",
    title: str = "",
) -> pa.Table:
    """Return rejects of one file from ``(line, column, reason, raw)``; raw is cut to RAW_LIMIT."""
    import numpy as np

    parts = [list(part) for part in zip(*rows, strict=True)]
    lines, columns, reasons, raws = parts or ([], [], [], [])
    texts = binaries([raw[:RAW_LIMIT] for raw in raws])
    refused = Refused(np.array(lines, np.int64), strings(columns), strings(reasons), texts)
    return reject_table(Origin(uri, member, title), refused)


def reject_table(origin: Origin, refused: Refused) -> pa.Table:
    """Return the rejects of one file, their places being line numbers."""
    import numpy as np
    import pyarrow as pa

    if not len(refused):
        return no_rejects()
    rows = len(refused)
    if rows > TABLE_ROWS:
        parts = [refused.slice(i, i + TABLE_ROWS) for i in range(0, rows, TABLE_ROWS)]
        return pa.concat_tables([reject_table(origin, part) for part in parts])
    same = from_numpy(np.zeros(rows, np.int32))
    arrays = [
        repeated(origin.uri, rows),
        repeated(origin.member, rows),
        from_numpy(refused.places),
        refused.columns,
        refused.reasons,
        refused.raws,
        pa.DictionaryArray.from_arrays(same, strings([origin.title])),
    ]
    return pa.Table.from_arrays(arrays, schema=reject_schema())


@cache
def no_rejects() -> pa.Table:
    """Return rejects without rows."""
    return empty_table(reject_schema())


def write_rejects(path: Path, tables: Iterable[pa.Table]) -> int:
    """Write rejects as one Parquet file (zstd, mode 0600), visible only when whole.

    Returns the number of rows.
    """
    import pyarrow.parquet as pq

    descriptor, name = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=path.parent)
    os.close(descriptor)
    rows = 0
    try:
        with pq.ParquetWriter(name, reject_schema(), compression="zstd") as writer:
            for table in tables:
                rows += table.num_rows
                if table.num_rows:
                    writer.write_table(table)
        Path(name).replace(path)
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()
    return rows


_QUOTED = re.compile(r": ['\"].*\Z", re.DOTALL)
_COUNTS = re.compile(r" \(\d+ of \d+\)| at byte \d+")


def reason_class(reason: str, column: str = "") -> str:
    """Return the kind of a reason, for counting: without values, counts and offsets.

    ``("not an int32: 'TBD'", "refID")`` gives ``refID: not an int32``.
    """
    kind = _COUNTS.sub("", _QUOTED.sub("", reason))
    return f"{column}: {kind}" if column else kind


def count_reasons(rejects: pa.Table) -> dict[str, int]:
    """Return how many rows of ``rejects`` there are of each ``reason_class``."""
    import numpy as np

    counts: Counter[str] = Counter()
    # Texts of Python take several times the memory of Arrow's: some rows at a time.
    for start in range(0, rejects.num_rows, TABLE_ROWS):
        some = rejects.slice(start, TABLE_ROWS)
        reasons, which_reason = distinct(some["reason"])
        columns, which_column = distinct(some["column"])
        both = which_reason * len(columns) + which_column
        pairs, numbers = np.unique(both, return_counts=True)
        for pair, count in zip(pairs.tolist(), numbers.tolist(), strict=True):
            reason, column = divmod(pair, len(columns))
            counts[reason_class(reasons[reason], columns[column])] += count
    return dict(counts)


def field_count_reason(found: int, wanted: int) -> str:
    """Return what is said about a record with the wrong number of fields."""
    return f"too {'few' if found < wanted else 'many'} fields ({found} of {wanted})"


def quote_value(text: str) -> str:
    """Return ``text`` as it stands in a reason: quoted, escaped, cut to ``VALUE_LIMIT``."""
    return repr(text if len(text) <= VALUE_LIMIT else text[: VALUE_LIMIT - 1] + "…")
