"""Bounds: inclusive, open, whole periods, and what is refused."""

# ruff: noqa: DTZ001, DTZ901 - dates in names are naive

from datetime import datetime

import pytest

from ess_dask.catalog.bounds import Bounds, parse_bound, parse_bounds
from ess_dask.catalog.dates import FoundDate, compile_dates
from ess_dask.errors import UsageError

AUTO = compile_dates("auto")


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2014", datetime(2014, 1, 1), datetime(2014, 12, 31, 23, 59, 59, 999999)),
        ("2014-02", datetime(2014, 2, 1), datetime(2014, 2, 28, 23, 59, 59, 999999)),
        ("2016-02", datetime(2016, 2, 1), datetime(2016, 2, 29, 23, 59, 59, 999999)),
        ("2014-09-30", datetime(2014, 9, 30), datetime(2014, 9, 30, 23, 59, 59, 999999)),
        ("20140930", datetime(2014, 9, 30), datetime(2014, 9, 30, 23, 59, 59, 999999)),
        ("2014-09-30 05", datetime(2014, 9, 30, 5), datetime(2014, 9, 30, 5, 59, 59, 999999)),
        ("2014-09-30T05:10", datetime(2014, 9, 30, 5, 10),
         datetime(2014, 9, 30, 5, 10, 59, 999999)),
        ("2014-09-30 05:10:07", datetime(2014, 9, 30, 5, 10, 7),
         datetime(2014, 9, 30, 5, 10, 7, 999999)),
        ("9999-12-31", datetime(9999, 12, 31), datetime.max),
    ],
)  # fmt: skip
def test_a_bound_is_a_period(text, first, last):
    assert parse_bound(text, "day") == first
    assert parse_bound(text, "day", end=True) == last


@pytest.mark.parametrize("text", ["*", "", " * "])
def test_open(text):
    assert parse_bound(text, "auto") is None


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2014-13-01", "2015-02-30", "2014-9-1", "2014-09-01 25", "2014-09-01T05Z",
     "2014-09-01 05:60", "-", "2014/09/01", "01-09-2014"],
)  # fmt: skip
def test_what_is_no_date_is_a_usage_error(text):
    with pytest.raises(UsageError, match="is not a date"):
        parse_bound(text, "auto")


def test_ids():
    pattern = compile_dates("[:%f:{1,}]")
    bounds = parse_bounds("7", "12", pattern)
    covered = [n for n in range(20) if bounds.covers(FoundDate(n, "id"))]
    assert covered == list(range(7, 13))
    with pytest.raises(UsageError, match="integer id"):
        parse_bounds("2014-09-01", "*", pattern)


@pytest.mark.parametrize(
    ("lower", "upper", "regex"),
    [("2014-09-02", "2014-09-01", "auto"), ("2014-09-01 06", "2014-09-01 05", "auto"),
     ("12", "7", "[:%f:{1,}]")],
)  # fmt: skip
def test_from_after_to_is_a_usage_error(lower, upper, regex):
    with pytest.raises(UsageError, match="is after"):
        parse_bounds(lower, upper, compile_dates(regex))


def test_the_same_day_and_an_hour_in_it_are_in_order():
    parse_bounds("2014-09-01", "2014-09-01 00", AUTO)


def test_both_bounds_may_be_the_same_id():
    bounds = parse_bounds("7", "7", compile_dates("[:%f:{1,}]"))
    assert [n for n in range(20) if bounds.covers(FoundDate(n, "id"))] == [7]


def test_upper_day_takes_every_hour_of_it():
    bounds = parse_bounds("*", "2014-09-30", AUTO)
    assert bounds.covers(AUTO.locate("2014093023.gz"))
    assert not bounds.covers(AUTO.locate("2014100100.gz"))


def test_lower_hour_takes_the_daily_file_that_holds_it_but_no_earlier_hour():
    bounds = parse_bounds("2014-09-30 05", "*", AUTO)
    assert bounds.covers(AUTO.locate("20140930.gz"))
    assert bounds.covers(AUTO.locate("2014093005.gz"))
    assert not bounds.covers(AUTO.locate("2014093004.gz"))
    assert not bounds.covers(AUTO.locate("20140929.gz"))


def test_lower_day_takes_the_monthly_file_that_holds_it():
    monthly = compile_dates("[:%Y:]-[:%m:]")
    bounds = parse_bounds("2014-09-15", "2014-10-01", monthly)
    names = ["2014-08", "2014-09", "2014-10", "2014-11"]
    assert [n for n in names if bounds.covers(monthly.locate(n))] == ["2014-09", "2014-10"]


def test_undated_files_only_when_both_are_open():
    assert Bounds().covers(None)
    assert not parse_bounds("2014-09-01", "*", AUTO).covers(None)
    assert not parse_bounds("*", "2014-09-01", AUTO).covers(None)


def test_dates_and_ids_never_meet():
    assert not Bounds(lower=5).covers(FoundDate(datetime(2014, 1, 1), "day"))
    assert not Bounds(upper=datetime(2014, 1, 1)).covers(FoundDate(5, "id"))


@pytest.mark.parametrize(
    ("regex", "path", "lower", "covered"),
    [
        # Half past four to half past five, in UTC.
        ("[:%Y:][:%m:][:%d:]T[:%H:][:%z:]", "20140609T23-05:30", "2014-06-10 05", True),
        ("[:%Y:][:%m:][:%d:]T[:%H:][:%z:]", "20140609T23-05:30", "2014-06-10 05:30", False),
        ("[:%Y:][:%m:][:%d:][:%z:]", "20140902+0200", "2014-09-02", True),
        ("[:%Y:][:%m:][:%d:][:%z:]", "20140902+0200", "2014-09-02 22", False),
        ("[:%Y:][:%m:][:%z:]", "201409+0200", "2014-09-30", True),
        ("[:%Y:][:%m:][:%z:]", "201409-0200", "2014-10-01 01", True),
        ("[:%Y:][:%m:][:%z:]", "201409-0200", "2014-10-01 02", False),
        ("[:%Y:][:%z:]", "2014+0200", "2014-12-31 21", True),
        ("[:%Y:][:%z:]", "2014+0200", "2014-12-31 22", False),
        ("[:%Y:][:%m:][:%d:]", "99991231", "9999-12-31 23", True),
    ],
)
def test_a_period_that_a_zone_moved_is_as_long_as_before(regex, path, lower, covered):
    pattern = compile_dates(regex)
    assert parse_bounds(lower, "*", pattern).covers(pattern.locate(path)) is covered
