"""Which dates a scheduler's words mean, in which zone."""

from datetime import UTC, datetime

import pytest

from ess_dask.errors import UsageError
from ess_dask.pipelines.execution import Window
from ess_dask.pipelines.window import Asked, window_of

NOW = datetime(2026, 3, 1, 23, 30, tzinfo=UTC).timestamp()
BEGAN = datetime(2026, 2, 27, 23, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("asked", "lower", "upper"),
    [
        ({}, "*", "*"),
        ({"lower": "2014", "upper": "2014-09"}, "2014", "2014-09"),
        ({"date": "2014-09-30"}, "2014-09-30", "2014-09-30"),
        ({"date": "2014-09"}, "2014-09", "2014-09"),
        ({"date": "yesterday"}, "2026-02-28", "2026-02-28"),
        ({"date": "today", "timezone": "Asia/Tokyo"}, "2026-03-02", "2026-03-02"),
        ({"since": "yesterday"}, "2026-02-28", "*"),
        ({"since": "yesterday", "timezone": "Asia/Tokyo"}, "2026-03-01", "*"),
        ({"since": "2014-09-30", "upper": "2014-10"}, "2014-09-30", "2014-10"),
        ({"since": "2014-09-30T05:10"}, "2014-09-30T05:10", "*"),
        ({"since": "2014-09-30T23:10Z", "timezone": "Asia/Tokyo"}, "2014-10-01 08:10:00", "*"),
        ({"since": "2014-09-30T01:00+02:00"}, "2014-09-29 23:00:00", "*"),
        ({"since": "last-success"}, "2026-02-27", "*"),
        ({"since": "last-success", "timezone": "Asia/Tokyo"}, "2026-02-28", "*"),
    ],
)
def test_words_become_bounds(asked, lower, upper):
    assert window_of(Asked(**asked), lambda: BEGAN, NOW) == Window(lower, upper)


def test_without_a_success_all_dates_are_taken():
    assert window_of(Asked(since="last-success"), lambda: None, NOW) == Window()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"date": "2014", "lower": "2013"}, "--date and --from"),
        ({"date": "2014", "upper": "2013"}, "--date and --to"),
        ({"date": "2014", "since": "2013"}, "--date and --since"),
        ({"since": "2014", "lower": "2013"}, "--since and --from"),
    ],
)
def test_words_that_exclude_each_other(asked, words):
    with pytest.raises(UsageError, match=f"{words} exclude each other"):
        window_of(Asked(**asked), lambda: None, NOW)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../UTC", "/etc/passwd", "a" * 5000])
def test_an_unknown_zone_is_refused(zone):
    with pytest.raises(UsageError, match="unknown time zone"):
        window_of(Asked(since="yesterday", timezone=zone), lambda: None, NOW)
