"""Sum, average, standard deviation, minimum and maximum, gathered value by value or merged.

The standard deviation is that of a sample (divided by n - 1), 0 for a single value.
"""

from __future__ import annotations

import math

from ess_dask.dataclass import dataclass

MEASURES = ("sum", "avg", "stddev", "min", "max")


@dataclass(slots=True)
class Moments:
    """What is kept of the values seen; ``squares`` is the sum of squared distances to the mean."""

    count: int = 0
    total: float = 0.0
    mean: float = 0.0
    squares: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @classmethod
    def of_measures(
        cls, count: int, total: float, mean: float, deviation: float, low: float, high: float
    ) -> Moments:
        """Return the moments that ``count`` values with these measures had."""
        return cls(count, total, mean, deviation * deviation * max(count - 1, 0), low, high)

    def add(self, value: float) -> None:
        """Take one value."""
        self.low = value if not self.count else min(self.low, value)
        self.high = value if not self.count else max(self.high, value)
        self.count += 1
        self.total += value
        distance = value - self.mean
        self.mean += distance / self.count
        self.squares += distance * (value - self.mean)

    def merge(self, other: Moments) -> None:
        """Take the values of ``other``."""
        if not other.count:
            return
        self.low = other.low if not self.count else min(self.low, other.low)
        self.high = other.high if not self.count else max(self.high, other.high)
        count = self.count + other.count
        distance = other.mean - self.mean
        self.squares += other.squares + distance * distance * self.count * other.count / count
        self.mean += distance * other.count / count
        self.count = count
        self.total += other.total

    def measures(self) -> tuple[float, float, float, float, float]:
        """Return sum, average, standard deviation, minimum, maximum."""
        average = self.total / self.count if self.count else 0.0
        spread = math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0
        return self.total, average, spread, self.low, self.high
