"""Digests of rows: additive and free of order, so that rows can be compared wherever they lie.

Each back end says which measures a column has; two digests of one back end can be compared.
"""

from __future__ import annotations

from typing import Any

from ess_dask.dataclass import dataclass

FLOAT_TOLERANCE = 1e-9
"""Part of the sum of magnitudes by which two float sums may differ: they add in another order."""


@dataclass(frozen=True, slots=True)
class ColumnDigest:
    """Digest of one column: each measure's name and value. ``magnitude`` is for floats only."""

    name: str
    measures: tuple[tuple[str, Any], ...]
    magnitude: float = 0.0


@dataclass(frozen=True, slots=True)
class Digest:
    """Digest of a set of rows."""

    rows: int
    columns: tuple[ColumnDigest, ...]


def compare(staged: Digest, loaded: Digest) -> tuple[str, ...]:
    """Return one line per difference, naming the column and both values; empty when equal."""
    lines = []
    if staged.rows != loaded.rows:
        lines.append(f"{staged.rows} rows staged, {loaded.rows} in the table")
    for before, after in zip(staged.columns, loaded.columns, strict=True):
        slack = FLOAT_TOLERANCE * max(before.magnitude, after.magnitude)
        for (name, left), (_, right) in zip(before.measures, after.measures, strict=True):
            if left != right and not _close(name, left, right, slack):
                lines.append(f"column {before.name!r}: {name} {left} staged, {right} in the table")
    return tuple(lines)


def _close(name: str, left: Any, right: Any, slack: float) -> bool:
    return name == "float sum" and None not in (left, right) and abs(left - right) <= slack
