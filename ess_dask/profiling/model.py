"""A profile: what is known of the rows of a selection. Frozen, small, the same on any machine."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.markup import count

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Which quantiles a profile has."""


@dataclass(frozen=True, slots=True)
class TopValue:
    """A frequent value, and how often it comes. Text beyond 256 characters is cut off."""

    value: Any
    count: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Rows between edges, in the column's type (one edge more than counts). A bin holds its lower
    edge, the last one both. Infinities are in none."""

    edges: tuple[Any, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of text in characters, of binary in bytes."""

    min: int
    mean: float
    max: int


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column. ``nan`` and nulls are in no other figure; -0.0 counts as 0.0.

    Everything is exact, but beyond 8,192 distinct values: ``distinct`` has the standard error
    ``distinct_error`` (a share), a ``quantile`` is off by ``quantile_error`` at most (seconds for
    timestamps, days for dates; bins of the histogram follow it), a count in ``top`` is too high by
    ``top_error`` at most (in 98 of 100 cases). These are 0 where the figure is exact.
    """

    name: str
    type: str
    rows: int
    nulls: int
    nan: int
    blank: int
    """Texts of white space alone, the empty one included."""
    distinct: int | None
    distinct_error: float
    min: Any
    max: Any
    mean: float | None
    std: float | None
    """Of a sample: divided by the number of values less one."""
    quantiles: tuple[tuple[float, Any], ...]
    quantile_error: float
    top: tuple[TopValue, ...]
    top_error: int
    histogram: Histogram | None
    lengths: Lengths | None


@dataclass(frozen=True, slots=True)
class RejectSample:
    """A rejected row, as in the rejects of a run."""

    uri: str
    line: int
    column: str
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class RejectedKind:
    """Rows that were rejected for one reason: how many, and the first of them."""

    reason: str
    count: int
    samples: tuple[RejectSample, ...]


@dataclass(frozen=True, slots=True)
class ProfiledFiles:
    """The files that were read: number, stored bytes, and how many have each date.

    ``of`` is the number of files in the range; ``sampled`` says which were read, '' for all.
    """

    count: int
    bytes: int
    of: int
    sampled: str
    days: tuple[tuple[date, int], ...]


@dataclass(frozen=True, slots=True, repr=False)
class Profile:
    """What is in the columns of a selection, made by ``Selection.profile``.

    ``rows`` are clean ones: ``read == rows + rejected + dropped``.
    """

    name: str
    source: str
    range: str
    files: ProfiledFiles
    read: int
    rows: int
    rejected: int
    dropped: int
    rejects: tuple[RejectedKind, ...]
    """By reason, the most frequent first."""
    columns: tuple[ColumnProfile, ...]

    def column(self, name: str) -> ColumnProfile:
        """Return one column; raise ``KeyError`` where there is none of this name."""
        return {each.name: each for each in self.columns}[name]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it: dates and exact decimals as text, bytes in hex."""
        from ess_dask.profiling.forms import profile_dict

        return profile_dict(self)

    def to_json(self) -> str:
        """Return ``to_dict`` as JSON text."""
        import json

        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def to_pandas(self) -> pd.DataFrame:
        """Return a frame with a row for each column and the figures that are one value."""
        from ess_dask.profiling.forms import profile_frame

        return profile_frame(self)

    def to_text(self, *, ascii_only: bool = False) -> str:
        """Return the figures as lines for a terminal."""
        from ess_dask.profiling.text import profile_text

        return profile_text(self, ascii_only=ascii_only)

    def to_html(self, path: str | Path) -> Path:
        """Write a page of its own, light or dark as the reader likes it; return its path.

        Raises ``EssError`` when it cannot be written.
        """
        from ess_dask.profiling.html import write_page

        return write_page(self, Path(path))

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        columns = count(len(self.columns), "column", "columns")
        return f"<Profile of {self.name}: {self.rows:,} rows, {columns}>"

    def _repr_html_(self) -> str:
        from ess_dask.profiling.html import profile_html

        return profile_html(self)
