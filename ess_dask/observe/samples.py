"""A few rejected rows of each reason, from a run's folder; bounded however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ess_dask.dataclass import dataclass

REASONS = 20
EACH = 3
_FILES = 200
_ROWS = 20_000
RAW_SHOWN = 300
"""Characters of a row's text that are shown."""


@dataclass(frozen=True, slots=True)
class RejectSample:
    """A rejected row: file (and member of an archive), line from 1, column, why, and its text with
    what is no UTF-8 as ``\\xNN``. ``group`` is the class of its reason."""

    group: str
    uri: str
    line: int
    column: str
    reason: str
    raw: str


def reject_samples(folder: Path) -> list[RejectSample]:
    """Return up to ``EACH`` rows of up to ``REASONS`` reasons, in the order of the files.

    What comes late in a run with very many rejects is not looked at.
    """
    from ess_dask.records.rejects import reason_class

    found: dict[str, list[RejectSample]] = {}
    for row in _rows(folder):
        group = reason_class(row["reason"], row["column"])
        known = found.get(group)
        if known is None and len(found) < REASONS:
            known = found.setdefault(group, [])
        if known is not None and len(known) < EACH:
            known.append(_sample(group, row))
    return [sample for group in found.values() for sample in group]


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns, left = ["uri", "member", "line", "column", "reason", "raw"], _ROWS
    for path in sorted((folder / "rejects").glob("*.parquet"))[:_FILES]:
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=2000, columns=columns):
                    yield from batch.to_pylist()
                    left -= batch.num_rows
                    if left <= 0:
                        return
        except (OSError, pa.ArrowInvalid):
            # Cut off by a crash: a run that was killed is looked at, too.
            continue


def _sample(group: str, row: dict[str, Any]) -> RejectSample:
    raw = row["raw"].decode("utf-8", "backslashreplace")
    if len(raw) > RAW_SHOWN:
        raw = raw[: RAW_SHOWN - 1] + "…"
    uri = f"{row['uri']}!{row['member']}" if row["member"] else row["uri"]
    return RejectSample(group, uri, row["line"], row["column"], row["reason"], raw)
