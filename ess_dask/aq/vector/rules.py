"""Rules over a frame: one frame in, one out; what branches part comes together in order again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ess_dask.aq.functions.keys import encode_key
from ess_dask.aq.functions.strings import lower
from ess_dask.aq.functions.table import find_function
from ess_dask.aq.kinds import Kind, Type, storing
from ess_dask.aq.lookups import JoinTable, ValueTable
from ess_dask.aq.program import (
    Always,
    Combine,
    Conditional,
    Emit,
    Eval,
    Extract,
    Filter,
    Grep,
    Import,
    KeyEncode,
    Program,
    Render,
    Rewrite,
    Rule,
    Stop,
    Substitute,
    Unwrap,
)
from ess_dask.aq.rows.mapping import extraction, rendering, rewriting
from ess_dask.aq.rows.steps import keeps_unmatched, unwrapped
from ess_dask.aq.tree import Call, Reference
from ess_dask.aq.vector.batch import Batch, blank, values_of
from ess_dask.aq.vector.blocks import column_type
from ess_dask.aq.vector.expressions import Evaluator, stored_as
from ess_dask.aq.vector.scans import find_scan, run_scan
from ess_dask.aq.vector.writing import column_name

if TYPE_CHECKING:
    import polars as pl

ORDER = "order"
"""Name of the column that keeps the order of rows while branches part them."""
HELD = "held"
"""Name of the column that says whether a rule held for the row."""

Tables = Callable[[Substitute | Grep | Combine], Any]
"""Returns the lookup table of a rule, loaded at the first call."""


class Rules:
    """Applies the rules of a program to the frame of a batch."""

    def __init__(self, program: Program, tables: Tables) -> None:
        self._program = program
        self._tables = tables

    def run(self, rules: tuple[Rule, ...], frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        """Return what is left of the rows behind ``rules``."""
        for rule in rules:
            if not frame.height:
                break
            if isinstance(rule, Conditional):
                frame = self._conditional(rule, frame, batch)
            else:
                frame = self._rule(rule, frame, batch)
        return frame

    def _rule(self, rule: Rule, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        if isinstance(rule, Always):
            return frame if rule.holds else frame.clear()
        if isinstance(rule, Stop):
            return frame.clear()
        if isinstance(rule, Emit | Import):
            return self._leave(rule, frame, batch)
        if isinstance(rule, Eval):
            return _clean(self._eval(rule, frame, batch))
        if isinstance(rule, Filter):
            evaluator = Evaluator(frame, batch)
            truth = evaluator.truth(rule.condition)
            evaluator.check()
            return _clean(evaluator.frame.filter(truth))
        if isinstance(rule, Unwrap):
            return self._unwrap(rule, frame, batch)
        if isinstance(rule, Substitute | Combine) and rule.every:
            return self._multiplied(rule, frame, batch)
        frame = self._checked(rule, frame, batch)
        kept = frame if keeps_unmatched(rule) else frame.filter(HELD)
        return kept.drop(HELD)

    def _checked(self, rule: Rule, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        """Apply a rule and add whether it held, as its answer to an ``-if``."""
        import polars as pl

        if isinstance(rule, Always):
            return frame.with_columns(pl.lit(rule.holds).alias(HELD))
        if isinstance(rule, Filter):
            evaluator = Evaluator(frame, batch)
            truth = evaluator.truth(rule.condition)
            evaluator.check()
            return _clean(evaluator.frame.with_columns(truth.alias(HELD)))
        if isinstance(rule, Eval):
            return _clean(self._eval(rule, frame, batch)).with_columns(pl.lit(True).alias(HELD))
        run = _CHECKED[type(rule)]
        checked: pl.DataFrame = run(self, rule, frame, batch)
        return checked

    def _leave(self, rule: Emit | Import, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        """Keep what a rule writes of the rows as they are now."""
        import polars as pl

        evaluator = Evaluator(frame, batch)
        if isinstance(rule, Emit):
            sources = [column.source for column in self._program.outputs[rule.output].columns]
        else:
            sources = [source for _, source in rule.request.columns]
        columns = [
            evaluator.stored(source).alias(column_name(at)) for at, source in enumerate(sources)
        ]
        # One more, so that constants become as long as the frame.
        left = evaluator.frame.select(*columns, pl.int_range(pl.len()).alias("all")).drop("all")
        if isinstance(rule, Emit):
            batch.emitted.append((rule.output, left))
        else:
            batch.imported.append((rule, left))
        batch.written += left.height
        return evaluator.frame

    def _conditional(self, rule: Conditional, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        import polars as pl

        frame = frame.with_row_index(ORDER) if ORDER not in frame.columns else frame
        outer = frame[ORDER]
        frame = frame.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias(ORDER))
        parts = []
        rest = frame
        for branch in rule.branches:
            if not rest.height:
                break
            checked = self._checked(branch.check, rest, batch)
            held = ~pl.col(HELD) if branch.negated else pl.col(HELD)
            parts.append(self.run(branch.rules, checked.filter(held).drop(HELD), batch))
            rest = checked.filter(~held).drop(HELD)
        parts.append(self.run(rule.otherwise, rest, batch))
        merged = _merge(parts, batch)
        return merged.with_columns(outer.gather(merged[ORDER]).alias(ORDER))

    def _eval(self, rule: Eval, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        if rule.target and rule.target.variable:
            scan = find_scan(rule)
            assert scan
            return run_scan(scan, frame, batch)
        evaluator = Evaluator(frame, batch)
        if isinstance(rule.expression, Call) and _sets(rule.expression):
            return _setting(rule, rule.expression, evaluator)
        value = evaluator.value(rule.expression)
        evaluator.check()
        if rule.target is None:
            # Nothing keeps the value, but evaluating it may still be an error.
            evaluator.frame.select(value.alias("value"))
            return evaluator.frame
        stored = stored_as(value, rule.expression.type, rule.target.kind)
        return evaluator.frame.with_columns(stored.alias(f"s{rule.target.slot}"))

    def _extract(self, rule: Rule, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        assert isinstance(rule, Extract)
        found = values_of(_series(frame, rule.column, batch), extraction(rule))
        columns = {
            f"s{slot}": [v[at] if v else None for v in found] for at, slot in enumerate(rule.slots)
        }
        return _set_where(frame, columns, [v is not None for v in found], batch)

    def _render(self, rule: Rule, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        assert isinstance(rule, Render)
        render = rendering(rule.template, tuple(name for name, _ in rule.slots))
        texts = [render(values) for values in _slot_rows(frame, rule.slots)]
        return _set_where(frame, {f"s{rule.target.slot}": texts}, [True] * len(texts), batch)

    def _rewrite(self, rule: Rule, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        assert isinstance(rule, Rewrite)
        rewrite = rewriting(rule)
        series = _series(frame, rule.column, batch)
        if any(slot >= 0 for _, slot in rule.slots):
            others = _slot_rows(frame, rule.slots)
            texts = [
                rewrite(text, other) for text, other in zip(series.to_list(), others, strict=True)
            ]
        else:
            blanks = ("",) * len(rule.slots)
            texts = values_of(series, lambda text: rewrite(text, blanks))
        held = [text is not None for text in texts]
        return _set_where(frame, {f"s{rule.column.slot}": texts}, held, batch)

    def _key_encode(self, rule: Rule, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        assert isinstance(rule, KeyEncode)
        kinds = [source.kind for source in rule.sources]
        columns = [_series(frame, source, batch).to_list() for source in rule.sources]
        keys = [encode_key(kinds, values) for values in zip(*columns, strict=True)]
        return _set_where(frame, {f"s{rule.target.slot}": keys}, [True] * len(keys), batch)

    def _substitute(self, rule: Rule, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        assert isinstance(rule, Substitute)
        table: ValueTable = self._tables(rule)
        found = values_of(_series(frame, rule.column, batch), table.find)
        texts = [results[0] if results else None for results in found]
        held = [text is not None for text in texts]
        return _set_where(frame, {f"s{rule.column.slot}": texts}, held, batch)

    def _grep(self, rule: Rule, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        import polars as pl

        assert isinstance(rule, Grep)
        table: ValueTable = self._tables(rule)
        wanted = not rule.reverse
        found = values_of(
            _series(frame, rule.column, batch), lambda v: bool(table.find(v)) == wanted
        )
        return frame.with_columns(pl.Series(HELD, found, dtype=pl.Boolean))

    def _combine(self, rule: Rule, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        import polars as pl

        assert isinstance(rule, Combine)
        joined = self._joined(rule, frame, batch)
        hit = pl.col("hit").is_not_null()
        values = []
        for at, (target, _) in enumerate(rule.values):
            old = _stored(frame, target)
            values.append(
                pl.when(hit).then(pl.col(f"j{at}")).otherwise(old).alias(f"s{target.slot}")
            )
        made = [f"j{at}" for at in range(len(rule.values))]
        return joined.with_columns(*values, hit.alias(HELD)).drop("hit", *made)

    def _joined(self, rule: Combine, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        import polars as pl

        table: JoinTable = self._tables(rule)
        keys = []
        for at, (source, place) in enumerate(rule.keys):
            key = _series(frame, source, batch)
            if rule.ncas and source.kind is Kind.S:
                key = pl.Series([lower(text) for text in key.to_list()], dtype=pl.String)
            keys.append(
                key.cast(_key_type(source.kind, rule.table.columns[place].kind)).alias(f"k{at}")
            )
        right = join_frame(table, rule)
        names = [key.name for key in keys]
        joined = frame.with_columns(keys).join(
            right, on=names, how="left", maintain_order="left_right"
        )
        return joined.drop(names)

    def _multiplied(
        self, rule: Substitute | Combine, frame: pl.DataFrame, batch: Batch
    ) -> pl.DataFrame:
        import polars as pl

        if isinstance(rule, Combine):
            frame = self._combine(rule, frame, batch)
            return (frame if keeps_unmatched(rule) else frame.filter(HELD)).drop(HELD)
        table: ValueTable = self._tables(rule)
        column = _series(frame, rule.column, batch)
        found = values_of(column, table.find)
        if not rule.required:
            found = [
                results or (old,) for results, old in zip(found, column.to_list(), strict=True)
            ]
        return _exploded(frame, f"s{rule.column.slot}", found, pl.String)

    def _unwrap(self, rule: Unwrap, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        import polars as pl

        found = values_of(_series(frame, rule.source, batch), lambda text: unwrapped(text, rule))
        return _exploded(frame, f"s{rule.target.slot}", found, pl.String)


_CHECKED: dict[type, Callable[[Rules, Rule, Any, Batch], Any]] = {
    Extract: Rules._extract,
    Render: Rules._render,
    Rewrite: Rules._rewrite,
    KeyEncode: Rules._key_encode,
    Substitute: Rules._substitute,
    Grep: Rules._grep,
    Combine: Rules._combine,
}


def _sets(call: Call) -> bool:
    function = find_function(call.function)
    return bool(function and function.sets)


def _clean(frame: pl.DataFrame) -> pl.DataFrame:
    """Drop the columns that evaluating made."""
    made = [name for name in frame.columns if name[0] == "t"]
    return frame.drop(made) if made else frame


def _stored(frame: pl.DataFrame, source: Reference) -> pl.Expr:
    import polars as pl

    name = f"s{source.slot}"
    return pl.col(name) if name in frame.columns else blank(source.kind)


def _series(frame: pl.DataFrame, source: Reference, batch: Batch) -> pl.Series:
    import polars as pl

    evaluator = Evaluator(frame, batch)
    value = evaluator.stored(source)
    return evaluator.frame.select(value.alias("value"), pl.int_range(pl.len()).alias("all"))[
        "value"
    ]


def _slot_rows(frame: pl.DataFrame, slots: tuple[tuple[str, int], ...]) -> list[tuple[str, ...]]:
    import polars as pl

    columns = [
        pl.col(f"s{slot}").alias(f"n{at}")
        if f"s{slot}" in frame.columns
        else pl.lit("").alias(f"n{at}")
        for at, (_, slot) in enumerate(slots)
    ]
    if not columns:
        return [()] * frame.height
    return frame.select(*columns, pl.int_range(pl.len()).alias("all")).drop("all").rows()


def _set_where(
    frame: pl.DataFrame, columns: dict[str, list[Any]], held: list[bool], batch: Batch
) -> pl.DataFrame:
    """Set text columns where the rule held, and add whether it did."""
    import polars as pl

    found = pl.Series(HELD, held, dtype=pl.Boolean)
    out = []
    for name, texts in columns.items():
        values = pl.Series(name, texts, dtype=pl.String)
        old = pl.col(name) if name in frame.columns else blank(batch.kinds[int(name[1:])])
        out.append(pl.when(found).then(values).otherwise(old).alias(name))
    return frame.with_columns(*out, found)


def _exploded(frame: pl.DataFrame, name: str, values: list[Any], dtype: Any) -> pl.DataFrame:
    import polars as pl

    lists = pl.Series(name, [list(found) for found in values], dtype=pl.List(dtype))
    return frame.with_columns(lists).filter(pl.col(name).list.len() > 0).explode(name)


def _setting(rule: Eval, call: Call, evaluator: Evaluator) -> pl.DataFrame:
    """Evaluate a function that sets columns, and set them."""
    import polars as pl

    function = find_function(call.function)
    assert function
    results = evaluator.results(call, function)
    frame = evaluator.frame
    for at, target in enumerate(call.targets):
        made = [change[at] for _, change in results]
        if all(value is None for value in made):
            continue
        values = pl.Series(made, dtype=column_type(target.kind))
        name = f"s{target.slot}"
        old = _stored(frame, target)
        frame = frame.with_columns(
            pl.when(values.is_not_null()).then(values).otherwise(old).alias(name)
        )
    if rule.target is None:
        return frame
    value = pl.Series("value", [value for value, _ in results], dtype=pl.Int64)
    stored = frame.select(value).select(stored_as(pl.col("value"), call.type, rule.target.kind))
    return frame.with_columns(stored.to_series().alias(f"s{rule.target.slot}"))


def _merge(parts: list[pl.DataFrame], batch: Batch) -> pl.DataFrame:
    """Bring rows of branches together in their order; columns of only some are blank elsewhere."""
    import polars as pl

    names = dict.fromkeys(name for part in parts for name in part.columns)
    # A variable's value behind a row depends on all branches now.
    dropped = [name for name in names if name[0] == "v"]
    filled = []
    for part in parts:
        missing = [
            blank(batch.kinds[int(name[1:])]).alias(name)
            for name in names
            if name[0] == "s" and name not in part.columns
        ]
        filled.append(part.drop(dropped, strict=False).with_columns(missing))
    columns = [name for name in names if name not in dropped]
    merged = pl.concat([part.select(columns) for part in filled])
    return merged.sort(ORDER, maintain_order=True)


def _key_type(kind: Kind, other: Kind | None) -> Any:
    """Return the type in which keys of two kinds are compared: integers as numbers."""
    import polars as pl

    if kind.type is not Type.INT:
        return column_type(kind)
    return pl.Int128 if Kind.L in (kind, other) else pl.Int64


def join_frame(table: JoinTable, rule: Combine) -> pl.DataFrame:
    """Return the table of a join: keys, values, and ``hit``."""
    import polars as pl

    pairs = list(table.items())
    columns = {
        f"k{at}": pl.Series(
            [key[at] for key, _ in pairs],
            dtype=_key_type(source.kind, rule.table.columns[place].kind),
        )
        for at, (source, place) in enumerate(rule.keys)
    }
    for at, (target, place) in enumerate(rule.values):
        kind = rule.table.columns[place].kind
        assert kind
        assert storing(kind.type, target.kind)
        columns[f"j{at}"] = pl.Series(
            [values[at] for _, values in pairs], dtype=column_type(target.kind)
        )
    columns["hit"] = pl.Series([True] * len(pairs), dtype=pl.Boolean)
    return pl.DataFrame(columns)
