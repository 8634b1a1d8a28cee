"""Typed trees to functions of a row."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from ess_dask.aq.addresses import order_of
from ess_dask.aq.errors import EvalError
from ess_dask.aq.functions.model import Parameter
from ess_dask.aq.functions.strings import lower
from ess_dask.aq.inputs.reading import Row
from ess_dask.aq.kinds import INT64_MAX, INT64_MIN, Kind, Type, Value, whole, wrap64
from ess_dask.aq.rows.state import State
from ess_dask.aq.tree import (
    Binary,
    Builtin,
    Call,
    Compare,
    Constant,
    Logic,
    Negation,
    Node,
    Reference,
)

Evaluate = Callable[[Row], Any]
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def compile_expression(node: Node, state: State) -> Evaluate:
    """Return what evaluates ``node`` on a row."""
    if isinstance(node, Constant):
        value = node.value
        return lambda _: value
    if isinstance(node, Reference):
        return _reference(node, state)
    if isinstance(node, Builtin):
        return lambda _: state.builtin(node)
    if isinstance(node, Binary):
        return _binary(node, state)
    if isinstance(node, Compare):
        return _compare(node, state)
    if isinstance(node, Logic):
        return _logic(node, state)
    if isinstance(node, Negation):
        truth = compile_truth(node.of, state)
        return lambda row: int(not truth(row))
    return _call(node, state)


def compile_truth(node: Node, state: State) -> Callable[[Row], bool]:
    """Return whether a value counts as true: not zero, not blank."""
    value = compile_expression(node, state)
    if node.type is Type.IP:
        return lambda row: order_of(value(row))[1] != 0
    return lambda row: bool(value(row))


def _reference(node: Reference, state: State) -> Evaluate:
    slot = node.slot
    if node.variable:
        variables = state.variables
        if node.kind is Kind.L:
            return lambda _: _signed(variables[slot])
        return lambda _: variables[slot]
    if node.kind is Kind.L:
        return lambda row: _signed(row[slot])
    return operator.itemgetter(slot)


def _signed(value: Value) -> int:
    """Return the 64 bits of an unsigned column as arithmetic reads them."""
    assert isinstance(value, int)
    return value if value <= INT64_MAX else value - (1 << 64)


def setter(target: Reference, state: State) -> Callable[[Row, Value], None]:
    """Return what sets a column or a variable."""
    slot, variables = target.slot, state.variables
    if target.variable:

        def set_variable(_: Row, value: Value) -> None:
            variables[slot] = value

        return set_variable
    return lambda row, value: row.__setitem__(slot, value)


def getter(source: Reference, state: State) -> Evaluate:
    """Return what gives the stored value of a column or a variable."""
    slot, variables = source.slot, state.variables
    if source.variable:
        return lambda _: variables[slot]
    return operator.itemgetter(slot)


def _binary(node: Binary, state: State) -> Evaluate:
    left, right = compile_expression(node.left, state), compile_expression(node.right, state)
    if node.type is Type.STR:
        return lambda row: left(row) + right(row)
    if node.type is Type.FLOAT:
        compute = FLOAT_OPERATORS[node.op]
        return lambda row: compute(float(left(row)), float(right(row)))
    if Type.FLOAT in (node.left.type, node.right.type):
        bits = INT_OPERATORS[node.op]
        return lambda row: bits(whole(left(row)), whole(right(row)))
    compute_int = INT_OPERATORS[node.op]
    return lambda row: compute_int(left(row), right(row))


def divide(left: float, right: float) -> float:
    """Divide as C does: by zero is infinite or NaN."""
    if right:
        return left / right
    if left != left or left == 0 or right != right:
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def remainder(left: float, right: float) -> float:
    """Return C's ``fmod``."""
    if right == 0 or math.isinf(left):
        return math.nan
    return math.fmod(left, right)


def divide_integers(left: int, right: int) -> int:
    """Divide towards zero; by zero is an evaluation error."""
    if not right:
        raise EvalError("integer division by zero")
    quotient = abs(left) // abs(right)
    return wrap64(quotient if (left < 0) == (right < 0) else -quotient)


def integer_remainder(left: int, right: int) -> int:
    """Return what is left of the division towards zero."""
    if not right:
        raise EvalError("integer division by zero")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def _wrapped(compute: Callable[[int, int], int]) -> Callable[[int, int], int]:
    def run(left: int, right: int) -> int:
        value = compute(left, right)
        return value if INT64_MIN <= value <= INT64_MAX else wrap64(value)

    return run


FLOAT_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": divide,
    "%": remainder,
}
INT_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+": _wrapped(operator.add),
    "-": _wrapped(operator.sub),
    "*": _wrapped(operator.mul),
    "/": divide_integers,
    "%": integer_remainder,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}


def _compare(node: Compare, state: State) -> Evaluate:
    left, right = compile_expression(node.left, state), compile_expression(node.right, state)
    if node.op in ("&=", "!&=", "!&"):
        return _mask(node.op, left, right)
    folded = "~" in node.op
    order = _ORDER[node.op.replace("~", "")]
    if folded:
        return lambda row: int(order(lower(left(row)), lower(right(row))))
    if node.left.type is Type.IP:
        return lambda row: int(order(order_of(left(row)), order_of(right(row))))
    if node.left.type is not node.right.type:
        # A float decides: integers beyond 2**53 are compared as C would compare them.
        return lambda row: int(order(float(left(row)), float(right(row))))
    return lambda row: int(order(left(row), right(row)))


def _mask(op: str, left: Evaluate, right: Evaluate) -> Evaluate:
    if op == "!&":
        return lambda row: int(not whole(left(row)) & whole(right(row)))
    wanted = op == "&="

    def run(row: Row) -> int:
        mask = whole(right(row))
        return int(((whole(left(row)) & mask) == mask) == wanted)

    return run


def _logic(node: Logic, state: State) -> Evaluate:
    left, right = compile_truth(node.left, state), compile_truth(node.right, state)
    if node.op == "&&":
        return lambda row: int(left(row) and right(row))
    return lambda row: int(left(row) or right(row))


def _call(node: Call, state: State) -> Evaluate:
    from ess_dask.aq.functions.table import find_function

    function = find_function(node.function)
    assert function
    run = function.make(node)
    if Parameter.COLUMN_VALUE in function.parameters:
        values = [_argument(value, state) for value in node.values]
    else:
        values = [compile_expression(value, state) for value in node.values]
    if function.sets:
        return _setting(node, state, run, values)
    if len(values) == 1:
        only = values[0]
        return lambda row: run(only(row))
    return lambda row: run(*[value(row) for value in values])


def _argument(node: Node, state: State) -> Evaluate:
    """Return what gives a column as it is stored, or the value of an expression."""
    return getter(node, state) if isinstance(node, Reference) else compile_expression(node, state)


def _setting(node: Call, state: State, run: Callable[..., Any], values: list[Evaluate]) -> Evaluate:
    setters = [setter(target, state) for target in node.targets]

    def evaluate(row: Row) -> Any:
        result, changes = run(*[value(row) for value in values])
        for change, put in zip(changes, setters, strict=True):
            if change is not None:
                put(row, change)
        return result

    return evaluate
