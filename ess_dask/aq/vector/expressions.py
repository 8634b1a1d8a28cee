"""Typed trees to Polars expressions over a frame, with the values the row interpreter gives.

A function without an expression of its own runs on the values of its arguments first, and its
results become a column. Whatever would fail for a row asks for the row interpreter instead.
"""

from __future__ import annotations

import time
from functools import reduce
from typing import TYPE_CHECKING, Any

from ess_dask.aq.errors import EvalError
from ess_dask.aq.functions.model import Function, Parameter
from ess_dask.aq.kinds import INT64_MIN, Kind, Type, storing
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
from ess_dask.aq.vector import texts
from ess_dask.aq.vector.batch import (
    ROW,
    Batch,
    NeedsRows,
    result_type,
    slot_column,
    values_of,
    variable_column,
)
from ess_dask.aq.vector.native import NATIVE, truncated

if TYPE_CHECKING:
    import polars as pl


class Evaluator:
    """Evaluates trees over one frame; ``frame`` gains the columns that functions make."""

    def __init__(self, frame: pl.DataFrame, batch: Batch) -> None:
        self.frame = frame
        self._batch = batch
        self._guards: list[pl.Expr] = []
        self._made = 0

    def value(self, node: Node) -> pl.Expr:
        """Return the values of ``node``; strings, Int64 or Float64."""
        if isinstance(node, Constant):
            return _constant(node)
        if isinstance(node, Reference):
            return _as_operand(self.stored(node), node.kind)
        if isinstance(node, Builtin):
            return self._builtin(node)
        if isinstance(node, Binary):
            return self._binary(node)
        if isinstance(node, Call):
            return self._call(node)
        import polars as pl

        return self.truth(node).cast(pl.Int64)

    def truth(self, node: Node) -> pl.Expr:
        """Return whether ``node`` holds: not zero, not blank."""
        if isinstance(node, Compare):
            return self._compare(node)
        if isinstance(node, Logic):
            left, right = self.truth(node.left), self.truth(node.right)
            return left & right if node.op == "&&" else left | right
        if isinstance(node, Negation):
            return ~self.truth(node.of)
        value = self.value(node)
        if node.type is Type.IP:
            return ~value.is_in(["0.0.0.0", "::"])  # noqa: S104 - the zero addresses
        return value != ("" if node.type is Type.STR else 0)

    def stored(self, source: Reference) -> pl.Expr:
        """Return a column or variable as it is stored."""
        if not source.variable:
            return slot_column(self.frame, source.slot, source.kind)
        self.frame, column = variable_column(self.frame, source, self._batch)
        return column

    def check(self) -> None:
        """Raise ``NeedsRows`` if any guard holds for any row."""
        if not self._guards:
            return
        guards, self._guards = self._guards, []
        import polars as pl

        if self.frame.select(pl.any_horizontal(guards).any()).item():
            raise NeedsRows

    def _builtin(self, node: Builtin) -> pl.Expr:
        import polars as pl

        if node.name == "rownum":
            return pl.col(ROW)
        if node.name == "cursec":
            return pl.lit(int(time.time()), dtype=pl.Int64)
        if node.name == "curusec":
            return pl.lit(time.time_ns() // 1000, dtype=pl.Int64)
        raise NeedsRows

    def _binary(self, node: Binary) -> pl.Expr:
        left, right = self.value(node.left), self.value(node.right)
        if node.type is Type.STR:
            return left + right
        if node.type is Type.FLOAT:
            return self._float(node.op, left, right)
        if node.left.type is Type.FLOAT:
            left = truncated(left)
        if node.right.type is Type.FLOAT:
            right = truncated(right)
        return self._integer(node.op, left, right)

    def _float(self, op: str, left: pl.Expr, right: pl.Expr) -> pl.Expr:
        import polars as pl

        left, right = left.cast(pl.Float64), right.cast(pl.Float64)
        if op == "%":
            raise NeedsRows
        if op == "/":
            return left / self._divisor(right)
        operators = {"+": left.__add__, "-": left.__sub__, "*": left.__mul__}
        return operators[op](right)

    def _divisor(self, value: pl.Expr) -> pl.Expr:
        """Return a column with a value for each row; by one for all, Polars multiplies with 1/x."""
        import polars as pl

        numbers = self._series(value).to_numpy()
        if len(numbers) == 1:
            numbers = numbers.repeat(self.frame.height)
        return self._column(pl.Series(numbers, dtype=pl.Float64))

    def _integer(self, op: str, left: pl.Expr, right: pl.Expr) -> pl.Expr:
        import polars as pl

        if op in "/%":
            self._guards.append((right == 0) | ((right == -1) & (left == INT64_MIN)))
            floor = left // right
            rest = left - floor * right
            # Towards zero, where Polars rounds down.
            up = (rest != 0) & ((left < 0) != (right < 0))
            quotient = floor + up.cast(pl.Int64)
            return quotient if op == "/" else left - quotient * right
        operators = {
            "+": left.__add__,
            "-": left.__sub__,
            "*": left.__mul__,
            "&": left.__and__,
            "|": left.__or__,
            "^": left.__xor__,
        }
        return operators[op](right)

    def _compare(self, node: Compare) -> pl.Expr:
        left, right = self.value(node.left), self.value(node.right)
        if node.op in ("&=", "!&=", "!&"):
            return self._masked(node, left, right)
        op = node.op.replace("~", "")
        if "~" in node.op:
            left, right = self._lower(left), self._lower(right)
        elif node.left.type is Type.IP and op not in ("==", "!="):
            raise NeedsRows
        elif node.left.type.is_number:
            return _compare_numbers(op, node, left, right)
        return _ordered(op, left, right)

    @staticmethod
    def _masked(node: Compare, left: pl.Expr, right: pl.Expr) -> pl.Expr:
        left = truncated(left) if node.left.type is Type.FLOAT else left
        right = truncated(right) if node.right.type is Type.FLOAT else right
        if node.op == "!&":
            return (left & right) == 0
        held = (left & right) == right
        return held if node.op == "&=" else ~held

    def _lower(self, text: pl.Expr) -> pl.Expr:
        return self._column(texts.lower(self._series(text)))

    def _series(self, value: pl.Expr) -> pl.Series:
        """Work out an expression; its own columns are in the frame by now."""
        self.check()
        return self.frame.select(value.alias("value")).to_series()

    def _column(self, values: pl.Series) -> pl.Expr:
        """Add a column to the frame; one value stands for all rows."""
        import polars as pl

        self._made += 1
        name = f"t{self._made}"
        if len(values) == 1 and self.frame.height != 1:
            return pl.lit(values.item(), dtype=values.dtype)
        self.frame = self.frame.with_columns(values.alias(name))
        return pl.col(name)

    def _call(self, call: Call) -> pl.Expr:
        from ess_dask.aq.functions.table import find_function

        function = find_function(call.function)
        assert function
        if function.sets:
            raise NeedsRows
        native = NATIVE.get(function.name)
        if native:
            expression = native(call, [self.value(node) for node in call.values])
            if expression is not None:
                return expression
        if function.name in ("ToUpper", "ToLower"):
            text = self._series(self.value(call.values[0]))
            return self._column(
                texts.upper(text) if function.name == "ToUpper" else texts.lower(text)
            )
        import polars as pl

        results = self.results(call, function)
        dtype = result_type(call.type)
        return self._column(
            pl.Series(results, dtype=dtype) if results else pl.Series([], dtype=dtype)
        )

    def results(self, call: Call, function: Function) -> list[Any]:
        """Return what a function gives for every row of the frame."""
        import polars as pl

        raw = Parameter.COLUMN_VALUE in function.parameters
        expressions = [
            self.stored(node) if raw and isinstance(node, Reference) else self.value(node)
            for node in call.values
        ]
        self.check()
        columns = self.frame.select(
            # A constant becomes as long as the frame.
            *(value.alias(f"a{at}") for at, value in enumerate(expressions)),
            pl.int_range(pl.len()).alias("length"),
        ).drop("length")
        run = function.make(call)
        try:
            if columns.width == 1:
                return values_of(columns.to_series(), run)
            return [run(*values) for values in columns.iter_rows()]
        except EvalError:
            raise NeedsRows from None


def _constant(node: Constant) -> pl.Expr:
    import polars as pl

    return pl.lit(node.value, dtype=result_type(node.type))


def _as_operand(column: pl.Expr, kind: Kind) -> pl.Expr:
    import polars as pl

    if kind in (Kind.I, Kind.IS):
        return column.cast(pl.Int64)
    return column.reinterpret(signed=True) if kind is Kind.L else column


def stored_as(value: pl.Expr, source: Type, target: Kind) -> pl.Expr:
    """Return values as a column of ``target`` keeps them."""
    import polars as pl

    assert storing(source, target)
    if not source.is_number:
        return value
    if target is Kind.F:
        return value.cast(pl.Float64)
    if source is Type.FLOAT:
        value = truncated(value)
    if target is Kind.LS:
        return value
    if target is Kind.L:
        return value.reinterpret(signed=False)
    if target is Kind.I:
        return (value & 0xFFFFFFFF).cast(pl.UInt32)
    half = 1 << 31
    return (((value + half) & 0xFFFFFFFF) - half).cast(pl.Int32)


def _compare_numbers(op: str, node: Compare, left: pl.Expr, right: pl.Expr) -> pl.Expr:
    import polars as pl

    if node.left.type is not node.right.type:
        left, right = left.cast(pl.Float64), right.cast(pl.Float64)
    result = _ordered(op, left, right)
    floats = [
        value
        for value, side in ((left, node.left), (right, node.right))
        if side.type is Type.FLOAT and not isinstance(side, Constant)
    ]
    if not floats:
        return result
    # Polars orders NaN; C does not.
    missing = reduce(lambda first, second: first | second, (value.is_nan() for value in floats))
    return result | missing if op == "!=" else result & ~missing


def _ordered(op: str, left: pl.Expr, right: pl.Expr) -> pl.Expr:
    operators = {
        "==": left.__eq__,
        "!=": left.__ne__,
        ">": left.__gt__,
        "<": left.__lt__,
        ">=": left.__ge__,
        "<=": left.__le__,
    }
    result: pl.Expr = operators[op](right)
    return result
