"""Merging is a left fold in import order, however the rows are cut into imports."""

import itertools
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ess_dask.tables.layout import ORDER, MergeRule, TableLayout
from ess_dask.tables.merge import arrange, key_order, merge_rows, sort_rows

FLOATS = st.floats() | st.sampled_from([0.0, -0.0, 0.1, 0.2, 1e16, 1.0, -1e16])
VALUES = {
    pa.uint32(): st.integers(0, 5) | st.integers(0, 2**32 - 1),
    pa.int32(): st.integers(-2, 2) | st.integers(-(2**31), 2**31 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): FLOATS,
    pa.float32(): st.floats(width=32),
    pa.string(): st.sampled_from(["", "a", "b", "z"]),
    pa.timestamp("s"): st.integers(0, 10**9),
}
HOWS = {
    "first": list(VALUES), "last": list(VALUES), "min": list(VALUES), "max": list(VALUES),
    "add": [k for k in VALUES if pa.types.is_integer(k) or pa.types.is_floating(k)],
    "bor": [k for k in VALUES if pa.types.is_integer(k)],
}  # fmt: skip


@st.composite
def cases(draw):
    """A layout with one to four merged columns, and rows."""
    fields, rules = [pa.field("k", pa.string()), pa.field("n", pa.float64())], []
    for number in range(draw(st.integers(1, 4))):
        how = draw(st.sampled_from(sorted(HOWS)))
        fields.append(pa.field(f"c{number}", draw(st.sampled_from(HOWS[how]))))
        rules.append(MergeRule(f"c{number}", how, draw(st.booleans())))
    schema = pa.schema(fields)
    layout = TableLayout(
        schema, ("k",), merge_key=("k", "n"), merge=tuple(rules), ordered=draw(st.booleans())
    )
    count = draw(st.integers(0, 25))
    columns = [
        draw(st.lists(st.sampled_from(["x", "y", "", None]), min_size=count, max_size=count)),
        draw(st.lists(st.sampled_from([0.0, -0.0, math.nan, None, 1.0]), min_size=count,
                      max_size=count)),
        *(draw(st.lists(st.none() | VALUES[f.type], min_size=count, max_size=count))
          for f in fields[2:]),
    ]  # fmt: skip
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, fields, strict=True)], schema)
    if layout.ordered:
        order = pa.array(range(7, 7 + count), pa.int64())
        table = table.append_column(pa.field(ORDER, pa.int64()), order)
    return layout, table


def merged_slowly(layout, table):
    """One row after the other, value by value."""
    groups = {}
    for row in table.to_pylist():
        key = (row["k"], "nan" if row["n"] is not None and math.isnan(row["n"]) else row["n"])
        if key not in groups:
            groups[key] = {**row, "_values": {rule.column: [] for rule in layout.merge}}
        for rule in layout.merge:
            groups[key]["_values"][rule.column].append(row[rule.column])
    result = []
    for row in groups.values():
        values = row.pop("_values")
        for rule in layout.merge:
            kind = layout.schema.field(rule.column).type
            row[rule.column] = fold(rule, kind, values[rule.column])
        result.append(row)
    return result


def is_blank(value):
    return value in (None, 0, "") and not hasattr(value, "year")


def fold(rule, kind, values):
    pending = [v for v in values if not is_blank(v)] if rule.nozero else values
    known = [v for v in pending if v is not None]
    if rule.how in ("first", "last"):
        chosen = pending or values[:1]
        return chosen[0 if rule.how == "first" else -1]
    if rule.how in ("min", "max"):
        pick = min if rule.how == "min" else max
        numbers = [v for v in known if not (isinstance(v, float) and math.isnan(v))] or known[:1]
        return pick(numbers) if numbers else (values[0] if rule.nozero else None)
    known = [v for v in values if v is not None]
    if not known:
        return None
    if rule.how == "bor":
        return np.bitwise_or.reduce(np.array(known, kind.to_pandas_dtype())).item()
    if pa.types.is_floating(kind):
        total = kind.to_pandas_dtype()(0)
        with np.errstate(all="ignore"):
            for value in known:
                total = total + kind.to_pandas_dtype()(value)
        return total.item()
    total = sum(known) % 2**kind.bit_width
    signed = pa.types.is_signed_integer(kind) and total >= 2 ** (kind.bit_width - 1)
    return total - 2**kind.bit_width if signed else total


def plain(rows):
    return [{k: "nan" if v != v else v for k, v in row.items()} for row in rows]


@pytest.mark.slow
@given(cases())
def test_merging_is_the_fold_of_the_slow_reference(case):
    layout, table = case
    merged = merge_rows(table, layout)
    assert merged.schema == table.schema
    assert plain(merged.to_pylist()) == plain(merged_slowly(layout, table))


@pytest.mark.slow
@given(cases(), st.lists(st.integers(0, 25), max_size=4))
def test_any_sequence_of_imports_gives_the_same_bits(case, cuts):
    layout, table = case
    whole = merge_rows(table, layout)
    bounds = [0, *sorted(min(cut, table.num_rows) for cut in cuts), table.num_rows]
    grown = table.schema.empty_table()
    for start, end in itertools.pairwise(bounds):
        grown = merge_rows(pa.concat_tables([grown, table.slice(start, end - start)]), layout)
    assert bits(grown) == bits(whole)


def bits(table):
    """Columns as text in which 0.0 and -0.0 differ and every NaN is alike."""
    return [[repr(value) for value in column.to_pylist()] for column in table.columns]


@given(st.lists(st.tuples(st.sampled_from([None, 1.0, 2.0, -0.0, 0.0]), st.sampled_from("ab"))),
       st.integers(0, 10))  # fmt: skip
def test_sorting_is_stable_also_over_imports(rows, cut):
    schema = pa.schema([("x", pa.float64()), ("s", pa.string()), ("row", pa.int64())])
    table = pa.table([[x for x, _ in rows], [s for _, s in rows], range(len(rows))], schema=schema)
    layout = TableLayout(schema, ("s",), sort=("x",))
    whole = arrange(table, layout)
    expected = sorted(
        table.to_pylist(), key=lambda r: (r["x"] is not None, 0 if r["x"] is None else r["x"])
    )
    assert whole.to_pylist() == expected
    first = arrange(table.slice(0, cut), layout)
    assert arrange(pa.concat_tables([first, table.slice(cut)]), layout).equals(whole)


@given(st.lists(st.sampled_from(["a", "b", None]), max_size=20), st.randoms())
def test_keys_come_in_first_insertion_order_and_rows_as_imported(keys, random):
    table = pa.table({"k": pa.array(keys, pa.string()), ORDER: pa.array(range(len(keys)))})
    shuffled = list(range(len(keys)))
    random.shuffle(shuffled)
    got = key_order(table.take(pa.array(shuffled, pa.int64())), ("k",))
    firsts = {key: keys.index(key) for key in keys}
    expected = sorted(range(len(keys)), key=lambda row: (firsts[keys[row]], row))
    assert got[ORDER].to_pylist() == expected


def vector(schema, key, *rules):
    return TableLayout(schema, key, merge_key=key, merge=rules)


def test_the_first_value_initialises_a_minimum():
    schema = pa.schema([("k", pa.string()), ("low", pa.int32()), ("high", pa.int32())])
    table = pa.table([["a", "a"], [5, 7], [-5, -7]], schema=schema)
    rules = (MergeRule("low", "min"), MergeRule("high", "max"))
    merged = merge_rows(table, vector(schema, ("k",), *rules))
    assert merged.to_pylist() == [{"k": "a", "low": 5, "high": -5}]


def test_float_sums_are_added_in_import_order():
    values = [1e16, 1.0, 1.0, 1.0, -1e16] * 1000 + [0.1] * 1000
    schema = pa.schema([("k", pa.int8()), ("x", pa.float64())])
    table = pa.table([[1] * len(values), values], schema=schema)
    merged = merge_rows(table, vector(schema, ("k",), MergeRule("x", "add")))
    total = 0.0
    for value in values:
        total += value
    assert merged["x"].to_pylist() == [total]
    assert total != math.fsum(values)


def test_variables_have_one_row_without_a_key():
    schema = pa.schema([("g", pa.uint32()), ("s", pa.string())])
    rules = (MergeRule("g", "add"), MergeRule("s", "last", nozero=True))
    layout = TableLayout(schema, (), partitions=1, merge=rules)
    table = pa.table([[1, 2, 3], ["a", "b", ""]], schema=schema)
    assert merge_rows(table, layout).to_pylist() == [{"g": 6, "s": "b"}]
    assert merge_rows(schema.empty_table(), layout).num_rows == 0


def test_an_integer_sum_wraps_at_its_width():
    schema = pa.schema([("k", pa.int8()), ("n", pa.uint32())])
    table = pa.table([[1, 1], [2**32 - 1, 3]], schema=schema)
    assert merge_rows(table, vector(schema, ("k",), MergeRule("n", "add")))["n"].to_pylist() == [2]


@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.date64(), pa.decimal128(9, 2), pa.int8()])
def test_a_merged_column_keeps_its_type(kind):
    schema = pa.schema([("k", pa.int8()), ("v", kind)])
    table = pa.table([pa.array([1, 1]).cast(pa.int8()), pa.nulls(2, kind)], schema=schema)
    for how in ("first", "last", "min", "max"):
        merged = merge_rows(table, vector(schema, ("k",), MergeRule("v", how, nozero=True)))
        assert merged.schema == schema


def test_sorting_by_several_columns_keeps_types():
    schema = pa.schema([("s", pa.string()), ("t", pa.timestamp("s")), ("d", pa.decimal128(5, 1))])
    table = pa.table([["b", "a", "a"], [1, 2, 1], [Decimal(1), Decimal(2), Decimal(3)]],
                     schema=schema)  # fmt: skip
    done = sort_rows(table, ("s", "t"))
    assert done.schema == schema
    assert [str(d) for d in done["d"].to_pylist()] == ["3.0", "2.0", "1.0"]
