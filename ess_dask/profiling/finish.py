"""From the state of a column to its figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.profiling.column import ColumnState
from ess_dask.profiling.model import (
    QUANTILES,
    ColumnProfile,
    Histogram,
    Lengths,
    TopValue,
)
from ess_dask.profiling.sample import SampledColumn
from ess_dask.profiling.sums import FLOAT_SHIFT
from ess_dask.profiling.values import COUNT_ERROR, DISTINCT_ERROR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BARS = 20
"""Bins of a histogram, at most."""


def column_profile(
    name: str, type_: str, state: ColumnState, sampled: SampledColumn, top: int
) -> ColumnProfile:
    """Return the figures of a column; ``top`` is the greatest number of frequent values."""
    kind, values = state.kind, state.values
    present = state.rows - state.nulls - state.nan
    is_exact = values.sketch is None
    frequent, top_error = _top(state, sampled, top, present)
    spread = _Ordered.of(state) if kind.is_ordered and state.least is not None else None
    mean, std = _moments(state)
    return ColumnProfile(
        name=name,
        type=type_,
        rows=state.rows,
        nulls=state.nulls,
        nan=state.nan,
        blank=state.blank,
        distinct=None if kind.name == "other" else min(values.distinct, present),
        distinct_error=0.0 if is_exact else DISTINCT_ERROR,
        min=kind.shown(state.least),
        max=kind.shown(state.most),
        mean=mean,
        std=std,
        quantiles=spread.quantiles() if spread else (),
        quantile_error=spread.error() if spread else 0.0,
        top=frequent,
        top_error=top_error,
        histogram=spread.histogram() if spread else None,
        lengths=_lengths(state),
    )


def _lengths(state: ColumnState) -> Lengths | None:
    lengths = state.lengths
    if not lengths.count:
        return None
    return Lengths(lengths.least, lengths.total / lengths.count, lengths.most)


def _moments(state: ColumnState) -> tuple[float | None, float | None]:
    """Return mean and standard deviation; with infinities as floats have them."""
    if not state.kind.is_number:
        return None, None
    below, above = state.endless
    if below or above:
        mean = math.nan if below and above else math.inf if above else -math.inf
        return mean, math.nan
    factor = 1 << FLOAT_SHIFT if state.kind.name == "float" else state.kind.factor
    return state.sums.mean(factor), state.sums.deviation(factor)


def _top(
    state: ColumnState, sampled: SampledColumn, limit: int, present: int
) -> tuple[tuple[TopValue, ...], int]:
    """Return the most frequent values, and by how much their counts may be too high."""
    counted, error = state.values.counted, 0
    if counted is not None:
        pairs = list(zip(counted.values.tolist(), counted.counts.tolist(), strict=True))
    elif state.values.sketch is not None:
        error = math.ceil(COUNT_ERROR * present)
        pairs = _candidates(state, sampled, error)
    else:
        pairs = []
    pairs.sort(key=lambda pair: (-pair[1], pair[0]))
    shown = state.kind.shown
    return tuple(TopValue(shown(value), count) for value, count in pairs[:limit]), error


def _candidates(state: ColumnState, sampled: SampledColumn, error: int) -> list[tuple[Any, int]]:
    """Return values of the sample that come more often than the counters may err."""
    import numpy as np

    if sampled.hashes is None or sampled.values is None:
        return []
    hashes, first = np.unique(sampled.hashes, return_index=True)
    counts = state.values.estimates(hashes)
    pairs = zip(sampled.values[first].tolist(), counts.tolist(), strict=True)
    return [(value, count) for value, count in pairs if value is not None and count > error]


@dataclass(frozen=True, slots=True)
class _Ordered:
    """Values in order with their counts: each from ``low`` to ``high``, as ``Kind.numbers``."""

    state: ColumnState
    low: NDArray[Any]
    high: NDArray[Any]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, state: ColumnState) -> _Ordered:
        counted = state.values.counted
        if counted is None:
            assert state.spread is not None
            return cls(state, *state.spread.ranges(), state.spread.counts)
        import numpy as np

        order = np.argsort(counted.values, kind="stable")
        values = counted.values[order]
        return cls(state, values, values, counted.counts[order])

    def quantiles(self) -> tuple[tuple[float, Any], ...]:
        """Return values of the column: the first that is not below the share of all."""
        return tuple(
            (share, self.state.kind.shown(self._middle(place)))
            for share, place in zip(QUANTILES, self._places(), strict=True)
        )

    def error(self) -> float:
        """Return how far a quantile may be from the true one, in the unit of users."""
        if self.state.values.sketch is None:
            return 0.0
        kind = self.state.kind
        ranges = [(self.low[place], self.high[place]) for place in self._places()]
        widths = [float(high - low) if low < high else 0.0 for low, high in ranges]
        if kind.name != "float":
            # Rounded to whole numbers, and long ones to what a double holds.
            most = max(abs(self.state.least), abs(self.state.most))
            widths.append(max(widths) + 0.5 + float(most) * 2**-52)
        unit = 1e6 if kind.name in ("timestamp", "time", "duration") else kind.factor
        return max(widths) / unit

    def histogram(self) -> Histogram | None:
        """Return the counts between at most ``BARS`` + 1 edges that are equally far apart."""
        import numpy as np

        edges = self._edges()
        if edges is None:
            return None
        middles = [self._middle(place) for place in range(len(self.low))]
        counts = [0] * (len(edges) - 1)
        ends = np.array(edges, object)
        places = np.searchsorted(ends, np.array(middles, object), side="right") - 1
        for place, middle, count in zip(places, middles, self.counts.tolist(), strict=True):
            if not isinstance(middle, float) or math.isfinite(middle):
                counts[min(int(place), len(counts) - 1)] += count
        return Histogram(tuple(map(self.state.kind.shown, edges)), tuple(counts))

    def _edges(self) -> list[Any] | None:
        least, most = self.state.least, self.state.most
        if self.state.kind.name != "float":
            width = -(-(most - least + 1) // BARS)
            bars = -(-(most - least + 1) // width)
            return [least + width * number for number in range(bars + 1)]
        if not math.isfinite(least) or not math.isfinite(most):
            import numpy as np

            finite = np.isfinite(self.low) & np.isfinite(self.high)
            if not finite.any():
                return None
            least = max(least, float(self.low[finite][0]))
            most = min(most, float(self.high[finite][-1]))
        if least == most:
            return [least, most]
        steps = (number / BARS for number in range(1, BARS))
        # Each end on its own: their difference may be larger than any float.
        inner = (least * (1 - step) + most * step for step in steps)
        return sorted({least, *inner, most})

    def _places(self) -> list[int]:
        import numpy as np

        ends = np.cumsum(self.counts)
        ranks = [max(1, math.ceil(share * int(ends[-1]))) for share in QUANTILES]
        return [int(place) for place in np.searchsorted(ends, ranks)]

    def _middle(self, place: int) -> Any:
        """Return the middle of a range, within the column's ends."""
        low, high = self.low[place], self.high[place]
        if self.state.kind.name == "float":
            middle = float(low if low == high else low / 2 + high / 2)
            return min(max(middle, self.state.least), self.state.most)
        if self.state.values.sketch is None:
            return int(low)
        return min(max(round((low + high) / 2), self.state.least), self.state.most)
