"""``seg=N1[-N2]/N[:V]``: a sample of the keys by their hash, the same for imports and exports."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ess_dask.aq.errors import OptionError
from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

_SPEC = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?/(\d{1,18})(?::(\d{1,18}))?")


@dataclass(frozen=True, slots=True)
class Sample:
    """Segments ``first`` to ``last`` (from 1) of ``count``; ``vary`` gives another choice."""

    first: int
    last: int
    count: int
    vary: int = 0

    def chosen(self, keys: pa.Table) -> npt.NDArray[np.bool_]:
        """Return which rows are in the sample; the columns of ``keys`` are those of the key."""
        import numpy as np

        from ess_dask.tables.partition import hash_keys
        from ess_dask.tables.xxhash import hash_words

        # Hashed once more: the partition of a row says nothing about its segment.
        hashed = hash_words(hash_keys(keys, tuple(keys.column_names)), seed=self.vary + 1)
        segment = hashed % np.uint64(self.count)
        found: npt.NDArray[np.bool_] = (segment >= self.first - 1) & (segment <= self.last - 1)
        return found


def parse_sample(text: str, option: str) -> Sample | None:
    """Return the sample that an attribute's value means, None for ''."""
    if not text:
        return None
    match = _SPEC.fullmatch(text)
    if match:
        first, last, count, vary = (int(part) if part else None for part in match.groups())
        assert first is not None and count is not None
        last = first if last is None else last
        if 1 <= first <= last <= count:
            return Sample(first, last, count, vary or 0)
    raise OptionError(f"bad sample seg={text!r} in {option!r}", hint="write seg=N1[-N2]/N[:V]")
