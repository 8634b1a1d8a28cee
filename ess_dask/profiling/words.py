"""The figures of a profile in words, for text and pages alike."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ess_dask.markup import count, show_bytes
from ess_dask.profiling.values import LIMIT

if TYPE_CHECKING:
    from ess_dask.profiling.model import ColumnProfile, Profile


def value_text(value: Any, *, rough: bool = False) -> str:
    """Return a value as a person reads it; a ``rough`` time without parts of a second."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.4g}" if 1e-4 <= abs(value) < 1e4 else f"{value:.6g}"
    if isinstance(value, dt.datetime):
        value = value.replace(microsecond=0) if rough else value
        return str(value).removesuffix(" 00:00:00")
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, str | Decimal | dt.date) else f"{value}"


def share_text(part: int, whole: int) -> str:
    """Return a share of rows: ``12.5 %``, never ``0 %`` of some or ``100 %`` of not all."""
    if not whole or not part:
        return "0 %"
    percent = 100 * part / whole
    if part < whole:
        percent = min(max(percent, 0.01), 99.99)
    text = f"{percent:.2f}" if percent < 1 or percent > 99 else f"{percent:.1f}"
    return f"{text.rstrip('0').rstrip('.')} %"


def about(column: ColumnProfile, mark: str = "≈") -> str:
    """Return the sign of an estimate where the column's figures beyond the sums are some."""
    return mark if column.distinct_error else ""


def heading(profile: Profile) -> str:
    """Return what was read, in one line."""
    files = profile.files
    of = f" of {files.of:,}" if files.sampled else ""
    return (
        f"{count(profile.rows, 'row', 'rows')} from {count(files.count, 'file', 'files')}{of}"
        f" ({show_bytes(files.bytes)} stored)"
    )


def notes(profile: Profile, mark: str = "≈") -> list[str]:
    """Return what is to be known about the figures: a sample, lost rows, estimates."""
    said = []
    if profile.files.sampled:
        said.append(f"a sample: {profile.files.sampled}")
    if profile.rejected:
        share = share_text(profile.rejected, profile.read)
        said.append(f"{profile.rejected:,} of {profile.read:,} rows read were rejected ({share})")
    if profile.dropped:
        said.append(f"{profile.dropped:,} rows were dropped by cleaning steps")
    estimated = next((each for each in profile.columns if each.distinct_error), None)
    if estimated is not None:
        said.append(
            f"{mark} estimated, beyond {LIMIT:,} distinct values: their number with a standard"
            f" error of {estimated.distinct_error:.1%}, quantiles and histogram within their bins"
        )
    return said
