"""Columns that pass through a query come out as if DuckDB had handed them on."""

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.clean import duck
from ess_dask.clean.arrow import standard_table
from ess_dask.clean.protocol import ROW_LABEL
from ess_dask.clean.sql import SqlStep
from ess_dask.clean.sqlthrough import without_through

SCHEMA = pa.schema(
    [
        ("n", pa.int8()),
        ("name", pa.string()),
        ("Price", pa.float64()),
        ("cost", pa.decimal128(9, 2)),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", "Europe/Berlin")),
        ("raw", pa.binary()),
        ("ok", pa.bool_()),
        (ROW_LABEL, pa.int64()),
    ]
)

THROUGH = [
    "select * from records where n > 0",
    "select * from records",
    "select r.* from records r where name is not null",
    "select * exclude (raw, PRICE) from records where price > 0",
    "select price, NAME, n from records where n > 0 or ok",
    "select name, n * 2 as twice, day, n from records",
    "select n, n as m, name from records where m > 0",
    "select name, unnest(range(least(greatest(coalesce(n, 0), 0), 3))) as i from records",
    "select records.price, name from records",
]
NOT = [
    "select n * 2 as twice from records",
    "select * replace (n + 1 as n) from records",
    "select columns('n.*') from records",
    "with a as (select * from records) from a where n > 0",
    "select n from records union all select n from records",
    "select a, b from records as t(a, b)",
    "select n, x from records join range(7) v(x) on x > n",
]

rows = st.lists(
    st.fixed_dictionaries(
        {
            "n": st.none() | st.integers(-5, 5),
            "name": st.none() | st.text(st.characters(codec="utf-8"), max_size=4),
            "Price": st.none() | st.floats(),
            "cost": st.none() | st.decimals(-9, 9, places=2, allow_nan=False).map(Decimal),
            "day": st.none() | st.dates(),
            "ok": st.none() | st.booleans(),
            "raw": st.none() | st.binary(max_size=3),
            ROW_LABEL: st.integers(-1, 99),
        }
    ),
    max_size=12,
)


def through(query):
    return without_through(SqlStep(query)._runnable, SCHEMA)


@pytest.mark.parametrize("query", THROUGH)
def test_what_only_passes_through_is_left_out(query):
    found = through(query)
    assert found is not None
    assert "name" not in found.query.partition("WHERE")[0]


@pytest.mark.parametrize("query", NOT)
def test_other_queries_are_left_alone(query):
    assert through(query) is None


@pytest.mark.parametrize("query", THROUGH)
@given(values=rows)
@settings(max_examples=25)
def test_the_result_is_that_of_the_whole_query(query, values):
    table, step = pa.Table.from_pylist(values, schema=SCHEMA), SqlStep(query)
    whole = standard_table(duck.run(step._runnable, table), table.schema)
    got = step._run(table, timeout=60)
    assert got.schema == whole.schema
    assert repr(got.to_pylist()) == repr(whole.to_pylist())
