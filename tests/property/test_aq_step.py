"""A step's rules give what aq_pp gives for the same rows, by columns or row by row."""

import csv
import io
import subprocess
import sys
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ess_dask.aq import step_run
from ess_dask.aq.step import AqStep, words
from ess_dask.clean.protocol import ROW_LABEL, StepContext

RULES = [
    "-filt 'n > 0 && name != \"\"'",
    "-eval f:half 'price / 2' -eval ls:big 'n * 1000000007'",
    "-eval s:both 'ToUpper(name) + \"-\" + ToS(n)' -c both price:cost",
    "-if -filt 'n % 2 == 0' -eval s:kind '\"even\"' -elif -filt 'price > 1.5' -skip"
    " -else -eval kind 'name' -endif",
    "-mapf name 'a%%rest%%' -mapc s:out '<%%rest%%>' -c out n",
    "-map,rx_extended name '([a-z])(,)' '%%2%%%%1%%'",
    "-kenc s:key n name -kdec key IS:m S:who -c m who",
    '-eval - \'RxMap(name, "(b+)", name, "%%1%%")\'',
    "-eval i:n2 'n' -eval n 'n * n' -filt 'RxCmp(name, \"^[a-m]\")'",
]
SCHEMA = pa.schema([("n", pa.int32()), ("name", pa.string()), ("price", pa.float64())])
rows = st.lists(
    st.tuples(
        st.integers(-(2**31), 2**31 - 1) | st.integers(-3, 3),
        st.text("abcxyz,\"é '", max_size=5),
        st.floats(allow_nan=False, allow_infinity=False, width=32),
    ),
    max_size=15,
)


def table_of(values):
    columns = list(zip(*values, strict=True)) or [(), (), ()]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)
    return table.append_column(ROW_LABEL, pa.array(range(len(values)), pa.int64()))


@pytest.mark.parametrize("rules", RULES)
@given(values=rows, cut=st.integers(0, 15))
@settings(max_examples=30)
def test_columns_rows_and_slices_agree(rules, values, cut):
    step, table = AqStep(rules), table_of(values)
    by_columns = step.apply(table, StepContext())
    with patch.object(step_run, "_by_columns", return_value=None):
        by_rows = step.apply(table, StepContext())
    assert repr(by_columns.to_pylist()) == repr(by_rows.to_pylist())
    assert by_columns.schema == by_rows.schema
    parts = [step.apply(part, StepContext()) for part in (table.slice(0, cut), table.slice(cut))]
    assert repr(pa.concat_tables(parts).to_pylist()) == repr(by_columns.to_pylist())
    assert by_columns.schema.remove(by_columns.num_columns - 1) == step.describe(SCHEMA)


@pytest.mark.parametrize("rules", RULES)
def test_the_rows_are_those_of_aq_pp(rules):
    values = [(n, name, n / 3) for n in range(-4, 5) for name in ("", "abba", "axé", 'q"u,o', "b")]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        (n, name, f"{price:.17g}") for n, name, price in values
    )
    program = "from ess_dask.udb.programs.aq_pp import main; main()"
    columns = ["is:n", "s:name", "f:price"]
    done = subprocess.run(
        [sys.executable, "-c", program, "-f", "-", "-d", *columns, *words(rules)],
        input=text.getvalue().encode(),
        capture_output=True,
        check=True,
    )
    title, *lines = csv.reader(io.StringIO(done.stdout.decode()))
    got = AqStep(rules).apply(table_of(values), StepContext()).drop_columns([ROW_LABEL])
    assert got.column_names == title
    assert [[_text(value) for value in row.values()] for row in got.to_pylist()] == lines


def _text(value):
    return f"{value:.17g}" if isinstance(value, float) else str(value)
