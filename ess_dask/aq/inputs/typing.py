"""Texts of fields to values of columns."""

from __future__ import annotations

from collections.abc import Callable

from ess_dask.aq.addresses import parse_address
from ess_dask.aq.columns import ColumnSpec
from ess_dask.aq.functions.strings import lower, upper
from ess_dask.aq.kinds import Kind, Value

MAX_STRING = 65535
MAX_DIGITS = 20
BLANKS = " \t\n\r\f\v"
Converter = Callable[[str], Value]
"""Returns the value of a field; ``ValueError`` says that the text is no such value."""


def converter(column: ColumnSpec) -> Converter | None:
    """Return what types the fields of a column; None for a skipped one."""
    if column.kind is None:
        return None
    convert = _plain(column)
    if "trm" in column.flags:
        return lambda text: convert(text.strip(BLANKS))
    return convert


def _plain(column: ColumnSpec) -> Converter:
    kind = column.kind
    assert kind
    if kind is Kind.S:
        return _string(column.flags)
    if kind is Kind.F:
        return to_float
    if kind is Kind.IP:
        return _to_address
    low, high = kind.limits
    base = 16 if "hex" in column.flags else 10
    return lambda text: to_integer(text, base, low, high)


def _string(flags: frozenset[str]) -> Converter:
    if "lo" in flags:
        return lambda text: _sized(lower(text))
    return (lambda text: _sized(upper(text))) if "up" in flags else _sized


def _sized(text: str) -> str:
    if len(text) > MAX_STRING:
        raise ValueError(f"a string of {len(text)} bytes, {MAX_STRING} are possible")
    return text


def to_integer(text: str, base: int, low: int, high: int) -> int:
    """Return the integer; blank and a lone dash are 0, leading blanks do not count."""
    if not text or text == "-":
        return 0
    body = text.lstrip(BLANKS)
    if not body:
        return 0
    digits = body[1:] if body[0] in "+-" else body
    # int() would take blanks, underscores and digits of other scripts as well.
    if base == 10 and not (digits.isascii() and digits.isdigit()):
        raise ValueError("not an integer")
    if "_" in digits or digits[-1:] in BLANKS or digits[:1] in "+-" or not digits.isascii():
        raise ValueError("not an integer")
    if base == 10 and len(digits) > MAX_DIGITS:
        body = body[: -len(digits)] + (digits.lstrip("0") or "0")
        if len(body) > MAX_DIGITS + 1:
            raise ValueError("out of the range of its type")
    value = int(body, base)
    if not low <= value <= high:
        raise ValueError("out of the range of its type")
    return value


def to_float(text: str) -> float:
    """Return the number; blank is 0, leading blanks do not count."""
    if not text:
        return 0.0
    if text[-1] in BLANKS:
        if not text.strip(BLANKS):
            return 0.0
        raise ValueError("not a number")
    if "_" in text or not text.isascii():
        raise ValueError("not a number")
    try:
        return float(text)
    except ValueError:
        raise ValueError("not a number") from None


def _to_address(text: str) -> str:
    address = parse_address(text)
    if address is None:
        raise ValueError("not an address")
    return address
