"""Column types, the types of values in expressions, and how one becomes the other.

In memory a string is a ``str`` of characters 0 to 255, each one byte of the data (so that lengths,
positions and patterns count bytes and any byte survives); a number is an ``int`` or ``float``; an
address is its canonical text.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum

Value = str | int | float
BLANK_ADDRESS = "0.0.0.0"  # noqa: S104 - the zero address stands for "no address"


class Type(Enum):
    """What an expression yields."""

    INT = "integer"
    FLOAT = "float"
    STR = "string"
    IP = "address"

    @property
    def is_number(self) -> bool:
        """Whether arithmetic is possible."""
        return self in (Type.INT, Type.FLOAT)


class Kind(Enum):
    """What a column holds, by the letters of a column specification."""

    S = "S"
    F = "F"
    L = "L"
    LS = "LS"
    I = "I"  # noqa: E741 - the letter of the specification
    IS = "IS"
    IP = "IP"

    @property
    def type(self) -> Type:
        """The type of the column in an expression."""
        return _TYPES[self]

    @property
    def blank(self) -> Value:
        """The value where there is none: a language without nulls."""
        return _BLANKS[self.type]

    @property
    def bits(self) -> int:
        """Width of an integer column."""
        return 64 if self in (Kind.L, Kind.LS) else 32

    @property
    def signed(self) -> bool:
        """Whether an integer column may be negative."""
        return self in (Kind.LS, Kind.IS)

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer of the column."""
        if self.signed:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1


_TYPES = dict.fromkeys(Kind, Type.INT) | {
    Kind.S: Type.STR,
    Kind.F: Type.FLOAT,
    Kind.IP: Type.IP,
}
_BLANKS: dict[Type, Value] = {Type.INT: 0, Type.FLOAT: 0.0, Type.STR: "", Type.IP: BLANK_ADDRESS}

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1


def wrap64(value: int) -> int:
    """Return ``value`` as 64-bit signed arithmetic would leave it."""
    return ((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def truncate(value: float) -> int:
    """Return a float as a 64-bit integer: towards zero, clamped at the ends, NaN as 0."""
    if math.isfinite(value):
        return min(max(int(value), INT64_MIN), INT64_MAX)
    return 0 if math.isnan(value) else (INT64_MAX if value > 0 else INT64_MIN)


def same(value: Value) -> Value:
    """Return the value: the conversion of a column into itself."""
    return value


def storing(source: Type, target: Kind) -> Callable[[Value], Value] | None:
    """Return what a result becomes in a column; None when the types do not fit.

    Integers wrap at the width of the column, floats are cut towards zero, an integer widens.
    """
    if target.type.is_number != source.is_number or (
        not source.is_number and source is not target.type
    ):
        return None
    if not source.is_number:
        return same
    if target is Kind.F:
        return float if source is Type.INT else same
    mask, half = (1 << target.bits) - 1, 1 << (target.bits - 1)
    if target.signed:
        return lambda value: ((whole(value) + half) & mask) - half
    return lambda value: whole(value) & mask


def whole(value: Value) -> int:
    """Return a number without its fraction."""
    if isinstance(value, int):
        return value
    assert isinstance(value, float)
    return truncate(value)


def format_float(value: float) -> str:
    """Return a float as the outputs print it: 17 significant digits at most."""
    return f"{value:.17g}"


def plain_nan(value: float) -> float:
    """Return the value; NaN always as the same one, so that its bytes never differ."""
    return value if value == value else math.nan
