"""Profiles: exact figures agree with the whole rows, DuckDB and pandas, estimates keep their word,
and nothing depends on how the rows were grouped."""

import datetime as dt
import gzip
import json
import math
import os
import sys
import tempfile
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from unittest import mock

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import ess_dask as ess
from ess_dask.catalog.model import FileRef
from ess_dask.engine.model import Piece
from ess_dask.profiling.finish import column_profile
from ess_dask.profiling.model import QUANTILES
from ess_dask.profiling.state import empty_state
from ess_dask.profiling.sums import float_sums

TYPES = {
    "i": (pa.int64(), st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)),
    "u": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "f": (pa.float64(), st.floats(allow_infinity=False, width=64) | st.sampled_from([0.0, -0.0])),
    "g": (pa.float32(), st.floats(allow_infinity=False, width=32)),
    "d": (pa.decimal128(9, 2), st.decimals(-(10**7) + 1, 10**7 - 1, places=2)),
    "w": (pa.decimal128(38, 3), st.decimals(-(10**34), 10**34, places=3)),
    "s": (pa.string(), st.text(max_size=5) | st.sampled_from(["", " ", "ä漢", "a\t"])),
    "y": (pa.binary(), st.binary(max_size=3)),
    "b": (pa.bool_(), st.booleans()),
    "t": (pa.date32(), st.dates()),
    "m": (pa.timestamp("us"), st.datetimes()),
    "z": (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(dt.UTC))),
    "l": (pa.list_(pa.int64()), st.lists(st.integers(0, 3), max_size=2)),
    "e": (pa.int32(), st.none()),
}
SCHEMA = pa.schema([(name, kind) for name, (kind, _) in TYPES.items()])
ROW = st.fixed_dictionaries({name: st.none() | values for name, (_, values) in TYPES.items()})
EXTREMES = [5e-324, 1.7976931348623157e308, -1e-300, 3.0, 0.1, -0.0]


def pieces(table, cuts):
    """Yield a table as pieces of files: those of one file in parts, or of many at once."""
    files = [FileRef(f"/lake/{number}", None, 1, "e") for number in range(3)]
    bounds = np.linspace(0, table.num_rows, 4).astype(int)
    if not cuts:
        yield (
            Piece(table, tuple(files), np.repeat(np.arange(3, dtype=np.int32), np.diff(bounds))),
            0,
        )
        return
    for file, start, stop in zip(files, bounds, bounds[1:], strict=False):
        edges = sorted({start, stop, *(start + c for c in cuts if start + c < stop)})
        for low, high in pairwise(edges) if stop > start else ():
            part = table.slice(low, high - low)
            yield Piece(part, (file,), np.zeros(high - low, np.int32)), low - start


def state_of(table, cuts=(), *, joined=False):
    """Return the state of a table: piece by piece, or each on its own and then joined."""
    total = empty_state(table.schema)
    for piece, before in pieces(table, cuts):
        if joined:
            alone = empty_state(table.schema)
            alone.add(piece, before)
            total.merge(alone)
        else:
            total.add(piece, before)
    return total


def profiles(table, cuts=(), *, joined=False):
    state = state_of(table, cuts, joined=joined)
    return {
        name: column_profile(name, "", column, sampled, 10)
        for name, column, sampled in zip(
            table.column_names, state.columns, state.sampled, strict=True
        )
    }


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(ROW, max_size=25), st.lists(st.integers(1, 9), max_size=3), st.booleans())
def test_exact_figures_are_exact_and_do_not_depend_on_the_grouping(rows, cuts, joined):
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    found = profiles(table)
    assert repr(profiles(table, cuts, joined=joined)) == repr(found)
    for name in SCHEMA.names:
        check(found[name], [row[name] for row in rows], SCHEMA.field(name).type)


def check(column, values, type_):
    assert column.rows == len(values)
    assert column.nulls == values.count(None)
    there = [value for value in values if value is not None]
    assert column.nan == sum(value != value for value in there)
    if pa.types.is_nested(type_):
        assert column.distinct is None
        return
    there = [
        value + 0.0 if isinstance(value, float) else value for value in there if value == value
    ]
    assert column.distinct == len(set(there))
    assert column.distinct_error == column.quantile_error == column.top_error == 0
    assert column.min == min(there, default=None)
    assert column.max == max(there, default=None)
    if isinstance(column.min, float):
        assert math.copysign(1, column.min) == 1 or column.min < 0
    counted = sorted(set(there), key=lambda value: (-there.count(value), value))
    assert [(top.value, top.count) for top in column.top] == [
        (value, there.count(value)) for value in counted[:10]
    ]
    if column.quantiles:
        ordered = sorted(there)
        ranks = [max(1, math.ceil(share * len(there))) - 1 for share in QUANTILES]
        assert [value for _, value in column.quantiles] == [ordered[rank] for rank in ranks]
        assert sum(column.histogram.counts) == len(there)
        assert list(column.histogram.edges) == sorted(column.histogram.edges)
        assert len(column.histogram.counts) == len(column.histogram.edges) - 1 <= 20
    if pa.types.is_string(type_) and there:
        assert column.blank == sum(not value.strip() for value in there)
        lengths = [len(value) for value in there]
        assert column.lengths.min == min(lengths)
        assert column.lengths.max == max(lengths)
        assert column.lengths.mean == sum(lengths) / len(lengths)


@pytest.mark.slow
@settings(max_examples=100)
@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(EXTREMES), min_size=2
    )
)
@example([sys.float_info.max, -sys.float_info.max / 2])
def test_moments_of_floats_are_rounded_once(values):
    from fractions import Fraction

    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    spread = sum((value - mean) ** 2 for value in exact) / (len(exact) - 1)
    sums = float_sums(np.array(values))
    assert sums.mean(1 << 1127) == float(mean)
    deviation = sums.deviation(1 << 1127)
    if math.isinf(deviation):
        assert spread > Fraction(sys.float_info.max) ** 2
        return
    found = Fraction(deviation)
    # Between the squares of its neighbours.
    step = Fraction(math.ulp(float(found)))
    assert max(found - step, 0) ** 2 <= spread <= (found + step) ** 2


@settings(max_examples=60)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=30))
def test_moments_of_whole_numbers_and_decimals_are_exact(values):
    from fractions import Fraction

    mean = Fraction(sum(values), len(values))
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    wide = [Decimal(value).scaleb(-3) for value in values]
    table = pa.table({
        "i": pa.array(values, pa.int64()), "w": pa.array(wide, pa.decimal128(38, 3)),
    })  # fmt: skip
    found = profiles(table)
    assert found["i"].mean == float(mean)
    assert found["i"].std == pytest.approx(math.sqrt(variance), rel=1e-14)
    assert found["w"].mean == float(mean / 1000)
    assert found["w"].std == pytest.approx(math.sqrt(variance) / 1000, rel=1e-14)


def many(rows, seed):
    """Return a table whose columns have more values than are counted."""
    make = np.random.default_rng(seed)
    normal = make.normal(size=rows)
    start = np.datetime64("2014-09-01", "us")
    moments = start + make.integers(0, 30 * 86_400_000_000, rows).astype("timedelta64[us]")
    wide = [Decimal(int(each * 1e12)).scaleb(-3) for each in normal]
    mixed = np.where(make.random(rows) < 0.05, "often", make.integers(0, 10**12, rows).astype(str))
    return pa.table(
        {
            "far": np.where(make.random(rows) < 0.001, 1e100, normal),
            "steep": np.exp(normal * 20),
            "whole": make.integers(-(2**62), 2**62, rows),
            "moment": moments,
            "wide": pa.array(wide, pa.decimal128(38, 3)),
            "text": mixed,
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_estimates_stay_within_what_they_say_and_do_not_depend_on_the_grouping(seed):
    table = many(30_000 + 7_000 * seed, seed)
    found = profiles(table)
    for cuts, joined in (((4_000, 4_001, 9_000), True), ((8_000,), False), ((1,), True)):
        assert repr(profiles(table, cuts, joined=joined)) == repr(found)
    with duckdb.connect() as duck:
        duck.register("rows", table)
        for name, column in found.items():
            exact = duck.sql(f"select count(distinct {name}), min({name}), max({name}) from rows")
            distinct, least, most = exact.fetchall()[0]
            assert (column.min, column.max) == (least, most)
            assert 0.005 < column.distinct_error < 0.02
            assert column.distinct == pytest.approx(distinct, rel=5 * column.distinct_error)
    frame = table.to_pandas()
    for name in ("far", "steep", "whole", "moment", "wide"):
        check_estimates(found[name], frame[name])
    assert found["far"].mean == pytest.approx(frame["far"].mean())
    assert found["far"].std == pytest.approx(frame["far"].std())
    # The rows that are far away take nothing from the precision of the others.
    assert found["far"].quantile_error < 0.01
    often = int((frame["text"] == "often").sum())
    assert [top.value for top in found["text"].top] == ["often"]
    assert often <= found["text"].top[0].count <= often + found["text"].top_error
    assert found["text"].top_error < 0.001 * len(frame)


def check_estimates(column, series):
    ordered = sorted(series)
    for share, value in column.quantiles:
        true = ordered[max(1, math.ceil(share * len(ordered))) - 1]
        apart = abs(pd.Timestamp(true) - pd.Timestamp(value)).total_seconds() if isinstance(
            value, dt.datetime
        ) else abs(true - value)  # fmt: skip
        assert apart <= column.quantile_error
    assert sum(column.histogram.counts) == len(ordered)


@pytest.mark.parametrize("cut", [(), (5,)])
def test_infinities(cut):
    few = pa.table({"f": [math.inf, 1.0, 2.0, None, math.nan]})
    column = profiles(few, cut)["f"]
    assert (column.min, column.max, column.mean) == (1.0, math.inf, math.inf)
    assert math.isnan(column.std)
    assert sum(column.histogram.counts) == 2
    both = np.concatenate([np.linspace(-5, 5, 9_000), [math.inf, -math.inf]])
    column = profiles(pa.table({"f": both}), cut)["f"]
    assert math.isnan(column.mean)
    assert sum(column.histogram.counts) == 9_000
    assert (column.min, column.max) == (-math.inf, math.inf)
    assert column.histogram.edges[0] >= -5.01
    assert column.histogram.edges[-1] <= 5.01
    assert max(abs(value) for _, value in column.quantiles) < 5.1


LINES = st.lists(
    st.sampled_from(["1,a", "2,", ",b", "x,y", "1", "3,ä", "1,a,b", "", "-0,  "]), max_size=12
)


@pytest.mark.slow
@settings(max_examples=20)
@given(
    st.lists(LINES, min_size=1, max_size=6),
    st.integers(1, 300),
    st.integers(1, 4),
    st.sampled_from([4096, 1 << 20]),
)
def test_a_profile_of_files_does_not_depend_on_batches_threads_and_chunks(
    files, batch_bytes, threads, chunk
):
    with tempfile.TemporaryDirectory() as folder:
        for day, lines in enumerate(files, 1):
            text = "n,s\n" + "".join(f"{line}\n" for line in lines)
            (Path(folder) / f"f_202001{day:02}.gz").write_bytes(gzip.compress(text.encode()))
        category = ess.select(folder).category("f", "*.gz", columns={"n": "float64", "s": "string"})
        whole = category.profile()
        with mock.patch.dict(os.environ, ESS_CHUNK_BYTES=str(chunk)):
            other = category.all().using(batch_bytes=batch_bytes, threads=threads).profile()
        assert other.to_json() == whole.to_json()
        rows = category.all().collect()
        assert whole.rows == rows.table.num_rows
        assert whole.rejected == rows.rejects.num_rows
        assert whole.read == whole.rows + whole.rejected + whole.dropped
        assert sum(kind.count for kind in whole.rejects) == whole.rejected
        check(whole.column("s"), rows.table["s"].to_pylist(), pa.string())
        assert json.loads(whole.to_json()) == whole.to_dict()
