"""Values that are none of their type, and numbers in a spelling the parser does not know.

There are few of them among many: a column's odd texts are told apart once, and each is judged once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ess_dask.dataclass import dataclass
from ess_dask.records.arrays import different, from_numpy, null_places, strings, take
from ess_dask.records.cast import cast_each, reason
from ess_dask.records.spec import Column, ReadSpec
from ess_dask.records.types import arrow_type

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from ess_dask.records.lines import Indices


@dataclass(frozen=True, slots=True)
class Failed:
    """Rows in which one column has no value of its type, ascending: ``which`` of the reasons each
    of them has."""

    column: str
    rows: Indices
    reasons: list[str]
    which: Indices


@dataclass(frozen=True, slots=True)
class Failures:
    """Rows that failed, ascending, with the first failing column of each and the reason, both as
    Arrow strings."""

    rows: Indices
    columns: pa.Array
    reasons: pa.Array

    @classmethod
    def of(cls, found: Sequence[Failed]) -> Failures:
        """Put together what was found in the columns, given in their order."""
        import numpy as np

        none = np.zeros(0, np.int64)
        rows, at = np.unique(
            np.concatenate([none, *(failed.rows for failed in found)]), return_index=True
        )
        sizes = [len(failed.reasons) for failed in found]
        before = np.cumsum([0, *sizes])
        which = [failed.which + start for failed, start in zip(found, before, strict=False)]
        columns = [failed.column for failed in found for _ in failed.reasons]
        reasons = [why for failed in found for why in failed.reasons]
        each = from_numpy(np.concatenate([none, *which])[at])
        return cls(rows, take(strings(columns), each), take(strings(reasons), each))

    def __len__(self) -> int:
        return len(self.rows)


def settled(
    array: pa.ChunkedArray,
    column: Column,
    spec: ReadSpec,
    texts_of: Callable[[Indices], Sequence[str | None]],
    failed: list[Failed],
) -> pa.ChunkedArray:
    """Look again at the nulls among the numbers of a column.

    ``texts_of`` gives what stands in some rows. Add what is no number to ``failed``.
    """
    import numpy as np

    rows = null_places(array)
    texts, which = different(texts_of(rows))
    judged = cast_each(texts, column.type, spec.blank)
    bad = [place for place, (_, wrong) in enumerate(judged) if wrong]
    if bad:
        reasons = [reason(texts[place], column.type) for place in bad]
        number = np.full(len(texts), -1)
        number[bad] = np.arange(len(bad))
        here = number[which] >= 0
        failed.append(Failed(column.name, rows[here], reasons, number[which[here]]))
    good = {
        place: value
        for place, (value, wrong) in enumerate(judged)
        if texts[place] and not wrong and value is not None
    }
    return _with(array, rows, which, good, column) if good else array


def _with(
    array: pa.ChunkedArray, rows: Indices, which: Indices, values: dict[int, Any], column: Column
) -> pa.ChunkedArray:
    """Return a column with a value in each row that has one: by the number of its text."""
    import numpy as np
    import polars as pl

    here = np.isin(which, list(values))
    new = [values[place] for place in which[here].tolist()]
    return as_arrow(pl.Series(array).scatter(rows[here], new), column)


def as_arrow(values: pl.Series, column: Column) -> pa.ChunkedArray:
    """Return a column of Polars with its type of Arrow."""
    import pyarrow as pa

    return pa.chunked_array([values.to_arrow()]).cast(arrow_type(column.type))
