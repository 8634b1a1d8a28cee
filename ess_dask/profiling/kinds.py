"""Kinds of columns: their values as numbers that can be hashed, compared and added, and back."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from ess_dask.dataclass import dataclass
from ess_dask.records.arrays import from_numpy, to_numpy

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

Name = Literal["integer", "float", "decimal", "boolean", "date", "timestamp", "time", "duration",
               "text", "binary", "other"]  # fmt: skip

KEPT = 256
"""Characters or bytes of a long value that are kept among the frequent ones."""

_EPOCH = dt.date(1970, 1, 1).toordinal()
_START = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind, and what its values need on the way back: decimals' scale, timestamps' zone."""

    name: Name
    type: pa.DataType
    scale: int = 0
    zone: str = ""
    wide: bool = False
    """Whether its values need more than 64 bits (long decimals)."""

    @property
    def is_ordered(self) -> bool:
        """Whether quantiles and a histogram say something about its values."""
        return self.name not in ("boolean", "text", "binary", "other")

    @property
    def is_number(self) -> bool:
        """Whether a mean says something about its values."""
        return self.name in ("integer", "float", "decimal")

    @property
    def is_text(self) -> bool:
        """Whether its values have a length."""
        return self.name in ("text", "binary")

    @property
    def factor(self) -> int:
        """What values are multiplied by to be whole numbers (floats in another way)."""
        return int(10**self.scale)

    def numbers(self, column: pa.Array) -> NDArray[Any]:
        """Return values without nulls as int64, uint64 or float64; not for text and wide ones."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.name == "decimal":
            return self.words(column)[0].view(np.int64)
        if self.name == "float":
            values = to_numpy(column.cast(pa.float64()))
            # Negative zeros are zeros.
            there: NDArray[np.float64] = values[~np.isnan(values)] + 0.0
            return there
        if self.name in ("integer", "boolean"):
            big = self.type == pa.uint64()
            return to_numpy(column.cast(pa.uint64() if big else pa.int64()))
        fine = {
            "date": pa.date32(),
            "timestamp": pa.timestamp("us", tz=self.zone or None),
            "time": pa.time64("us"),
            "duration": pa.duration("us"),
        }[self.name]
        plain = pc.cast(column, fine, safe=False)
        if self.name == "date":
            plain = plain.cast(pa.int32())
        return to_numpy(plain.cast(pa.int64()))

    def words(self, column: pa.Array) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Return the low and the high half of decimals without nulls."""
        import numpy as np

        pairs = np.frombuffer(column.buffers()[1], np.uint64)
        pairs = pairs[2 * column.offset : 2 * (column.offset + len(column))]
        return np.ascontiguousarray(pairs[0::2]), np.ascontiguousarray(pairs[1::2])

    def hashes(self, column: pa.Array) -> NDArray[np.uint64]:
        """Return the hash of each value of text, binary or wide columns without nulls."""
        from ess_dask.tables.xxhash import hash_bytes, hash_words

        if self.is_text:
            return hash_bytes(column)
        low, high = self.words(column)
        return hash_words(low, hash_words(high))

    def objects(self, column: pa.Array, places: NDArray[np.int64]) -> NDArray[Any]:
        """Return some values of text (its beginning), binary or wide columns as Python's own."""
        import numpy as np

        taken = column.take(from_numpy(places))
        found: list[Any]
        if self.is_text:
            found = [value[:KEPT] for value in taken.to_pylist()]
        else:
            low, high = self.words(taken)
            pairs = zip(low.tolist(), high.view(np.int64).tolist(), strict=True)
            found = [(top << 64) + bottom for bottom, top in pairs]
        values = np.empty(len(found), object)
        values[:] = found
        return values

    def unscaled(self, value: Decimal) -> int:
        """Return a decimal of this kind as ``objects`` gives it."""
        sign, digits, _ = value.as_tuple()
        number = int("".join(map(str, digits)))
        return -number if sign else number

    def shown(self, value: Any) -> Any:
        """Return a value as users know it, from what ``numbers`` and ``objects`` give.

        One beyond Python's dates is a text.
        """
        if value is None or self.is_text:
            return value
        if self.name == "float":
            return float(value)
        if self.name == "decimal":
            sign, digits = int(value < 0), tuple(map(int, str(abs(int(value)))))
            return Decimal((sign, digits, -self.scale))
        return self._moment(int(value))

    def _moment(self, value: int) -> Any:
        if self.name == "integer":
            return value
        if self.name == "boolean":
            return bool(value)
        try:
            if self.name == "date":
                return dt.date.fromordinal(value + _EPOCH)
            if self.name == "duration":
                return dt.timedelta(microseconds=value)
            moment = _START + dt.timedelta(microseconds=value)
        except (OverflowError, ValueError):
            unit = "days" if self.name == "date" else "microseconds"
            return f"{value} {unit} after 1970"
        if self.name == "time":
            return moment.time()
        return self._zoned(moment)

    def _zoned(self, moment: dt.datetime) -> dt.datetime:
        if not self.zone:
            return moment.replace(tzinfo=None)
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            return moment.astimezone(ZoneInfo(self.zone))
        except (ZoneInfoNotFoundError, ValueError, OverflowError):
            return moment


def kind_of(type_: pa.DataType) -> Kind:
    """Return the kind of a column; a nested one, of which only nulls are counted, is ``other``."""
    import pyarrow as pa

    types = pa.types
    if types.is_decimal128(type_):
        return Kind("decimal", type_, scale=type_.scale, wide=type_.precision > 18)
    if types.is_timestamp(type_):
        return Kind("timestamp", type_, zone=type_.tz or "")
    tests: dict[Name, Any] = {
        "integer": types.is_integer,
        "float": types.is_floating,
        "boolean": types.is_boolean,
        "date": types.is_date,
        "time": types.is_time,
        "duration": types.is_duration,
        "text": lambda each: types.is_string(each) or types.is_large_string(each),
        "binary": lambda each: types.is_binary(each) or types.is_large_binary(each),
    }
    for name, test in tests.items():
        if test(type_):
            return Kind(name, type_)
    return Kind("other", type_)


def plain_type(type_: pa.DataType) -> pa.DataType:
    """Return the type of the values where they stand behind a dictionary or a view."""
    import pyarrow as pa

    if pa.types.is_dictionary(type_):
        return plain_type(type_.value_type)
    return {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}.get(type_, type_)
