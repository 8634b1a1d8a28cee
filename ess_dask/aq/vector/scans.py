"""Variables over a batch: the shapes of ``-eval var ..`` that a scan computes for all rows at once.

A shape is: the last value, a running sum (or difference), a running minimum or maximum. Sums of
floats are added in the order of the rows, so that every digit is that of the row interpreter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ess_dask.aq.kinds import Kind, Type, Value
from ess_dask.aq.program import Eval
from ess_dask.aq.tree import Binary, Call, Node, Reference, walk
from ess_dask.aq.vector.batch import ROW, Batch, NeedsRows, variable_name
from ess_dask.aq.vector.blocks import column_type
from ess_dask.dataclass import dataclass

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Scan:
    """How a variable goes on: by ``how``, from the values of ``operand``."""

    target: Reference
    how: Literal["last", "add", "subtract", "min", "max"]
    operand: Node


def find_scan(rule: Eval) -> Scan | None:
    """Return the scan that an assignment to a variable is; None if it is none of them."""
    target = rule.target
    assert target
    expression = rule.expression
    if not _mentions(expression, target):
        return Scan(target, "last", expression)
    if not expression.type.is_number or (expression.type is Type.FLOAT) != (target.kind is Kind.F):
        return None
    if isinstance(expression, Binary):
        return _sum(target, expression)
    return _extreme(target, expression) if isinstance(expression, Call) else None


def _mentions(node: Node, target: Reference) -> bool:
    return any(
        isinstance(part, Reference) and part.variable and part.slot == target.slot
        for part in walk(node)
    )


def _is(node: Node, target: Reference) -> bool:
    return isinstance(node, Reference) and node.variable and node.slot == target.slot


def _sum(target: Reference, node: Binary) -> Scan | None:
    if _is(node.left, target) and not _mentions(node.right, target) and node.op in "+-":
        return Scan(target, "add" if node.op == "+" else "subtract", node.right)
    if _is(node.right, target) and not _mentions(node.left, target) and node.op == "+":
        return Scan(target, "add", node.left)
    return None


def _extreme(target: Reference, call: Call) -> Scan | None:
    if call.function not in ("Min", "Max") or len(call.values) != 2:
        return None
    others = [value for value in call.values if not _is(value, target)]
    if len(others) != 1 or _mentions(others[0], target):
        return None
    return Scan(target, "min" if call.function == "Min" else "max", others[0])


def run_scan(scan: Scan, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
    """Return the frame with the variable's value behind each row, and log it in the batch."""
    import polars as pl

    from ess_dask.aq.vector.expressions import Evaluator, stored_as

    target = scan.target
    name = variable_name(target.slot)
    evaluator = Evaluator(frame, batch)
    value = evaluator.value(scan.operand)
    evaluator.check()
    if scan.how == "last":
        value = stored_as(value, scan.operand.type, target.kind)
        frame = evaluator.frame.with_columns(value.cast(column_type(target.kind)).alias(name))
    else:
        floats = target.kind is Kind.F
        operand = evaluator.frame.select(
            value.cast(pl.Float64 if floats else pl.Int64).alias("operand"), pl.col(ROW)
        )["operand"]
        values = _accumulate(scan, operand.to_numpy(), batch.variables[target.slot])
        series = pl.Series(name, values)
        series = (
            evaluator.frame.select(series)
            .select(stored_as(pl.col(name), Type.FLOAT if floats else Type.INT, target.kind))
            .to_series()
        )
        frame = evaluator.frame.with_columns(series)
    if frame.height:
        batch.logs[target.slot] = frame.select(ROW, name)
    return frame


def _accumulate(scan: Scan, operand: Any, start: Value) -> Any:
    import numpy as np

    kind = scan.target.kind
    if kind is Kind.F:
        first: Any = np.array([start], np.float64)
    else:
        assert isinstance(start, int)
        first = np.array([start - (1 << 64) if start >= 1 << 63 else start], np.int64)
    if scan.how in ("add", "subtract"):
        steps = operand if scan.how == "add" else -operand
        return np.add.accumulate(np.concatenate((first, steps)))[1:]
    if kind is Kind.F:
        _refuse_odd(operand, start)
    else:
        low, high = kind.limits
        if kind is Kind.L or ((operand < low) | (operand > high)).any():
            raise NeedsRows
    extreme = np.minimum if scan.how == "min" else np.maximum
    return extreme.accumulate(np.concatenate((first, operand)))[1:]


def _refuse_odd(operand: Any, start: Value) -> None:
    """NaN is passed over and zeros have signs: both are for the row interpreter."""
    import numpy as np

    everything = np.concatenate((operand, [start]))
    if np.isnan(everything).any() or (np.signbit(everything) & (everything == 0)).any():
        raise NeedsRows
