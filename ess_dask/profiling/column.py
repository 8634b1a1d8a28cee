"""The figures of one column while its rows go by. Two of the same column add up exactly."""

from __future__ import annotations

from dataclasses import field
from functools import reduce
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.profiling.kinds import Kind
from ess_dask.profiling.spread import Spread, spread_of
from ess_dask.profiling.sums import Sums, float_sums, integer_sums, limbs
from ess_dask.profiling.values import LIMIT, Counted, Values, many

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(slots=True)
class Lengths:
    """Of text in characters, of binary in bytes."""

    least: int = 0
    most: int = 0
    total: int = 0
    count: int = 0

    def add(self, other: Lengths) -> None:
        """Add those of other values."""
        if not self.count:
            self.least = other.least
        elif other.count:
            self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)
        self.total += other.total
        self.count += other.count


@dataclass(slots=True)
class ColumnState:
    """All that is known of a column's rows. Memory is bounded, however many there were.

    ``least`` and ``most`` are as ``Kind.numbers`` and ``Kind.objects`` give them. ``endless`` are
    the negative and positive infinities, which are in no sum.
    """

    kind: Kind
    rows: int = 0
    nulls: int = 0
    nan: int = 0
    blank: int = 0
    endless: tuple[int, int] = (0, 0)
    least: Any = None
    most: Any = None
    sums: Sums = field(default_factory=Sums)
    lengths: Lengths = field(default_factory=Lengths)
    values: Values = field(default_factory=Values)
    spread: Spread | None = None
    """Only where the values are a sketch."""

    def add(self, column: pa.Array) -> None:
        """Add rows."""
        self.rows += len(column)
        self.nulls += column.null_count
        present = column.drop_null() if column.null_count else column
        if self.kind.name == "other" or not len(present):
            return
        if self.kind.is_text:
            self._add_text(present)
        elif self.kind.wide:
            self._add_wide(present)
        else:
            self._add_numbers(present)

    def merge(self, other: ColumnState) -> None:
        """Add the rows of another state of the same column."""
        self.rows += other.rows
        self.nulls += other.nulls
        self.nan += other.nan
        self.blank += other.blank
        self.endless = (self.endless[0] + other.endless[0], self.endless[1] + other.endless[1])
        if other.least is not None:
            self._reach(other.least, other.most)
        self.sums.add(other.sums)
        self.lengths.add(other.lengths)
        known = self.values.counted
        self.values.merge(other.values)
        self._widen(known, other.spread, other.values.counted)

    def _add_numbers(self, present: pa.Array) -> None:
        import numpy as np

        from ess_dask.tables.xxhash import hash_words

        values = self.kind.numbers(present)
        self.nan += len(present) - len(values)
        if not len(values):
            return
        self._reach(values.min().item(), values.max().item())
        self._sum_numbers(values)
        known = self.values.counted
        counted = None
        if self.values.sketch is None and not many(values.view(np.uint64)):
            unique, counts = np.unique(values, return_counts=True)
            hashes = hash_words(unique.view(np.uint64))
            order = np.argsort(hashes)
            counted = Counted(hashes[order], counts[order].astype(np.int64), unique[order])
            self.values.add_counted(counted)
        else:
            self.values.add_hashes(hash_words(values.view(np.uint64)))
        if self.kind.is_ordered and self.values.sketch is not None:
            spread = spread_of(values.astype(float)) if counted is None else None
            self._widen(known, spread, counted)

    def _sum_numbers(self, values: NDArray[Any]) -> None:
        import numpy as np

        if self.kind.name == "float":
            finite = np.isfinite(values)
            if not finite.all():
                below, above = int((values == -np.inf).sum()), int((values == np.inf).sum())
                self.endless = (self.endless[0] + below, self.endless[1] + above)
                values = values[finite]
            self.sums.add(float_sums(values))
        elif self.kind.is_number:
            negative = values < 0
            with np.errstate(over="ignore"):
                magnitudes = np.where(negative, -values, values).view(np.uint64)
            self.sums.add(integer_sums(limbs([magnitudes]), negative))

    def _add_wide(self, present: pa.Array) -> None:
        import numpy as np
        import pyarrow.compute as pc

        ends = pc.min_max(present)
        least, most = (ends[name].as_py() for name in ("min", "max"))
        self._reach(self.kind.unscaled(least), self.kind.unscaled(most))
        low, high = self.kind.words(present)
        negative = high >> np.uint64(63) != 0
        turned = ~low + np.uint64(1), ~high + (low == 0).astype(np.uint64)
        magnitudes = [np.where(negative, *both) for both in zip(turned, (low, high), strict=True)]
        self.sums.add(integer_sums(limbs(magnitudes), negative))
        known = self.values.counted
        counted = self._add_hashed(present)
        if self.values.sketch is not None:
            doubles = high.view(np.int64).astype(np.float64) * 2.0**64 + low.astype(np.float64)
            self._widen(known, spread_of(doubles) if counted is None else None, counted)

    def _add_text(self, present: pa.Array) -> None:
        import pyarrow.compute as pc

        from ess_dask.records.arrays import to_numpy

        ends = pc.min_max(present)
        self._reach(ends["min"].as_py(), ends["max"].as_py())
        is_text = self.kind.name == "text"
        sizes = to_numpy((pc.utf8_length if is_text else pc.binary_length)(present))
        total = int(sizes.sum(dtype="int64"))
        self.lengths.add(Lengths(int(sizes.min()), int(sizes.max()), total, len(sizes)))
        if is_text:
            self.blank += int((sizes == 0).sum()) + (pc.sum(pc.utf8_is_space(present)).as_py() or 0)
        self._add_hashed(present)

    def _add_hashed(self, present: pa.Array) -> Counted | None:
        """Add values by their hashes; return them counted, None if they are too many."""
        import polars as pl

        hashes = self.kind.hashes(present)
        if self.values.sketch is not None or many(hashes):
            self.values.add_hashes(hashes)
            return None
        rows = pl.DataFrame({"hash": hashes}).with_row_index("row")
        groups = rows.group_by("hash").agg(pl.len(), pl.col("row").min()).sort("hash")
        places = groups["row"].cast(pl.Int64).to_numpy()
        counts = groups["len"].cast(pl.Int64).to_numpy()
        if len(places) > LIMIT:
            self.values.add_hashes(hashes)
            return None
        counted = Counted(groups["hash"].to_numpy(), counts, self.kind.objects(present, places))
        self.values.add_counted(counted)
        return counted

    def _reach(self, least: Any, most: Any) -> None:
        self.least = least if self.least is None else min(self.least, least)
        self.most = most if self.most is None else max(self.most, most)

    def _widen(self, known: Counted | None, spread: Spread | None, counted: Counted | None) -> None:
        """Keep the spread of a column whose values became a sketch: of the values known before,
        and of further ones, either as a spread or counted."""
        if self.values.sketch is None or not self.kind.is_ordered:
            return
        parts = [self.spread, spread]
        parts += [
            spread_of(each.values.astype(float), each.counts)
            for each in (known, None if spread else counted)
            if each is not None
        ]
        self.spread = reduce(Spread.merged, filter(None, parts))
