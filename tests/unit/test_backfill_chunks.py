"""Pieces of a range, and the plan of the whole cut into theirs."""

from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ess_dask.errors import UsageError
from ess_dask.pipelines.backfill.chunks import Calendar, Chunk, ChunkSize, calendar


def shown(days, first, last):
    return [str(chunk) for chunk in days.chunks(first, last)]


def test_the_ends_of_the_range_cut_the_first_and_the_last():
    days = Calendar("month", date(2014, 1, 20), date(2014, 3, 2))
    assert shown(days, days.lower, days.upper) == [
        "2014-01-20 to 2014-01-31", "2014-02-01 to 2014-02-28", "2014-03-01 to 2014-03-02",
    ]  # fmt: skip


def test_weeks_begin_on_monday_and_days_are_days():
    days = Calendar("week", date(2014, 9, 3), date(2014, 9, 16))
    assert shown(days, days.lower, days.upper) == [
        "2014-09-03 to 2014-09-07", "2014-09-08 to 2014-09-14", "2014-09-15 to 2014-09-16",
    ]  # fmt: skip
    assert shown(Calendar("day"), date(2016, 2, 28), date(2016, 3, 1)) == [
        "2016-02-28", "2016-02-29", "2016-03-01",
    ]  # fmt: skip


def test_a_file_of_a_longer_period_belongs_to_the_end_that_it_reaches():
    days = Calendar("day", date(2014, 9, 10), date(2014, 9, 12))
    assert days.chunk(date(2014, 9, 1)) == Chunk(date(2014, 9, 10), date(2014, 9, 10))


def test_the_last_days_there_are():
    for size in get_args(ChunkSize):
        found = list(Calendar(size).chunks(date(9999, 12, 30), date.max))
        assert found[-1].last == date.max


def test_ids_are_refused():
    with pytest.raises(UsageError, match="ids"):
        calendar("day", 7, None)
    assert calendar("day", datetime.fromisoformat("2014-01-01T05:00"), None).lower == date(
        2014, 1, 1
    )


@given(
    st.sampled_from(get_args(ChunkSize)),
    st.dates(date(2000, 1, 1), date(2030, 1, 1)),
    st.integers(0, 400),
    st.integers(0, 400),
)
def test_chunks_cover_the_range_once(size, lower, length, place):
    days = Calendar(size, lower, lower + timedelta(days=length))
    chunks = list(days.chunks(days.lower, days.upper))
    assert (chunks[0].first, chunks[-1].last) == (days.lower, days.upper)
    for before, after in pairwise(chunks):
        assert after.first - before.last == timedelta(days=1)
    day = lower + timedelta(days=min(place, length))
    assert [days.chunk(day)] == [each for each in chunks if each.first <= day <= each.last]
