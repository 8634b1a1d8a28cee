"""Columns of floats are printed as C prints them one by one."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ess_dask.aq.kinds import format_float
from ess_dask.aq.vector.floats import format_floats

NUMBERS = st.one_of(
    st.floats(),
    st.floats(1e-5, 1e18),
    st.integers(-(10**17), 10**17).map(float),
    st.tuples(st.integers(-(10**9), 10**9), st.integers(0, 9)).map(lambda p: p[0] / 10 ** p[1]),
    st.sampled_from(
        [1e-4, 1e17, 0.0, -0.0, 9.9999999999999995, 5e-324, math.inf, math.nan, 1e16 - 2]
    ),
)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(NUMBERS, max_size=30))
@example([])
def test_any_floats(values):
    printed = format_floats(pl.Series(values, dtype=pl.Float64)).rows().to_list()
    assert printed == [format_float(value) for value in values]


def test_many_floats():
    rng = np.random.default_rng(7)
    for values in (
        rng.random(50000) * 100,
        np.round(rng.random(50000) * 100, 2),
        10 ** (rng.random(50000) * 40 - 20),
        -(10 ** (rng.random(50000) * 21 - 4)),
        rng.integers(-(10**9), 10**9, 50000).astype(np.float64),
        rng.choice([0.0, -0.0, math.nan, -math.inf, 1e300, 0.1, 7.0], 50000),
        rng.integers(0, 3000, 50000) * 0.9,
        rng.integers(0, 200, 50000) * 1e-9,
        np.where(np.arange(50000) % 97 < 90, 1.25, rng.random(50000)),
    ):
        printed = format_floats(pl.Series(values)).rows().to_list()
        assert printed == [format_float(value) for value in values.tolist()]
