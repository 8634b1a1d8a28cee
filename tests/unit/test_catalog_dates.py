"""Dates in file names: what is found, what is not, and what a pattern may say."""

# ruff: noqa: DTZ001 - dates in names are naive

from datetime import datetime

import pytest

from ess_dask.catalog.dates import (
    NO_DATE,
    FoundDate,
    compile_dates,
    dateregex_of_format,
)
from ess_dask.errors import UsageError

DAY = datetime(2014, 9, 1)

AUTO_DAYS = [
    "20140901",
    "purchase_20140901.csv.gz",
    "/lake/2014-09-01.gz",
    "/lake/2014/09/01/part.gz",
    "s3://lake/x_2014_09_01.csv",
    "2014.09.01.log",
    "x20140901y.gz",
    "20140901_12.gz",  # a part number, not an hour
    "20140901-99.gz",
    "dt=2014-09-01",
    "/data 1/ü#?%20140901\n.gz",
]


@pytest.mark.parametrize("path", AUTO_DAYS)
def test_auto_finds_a_day(path):
    assert compile_dates("auto").locate(path) == FoundDate(DAY, "day")


@pytest.mark.parametrize(
    ("path", "value", "granularity"),
    [
        ("2014090105.gz", datetime(2014, 9, 1, 5), "hour"),
        ("2014-09-01T05.gz", datetime(2014, 9, 1, 5), "hour"),
        ("201409010530.gz", datetime(2014, 9, 1, 5, 30), "minute"),
        ("20140901_0530.gz", datetime(2014, 9, 1, 5, 30), "minute"),
        ("20140901053015.gz", datetime(2014, 9, 1, 5, 30, 15), "second"),
        ("2014-09-01T05:30:15Z.gz", datetime(2014, 9, 1, 5, 30, 15), "second"),
        ("2014-09-01 05-30-15.gz", datetime(2014, 9, 1, 5, 30, 15), "second"),
        ("/lake/2014/09/01/05/part.gz", datetime(2014, 9, 1, 5), "hour"),
    ],
)
def test_auto_finds_hours_minutes_and_seconds(path, value, granularity):
    assert compile_dates("auto").locate(path) == FoundDate(value, granularity)


@pytest.mark.parametrize(
    "path",
    [
        "20150230.gz",
        "2015-02-29.gz",
        "20151301.gz",
        "20140100.gz",
        "id120140901777.gz",
        "2014090199.gz",
        "99990101.gz",
        "part.gz",
        "",
        "2014-0901.gz",
    ],
)
def test_auto_takes_no_impossible_date_and_no_identifier(path):
    assert compile_dates("auto").find(path) is None


def test_name_is_preferred_to_folders_and_decides_even_when_impossible():
    auto = compile_dates("auto")
    assert auto.find("/2013-01-01/x_20140901.gz") == DAY
    assert auto.find("/2014-09-01/x.gz") == DAY
    assert auto.find("/2014-09-01/x_20150230.gz") is None


def test_of_two_dates_the_last_possible_one_counts():
    auto = compile_dates("auto")
    assert auto.find("sales_20140901-20140930.gz") == datetime(2014, 9, 30)
    assert auto.find("sales_20140901_20150230.gz") == DAY


@pytest.mark.parametrize("between", ["_", "-", ".", " ", "_to_"])
@pytest.mark.parametrize("shape", ["{}-{}-{}", "{}_{}_{}", "{}.{}.{}", "{}{}{}"])
def test_the_year_of_a_second_date_is_no_time(shape, between):
    auto = compile_dates("auto")
    for last, value in ((30, datetime(2014, 9, 30)), (31, DAY)):
        days = shape.format("2014", "09", "01"), shape.format("2014", "09", last)
        assert auto.locate(f"/s_{between.join(days)}.csv") == FoundDate(value, "day")
    assert auto.find("2014-09-01_201409-30.gz") == datetime(2014, 9, 1, 20, 14, 9)


def test_leap_day():
    assert compile_dates("auto").find("20160229") == datetime(2016, 2, 29)


def test_none_dates_every_file_1970():
    assert compile_dates("none").find("/x/20140901.gz") == NO_DATE == datetime(1970, 1, 1)


@pytest.mark.parametrize(
    ("regex", "path", "value"),
    [
        (".*[:%Y:]-[:%m:]-[:%d:].*", "/a/file_2014-06-09_out.zip", datetime(2014, 6, 9)),
        (".*[:%Y:][:%m:][:%d:].csv", "account12345678_20140609.csv", datetime(2014, 6, 9)),
        ("_[:%Y:][:%m:][:%d:]", "account12345678_20140609.csv", datetime(2014, 6, 9)),
        ("[:%d:][:%b:][:%y:]", "x_09jun14.gz", datetime(2014, 6, 9)),
        ("[:%d:]-[:%B:]-[:%Y:]", "09-June-2014", datetime(2014, 6, 9)),
        ("[:%Y:]/[:%m:]/[:%d:]/", "s3://b/2014/06/09/x.gz", datetime(2014, 6, 9)),
        ("[:%Y:][:%m:]", "x_201406.gz", datetime(2014, 6, 1)),
        ("y[:%Y:]", "y2014", datetime(2014, 1, 1)),
        ("[:%y:]", "x69", datetime(1969, 1, 1)),
        ("[:%y:]", "x68", datetime(2068, 1, 1)),
        ("[:%Y:][:%m:][:%d:]_[:%H:][:%p:]", "20140609_12am", datetime(2014, 6, 9, 0)),
        ("[:%Y:][:%m:][:%d:]_[:%H:][:%p:]", "20140609_11PM", datetime(2014, 6, 9, 23)),
        ("[:%Y:][:%m:][:%d:]T[:%H:][:%z:]", "20140609T01+0200", datetime(2014, 6, 8, 23)),
        ("[:%Y:][:%m:][:%d:]T[:%H:][:%z:]", "20140609T23-05:30", datetime(2014, 6, 10, 4, 30)),
        ("[:%Y:][:%m:][:%d:]T[:%H:][:%z:]", "20140609T23Z", datetime(2014, 6, 9, 23)),
        ("[:%f:{1,}]", "part-00042.csv", 42),
        ("[:%f:{3,5}]", "a12_b12345.csv", 12345),
        ("[:%f:{3,5}]", "a123456.csv", 12345),
        ("account[:%f:{4,4}]", "account12345678_20140609.csv", 1234),
        ("[:%f:{8,}]_", "account12345678_20140609.csv", 12345678),
        ("batch[[:digit:]]_[:%Y:]", "batch7_2014", datetime(2014, 1, 1)),
    ],
)
def test_classes(regex, path, value):
    assert compile_dates(regex).find(path) == value


@pytest.mark.parametrize(
    ("regex", "path"),
    [
        ("[:%Y:][:%m:][:%d:]", "20150230"),
        ("[:%Y:][:%m:]", "201400"),
        ("[:%Y:]", "0000"),
        ("[:%Y:][:%m:][:%d:][:%H:]", "2014090124"),
        ("[:%Y:][:%m:][:%d:]_[:%H:][:%p:]", "20140609_13pm"),
        ("[:%f:{3,5}]", "a12.csv"),
        ("^x[:%Y:]$", "yx2014"),
    ],
)
def test_classes_find_no_impossible_date(regex, path):
    assert compile_dates(regex).find(path) is None


@pytest.mark.parametrize(
    ("regex", "granularity"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("[:%f:{1,}]", "id"),
        ("[:%y:]", "year"),
        ("[:%Y:][:%b:]", "month"),
        ("[:%Y:][:%m:][:%d:]", "day"),
        ("[:%Y:][:%m:][:%d:][:%H:][:%M:][:%S:]", "second"),
    ],
)
def test_granularity_of_a_pattern(regex, granularity):
    assert compile_dates(regex).granularity == granularity


@pytest.mark.parametrize(
    "regex",
    [
        "no class at all",
        "[:%m:][:%d:]",
        "[:%Y:][:%d:]",
        "[:%Y:][:%m:][:%H:]",
        "[:%Q:]",
        "[:%Y:](",
        "[:%f:{1,}][:%Y:]",
        "[:%f:{x}]",
    ],
)
def test_a_bad_pattern_is_a_usage_error_that_quotes_it(regex):
    with pytest.raises(UsageError) as caught:
        compile_dates(regex)
    assert repr(regex) in caught.value.message


@pytest.mark.parametrize(
    ("letters", "path", "value"),
    [
        ("Y-M-D", "x_2014-09-01.gz", DAY),
        ("YMD", "x_20140901.gz", DAY),
        ("*_YMD.gz", "x_20140901.gz", DAY),
        ("YMDhms", "20140901010203", datetime(2014, 9, 1, 1, 2, 3)),
        ("yMD", "140901", DAY),
        ("*YMD.csv", "account12345678_20140901.csv", DAY),
        ("monthly_YMDThms.gz", "monthly_20140901T000000.gz", DAY),
        ("D-M-Y", "x_01-Sep-2014.gz", DAY),
        ("DMY", "01september2014", DAY),
        ("daily#", "daily7.gz", 7),
        ("#", "part-7.gz", 7),
        ("#_YMD", "12_20140901", DAY),
        ("none", "20140901", NO_DATE),
        ("auto", "20140901", DAY),
    ],
)
def test_deprecated_dateformat(letters, path, value):
    assert compile_dates(dateregex_of_format(letters)).find(path) == value
