"""Functions over numbers. A result that does not exist is NaN, one that is too big infinite."""

from __future__ import annotations

import math
from collections.abc import Callable

from ess_dask.aq.functions.model import Function, Parameter
from ess_dask.aq.kinds import Type
from ess_dask.aq.tree import Call, Node

Number = int | float


def common_type(values: tuple[Node, ...]) -> Type:
    """Return the type of a result that is an integer if all arguments are."""
    return Type.FLOAT if any(node.type is Type.FLOAT for node in values) else Type.INT


def rounding(value: Number) -> float:
    """Round half away from zero."""
    value = float(value)
    if not math.isfinite(value) or abs(value) >= 2**52:
        return value
    floor = math.floor(abs(value))
    return math.copysign(floor + (abs(value) - floor >= 0.5), value)


def _edge(function: Callable[[float], int]) -> Callable[[Number], float]:
    # C keeps the sign of zero: rounding -0.5 up gives -0.
    return lambda value: (
        math.copysign(function(value), value) if math.isfinite(value) else float(value)
    )


def _total(function: Callable[[float], float]) -> Callable[[Number], float]:
    """Return ``function`` with C's answers outside its domain."""

    def run(value: Number) -> float:
        try:
            return function(value)
        except OverflowError:
            return math.inf
        except ValueError:
            return math.nan

    return run


def cube_root(value: Number) -> float:
    """Return the cube root; that of a whole cube is whole."""
    root = math.cbrt(value)
    if root == 0 or not math.isfinite(root):
        return root
    # The C library is one step off for about every second number: 3.0000000000000004 for 27.
    return root - (root * root * root - value) / (3 * root * root)


def _logarithm(function: Callable[[float], float]) -> Callable[[Number], float]:
    total = _total(function)
    return lambda value: -math.inf if value == 0 else total(value)


def power(base: Number, exponent: Number) -> float:
    """Return ``base`` to the power of ``exponent``."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf
    except ValueError:
        if base == 0:
            odd = float(exponent).is_integer() and exponent % 2 == 1
            return math.copysign(math.inf, base) if odd else math.inf
        return math.nan


def _extreme(pick: Callable[[list[Number]], Number]) -> Callable[[Call], Callable[..., Number]]:
    def make(call: Call) -> Callable[..., Number]:
        if common_type(call.values) is Type.INT:
            return lambda *values: pick(list(values))
        return lambda *values: float(pick([v for v in values if v == v] or [math.nan]))

    return make


def infinity_sign(value: Number) -> int:
    """Return 1, -1 or 0 for infinite, negative infinite or finite (NaN too)."""
    return 0 if not math.isinf(value) else (1 if value > 0 else -1)


def near(first: Number, second: Number, delta: Number) -> int:
    """Whether two numbers are within ``delta`` of each other."""
    return int(abs(first - second) <= delta)


def _function(
    name: str, function: Callable[..., Number], gives: Type = Type.FLOAT, *more: Parameter
) -> Function:
    usage = f"{name}({', '.join(['Val'] * (1 + len(more)))})"
    return Function(name, usage, (Parameter.NUMBER, *more), gives, lambda _: function)


_TWO = (Parameter.NUMBER, Parameter.NUMBER)
FUNCTIONS = (
    _function("Ceil", _edge(math.ceil)),
    _function("Floor", _edge(math.floor)),
    _function("Round", rounding),
    Function("Abs", "Abs(Val)", (Parameter.NUMBER,), common_type, lambda _: abs),
    Function(
        "Min", "Min(Val, Val ..)", _TWO, common_type, _extreme(min), repeated=(Parameter.NUMBER,)
    ),
    Function(
        "Max", "Max(Val, Val ..)", _TWO, common_type, _extreme(max), repeated=(Parameter.NUMBER,)
    ),
    _function("Sqrt", _total(math.sqrt)),
    _function("Cbrt", cube_root),
    _function("Log", _logarithm(math.log)),
    _function("Log10", _logarithm(math.log10)),
    _function("Exp", _total(math.exp)),
    _function("Exp10", lambda value: power(10.0, value)),
    _function("Pow", power, Type.FLOAT, Parameter.NUMBER),
    _function("IsNaN", lambda value: int(value != value), Type.INT),
    _function("IsInf", infinity_sign, Type.INT),
    _function("NumCmp", near, Type.INT, Parameter.NUMBER, Parameter.NUMBER),
)
