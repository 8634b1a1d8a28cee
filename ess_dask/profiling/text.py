"""A profile as lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ess_dask.drawing.bars import sparkline
from ess_dask.drawing.shapes import columns, fit, plain
from ess_dask.profiling.words import about, heading, notes, share_text, value_text

if TYPE_CHECKING:
    from ess_dask.profiling.model import ColumnProfile, Profile

_WIDEST = 24
_TITLES = ("column", "type", "nulls", "distinct", "min", "median", "max", "mean", "spread", "top")


def profile_text(profile: Profile, *, ascii_only: bool = False) -> str:
    """Return a profile: what was read, a line for each column, rejects by reason, notes."""
    mark = "~" if ascii_only else "≈"
    where = f" {profile.range}" if profile.range else ""
    lines = [f"{profile.name}{where} in {profile.source}", heading(profile), ""]
    lines += _grid([_TITLES, *(_cells(each, mark, ascii_only) for each in profile.columns)],
                   ascii_only=ascii_only)  # fmt: skip
    if profile.rejects:
        lines += ["", "rejected"]
        lines += [f"{kind.count:>10,}  {kind.reason}" for kind in profile.rejects]
    said = notes(profile, mark)
    lines += ["", *said] if said else []
    return "\n".join(plain(line, ascii_only=ascii_only).rstrip() for line in lines)


def _cells(column: ColumnProfile, mark: str, ascii_only: bool) -> tuple[str, ...]:
    sign = about(column, mark)
    median = next((value for share, value in column.quantiles if share == 0.5), None)
    distinct = "" if column.distinct is None else f"{sign}{column.distinct:,}"
    spread = sparkline(column.histogram.counts, ascii_only=ascii_only) if column.histogram else ""
    top = ""
    if column.top and column.top[0].count > 1:
        first = column.top[0]
        top = f"{value_text(first.value) or '(empty)'} ({sign}{first.count:,})"
    return (
        column.name,
        column.type,
        share_text(column.nulls, column.rows),
        distinct,
        value_text(column.min),
        "" if median is None else f"{sign}{value_text(median, rough=bool(sign))}",
        value_text(column.max),
        value_text(column.mean),
        spread,
        top,
    )


def _grid(rows: list[tuple[str, ...]], *, ascii_only: bool) -> list[str]:
    shown = [[plain(each, ascii_only=ascii_only) for each in row] for row in rows]
    widths = [min(_WIDEST, columns([row[at] for row in shown])) for at in range(len(_TITLES))]
    return [
        "  ".join(
            fit(each, width, ascii_only=ascii_only) for each, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in shown
    ]
