"""A profile for programs: as JSON has it, and as a pandas frame."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from ess_dask.profiling.model import Profile

_SINGLE = ("name", "type", "rows", "nulls", "nan", "blank", "distinct", "distinct_error", "min",
           "max", "mean", "std")  # fmt: skip


def profile_dict(profile: Profile) -> dict[str, Any]:
    """Return a profile as JSON has it: dates, decimals and what is no number as text, bytes in
    hex; rejected rows as text."""
    values = dataclasses.asdict(profile)
    for kind in values["rejects"]:
        for sample in kind["samples"]:
            sample["raw"] = sample["raw"].decode("utf-8", "backslashreplace")
    plain: dict[str, Any] = _plain(values)
    return plain


def profile_frame(profile: Profile) -> pd.DataFrame:
    """Return a row for each column, with the figures that are one value and the quantiles."""
    import pandas as pd

    rows = []
    for column in profile.columns:
        row = {name: getattr(column, name) for name in _SINGLE}
        row |= {f"{share:.0%}": value for share, value in column.quantiles}
        row["top"] = column.top[0].value if column.top else None
        row["top_count"] = column.top[0].count if column.top else None
        rows.append(row)
    # As objects: a column of a profile holds values of many types.
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else list(_SINGLE), dtype=object)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)
