"""Rejected rows: their Arrow schema, how they are built, written and counted by reason."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ess_dask.records.chunk import REJECT_FIELDS

if TYPE_CHECKING:
    import pyarrow as pa

RAW_LIMIT = 64 << 10
"""Longest ``raw`` kept of a rejected row, in bytes; the rest is cut off."""
VALUE_LIMIT = 80
"""Longest value quoted in a reason, in characters."""


def reject_schema() -> pa.Schema:
    """Return the Arrow schema of rejects, fields as in ``REJECT_FIELDS``."""
    import pyarrow as pa

    text = pa.string()
    # One title for all rows of a file: as a dictionary it is held once.
    types = (text, text, pa.int64(), text, text, pa.binary(), pa.dictionary(pa.int32(), text))
    return pa.schema(list(zip(REJECT_FIELDS, types, strict=True)))


def build_rejects(
    uri: str,
    rows: Iterable[tuple[int, str, str, bytes]] = (),
    *,
    member: str = "",
    title: str = "",
) -> pa.Table:
    """Return rejects of one file from ``(line, column, reason, raw)``; raw is cut to RAW_LIMIT."""
    import pyarrow as pa

    rows = list(rows)
    lines, columns, reasons, raws = (
        (list(part) for part in zip(*rows, strict=True)) if rows else ([],) * 4
    )
    cut = [raw[:RAW_LIMIT] for raw in raws]
    schema = reject_schema()
    names = ([uri] * len(rows), [member] * len(rows))
    values = (*names, lines, columns, reasons, cut)
    arrays = [pa.array(part, field.type) for part, field in zip(values, schema, strict=False)]
    same = pa.array([0] * len(rows), pa.int32())
    arrays.append(pa.DictionaryArray.from_arrays(same, pa.array([title], pa.string())))
    return pa.Table.from_arrays(arrays, schema=schema)


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
    counts: dict[str, int] = {}
    groups = rejects.group_by(["column", "reason"]).aggregate([([], "count_all")])
    for group in groups.to_pylist():
        kind = reason_class(group["reason"], group["column"])
        counts[kind] = counts.get(kind, 0) + group["count_all"]
    return counts


def quote_value(text: str) -> str:
    """Return ``text`` as it stands in a reason: quoted, escaped, cut to ``VALUE_LIMIT``."""
    return repr(text if len(text) <= VALUE_LIMIT else text[: VALUE_LIMIT - 1] + "…")
