"""Rows that are grouped in blocks and folded, or kept aside: the bits of row after row."""

import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.tables.fold import fold, grouped
from ess_dask.tables.layout import ORDER, MergeRule, TableLayout
from ess_dask.tables.merge import merge_rows
from ess_dask.udb.merging import Merger
from tests.segments import Written

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("error::RuntimeWarning")]

SCHEMA = pa.schema(
    [("k", pa.string()), ("j", pa.int32()), ("x", pa.float64()), ("n", pa.int32()),
     ("u", pa.uint64()), ("lo", pa.int32()), ("f", pa.string()), ("z", pa.string()),
     ("b", pa.uint32()), ("y", pa.float32())]
)  # fmt: skip
RULES = (
    MergeRule("x", "add"), MergeRule("n", "add"), MergeRule("u", "add"),
    MergeRule("lo", "min", nozero=True), MergeRule("f", "first"),
    MergeRule("z", "last", nozero=True), MergeRule("b", "bor"), MergeRule("y", "add"),
)  # fmt: skip


def layout_of(key):
    rules = RULES if len(key) == 2 else (*RULES, MergeRule("j", "max"))
    return TableLayout(SCHEMA, key[:1], 4, merge_key=key, merge=rules, ordered=True)


LAYOUTS = st.sampled_from([("k",), ("k", "j")]).map(layout_of)
# Beside the usual ones such as have no sum: nobody is to be warned of them.
FLOATS = st.sampled_from([0.1, 0.2, 1e16, -1e16, 0.7, 1e-9, -0.0, 3.0, 1e38, math.inf, -math.inf])
INTEGERS = st.integers(-(2**31), 2**31 - 1)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", "a", "b", "ü"]), st.integers(0, 1), FLOATS, INTEGERS,
        st.integers(0, 2**64 - 1), st.integers(0, 3), st.sampled_from(["p", ""]),
        st.sampled_from(["q", "r", ""]), st.integers(0, 9), FLOATS,
    ),
    max_size=12,
)  # fmt: skip
EVERY = settings(max_examples=60)


def table_of(rows):
    columns = list(zip(*rows, strict=True)) or [[] for _ in SCHEMA]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)],
        schema=SCHEMA,
    )


def numbered(table, start=0):
    numbers = pa.array(range(start, start + table.num_rows), pa.int64())
    return table.append_column(pa.field(ORDER, pa.int64()), numbers)


def bits(table):
    return [[repr(value) for value in column.to_pylist()] for column in table.columns]


@EVERY
@given(layout=LAYOUTS, held=ROWS, batches=st.lists(ROWS, max_size=4))
def test_folded_blocks_are_merged_rows(layout, held, batches):
    base = merge_rows(numbered(table_of(held)), layout)
    tables, start, blocks, equal = [base], 100, [], [base]
    for rows in batches:
        table = table_of(rows)
        block = grouped(table, layout).at(start) if rows else None
        if block:
            blocks.append(block)
            equal.append(block.rows(layout))
        tables.append(numbered(table, start))
        start += len(rows)
    wanted = merge_rows(pa.concat_tables(tables), layout)
    assert bits(fold(base, blocks, layout)) == bits(wanted)
    assert bits(merge_rows(pa.concat_tables(equal), layout)) == bits(wanted)


@EVERY
@given(
    layout=LAYOUTS, held=ROWS, batches=st.lists(ROWS, max_size=5),
    fold_rows=st.sampled_from([1, 9, 1 << 20]), hold_rows=st.sampled_from([1, 3, 1 << 22]),
    known=st.sampled_from(["folded", "too many", "not yet"]),
)  # fmt: skip
def test_an_import_of_float_sums_in_any_way(
    layout, held, batches, fold_rows, hold_rows, known, tmp_path_factory
):
    """Folded onto what is there, or not; and again, when that has changed in the meantime."""
    base = merge_rows(numbered(table_of(held)), layout)
    asked = {"folded": lambda _: (base, 100), "too many": lambda _: None, "not yet": None}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ESS_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("ess_dask.udb.merging.FOLD_ROWS", fold_rows)
        patch.setattr("ess_dask.udb.merging.HOLD_ROWS", hold_rows)
        merger = Merger(Written(), layout, asked[known])
        for batch in batches:
            merger.add(merger.prepare(table_of(batch)))
        parts = merger.close() or []
        rows = [row for batch in batches for row in batch]
        every = pa.concat_tables([base, numbered(table_of(rows), 100)])
        wanted = bits(merge_rows(every, layout))
        start = [] if merger.replaces else [base]
        if rows:
            assert values(merge_rows(pa.concat_tables([*start, *parts]), layout)) == wanted[:-1]
            assert merger.replaces == (known == "folded")
        if merger.replaces:
            again = merger.again(Written())
            assert values(merge_rows(pa.concat_tables([base, *again]), layout)) == wanted[:-1]
            assert pa.concat_tables(again)[ORDER].to_pylist()[0] == 0
        merger.release()


def values(table):
    return bits(table.drop_columns([ORDER]))
