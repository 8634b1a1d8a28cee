"""Whatever the rows and wherever they are cut, a ``per: batch`` step gives the same result."""

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.clean.function import PythonStep
from ess_dask.clean.protocol import ROW_LABEL, StepContext
from ess_dask.clean.shell import ShellStep
from ess_dask.clean.signals import RowCleanError
from ess_dask.clean.sql import SqlStep

pytestmark = pytest.mark.slow

CONTEXT = StepContext(timeout=60)

QUERIES = [
    "select * from records where price > 0",
    "select *, n * 2 as twice, coalesce(name, '?') || n as label from records",
    "select * exclude (name) from records where name is not null or n > 0",
    "select name, unnest(range(least(greatest(coalesce(n, 0), 0), 3))) as i from records",
    "with a as (select n, price from records), b as (select * from a where n > 0) from b",
    "select n from records union all select -n from records where price is not null",
    "select n, k from records left join (values (0, 'a'), (1, 'b'), (1, 'c')) v(i, k) on i = n",
    "select n, x from records join range(7) v(x) on x > n",
    "select n, x from records join range(7) v(x) on x > n and x < price",
    "select n, k from (values (0, 'a'), (1, 'b'), (1, 'c')) v(i, k) right join records on i = n",
    "select n, x.unnest from records, unnest([3, 1, 2]) x where x.unnest > n",
    "select name from records r where exists (select 1 from unnest([0, 1]) u(x) where x = r.n)",
    "select try_cast(name as int) as i, strlen(name) as l, price / n as q from records",
    "select upper(columns(* exclude (n, price))), n from records",
]

FUNCTIONS = [
    lambda frame: frame[frame.price > 0],
    lambda frame: frame.assign(twice=frame.n * 2, label=frame.name.str.upper()),
    lambda frame: frame.sort_values("n", ascending=False, kind="stable"),
    lambda frame: frame.dropna(),
    lambda frame: frame.loc[frame.index.repeat(2)],
]

rows = st.lists(
    st.tuples(
        st.none() | st.integers(-5, 5),
        st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4),
        st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32),
    ),
    max_size=20,
)
cuts = st.lists(st.integers(0, 20), max_size=4)


def as_table(values):
    columns = list(zip(*values, strict=True)) or [(), (), ()]
    return pa.table(
        {
            "n": pa.array(columns[0], pa.int64()),
            "name": pa.array(columns[1], pa.string()),
            "price": pa.array(columns[2], pa.float64()),
            ROW_LABEL: pa.array(range(100, 100 + len(values)), pa.int64()),
        }
    )


def cut(table, places):
    edges = [0, *sorted(min(place, table.num_rows) for place in places), table.num_rows]
    return [table.slice(start, end - start) for start, end in pairwise(edges)]


def same(table, other):
    """Equality in which NaN, the quotient of two zeros, is NaN."""
    return table.schema == other.schema and repr(table.to_pylist()) == repr(other.to_pylist())


@pytest.mark.parametrize("query", QUERIES)
@given(values=rows, places=cuts)
@settings(max_examples=25)
def test_sql_over_slices_is_sql_over_the_whole(query, values, places):
    step, table = SqlStep(query), as_table(values)
    parts = [step.apply(part, CONTEXT) for part in cut(table, places)]
    whole = step.apply(table, CONTEXT)
    assert same(pa.concat_tables(parts), whole)
    assert whole.schema.remove(whole.num_columns - 1) == step.describe(table.schema)


@pytest.mark.parametrize("function", FUNCTIONS)
@given(values=rows, places=cuts)
@settings(max_examples=25)
def test_a_function_over_slices_is_the_function_over_the_whole(function, values, places):
    step, table = PythonStep.from_callable(function), as_table(values)
    parts = [step.apply(part, CONTEXT) for part in cut(table, places)]
    assert pa.concat_tables(parts).to_pylist() == step.apply(table, CONTEXT).to_pylist()


@given(values=rows)
@settings(max_examples=50)
def test_a_frame_that_is_not_touched_comes_back_as_it_was(values):
    table = as_table(values)
    assert PythonStep.from_callable(lambda frame: frame).apply(table, CONTEXT).equals(table)


@given(values=rows.filter(len), bad=st.data())
@settings(max_examples=40)
def test_the_first_failing_row_is_the_one_that_is_named(values, bad):
    table = as_table(values)
    labels = table.column(ROW_LABEL).to_pylist()
    chosen = bad.draw(st.sets(st.sampled_from(labels), min_size=1))
    marked = table.append_column("bad", pa.array(["x" if n in chosen else "1" for n in labels]))
    for step in (
        SqlStep("select bad::int as good from records"),
        PythonStep.from_callable(lambda frame: frame.assign(good=[int(v) for v in frame.bad])),
    ):
        with pytest.raises(RowCleanError) as caught:
            step.apply(marked, CONTEXT)
        assert caught.value.label == min(chosen)


@given(blocks=st.lists(st.binary(max_size=2000), max_size=8))
@settings(max_examples=15)
def test_any_bytes_in_any_blocks_come_through_a_command_unchanged(blocks):
    assert b"".join(ShellStep("cat").pipe(blocks, CONTEXT)) == b"".join(blocks)
