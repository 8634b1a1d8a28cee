"""The parts without Airflow in them: dates, words, environments, ends, names."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from ess_dask.airflow.command import set_words
from ess_dask.airflow.files import Wanted, missing_of
from ess_dask.airflow.lineage import Name, source_of, target_of
from ess_dask.airflow.outcome import Kind, kind_of, outcome_of
from ess_dask.airflow.process import Ended
from ess_dask.airflow.setup import Setup, SetupError, aws_variables
from ess_dask.airflow.window import Window, chosen_window, window_of

BERLIN = ZoneInfo("Europe/Berlin")


def at(*parts, zone=UTC):
    return datetime(*parts, tzinfo=zone)


@pytest.mark.parametrize(
    ("start", "end", "unit", "zone", "lower", "upper"),
    [
        # A daily DAG of Airflow 2, and the same of 3, where the interval has no length.
        (at(2014, 9, 2), at(2014, 9, 3), "day", UTC, "2014-09-02", "2014-09-02"),
        (at(2014, 9, 3), at(2014, 9, 3), "day", UTC, "2014-09-02", "2014-09-02"),
        # Started by hand in the afternoon: still the last whole day.
        (at(2014, 9, 3, 14, 37), at(2014, 9, 3, 14, 37), "day", UTC, "2014-09-02", "2014-09-02"),
        # A day of Berlin is told in UTC.
        (at(2014, 9, 1, 22), at(2014, 9, 2, 22), "day", BERLIN, "2014-09-02", "2014-09-02"),
        # The days on which the clock is changed have 23 and 25 hours.
        (at(2014, 3, 29, 23), at(2014, 3, 30, 22), "day", BERLIN, "2014-03-30", "2014-03-30"),
        (at(2014, 10, 25, 22), at(2014, 10, 26, 23), "day", BERLIN, "2014-10-26", "2014-10-26"),
        (at(2014, 10, 26, 23), at(2014, 10, 26, 23), "day", BERLIN, "2014-10-26", "2014-10-26"),
        (at(2014, 9, 1), at(2014, 9, 8), "day", UTC, "2014-09-01", "2014-09-07"),
        (at(2014, 9, 2, 3), at(2014, 9, 2, 4), "hour", UTC, "2014-09-02T03", "2014-09-02T03"),
        (at(2014, 9, 3, 0), at(2014, 9, 3, 0), "hour", UTC, "2014-09-02T23", "2014-09-02T23"),
        (at(2014, 9, 2, 3), at(2014, 9, 2, 4), "day", UTC, "2014-09-02", "2014-09-02"),
        (at(2014, 1, 1), at(2014, 1, 1), "month", UTC, "2013-12", "2013-12"),
        (at(2014, 1, 1), at(2014, 3, 1), "month", UTC, "2014-01", "2014-02"),
        # Leap day.
        (at(2016, 3, 1), at(2016, 3, 1), "day", UTC, "2016-02-29", "2016-02-29"),
    ],
)
def test_the_units_that_an_interval_touches(start, end, unit, zone, lower, upper):
    assert window_of(start, end, unit, zone) == Window(lower, upper)


def test_bounds_that_are_given_win_and_the_zone_is_the_dags():
    context = {
        "data_interval_start": at(2014, 9, 1, 22),
        "data_interval_end": at(2014, 9, 2, 22),
        "dag": SimpleNamespace(timezone=BERLIN),
    }
    assert chosen_window(context, (None, None), "day", None) == Window("2014-09-02", "2014-09-02")
    assert chosen_window(context, (None, None), "day", "UTC") == Window("2014-09-01", "2014-09-02")
    assert chosen_window(context, ("*", None), "day", None) == Window("*", "2014-09-02")
    assert chosen_window({}, ("*", "*"), "day", None) == Window("*", "*")


def test_a_run_without_interval_goes_by_the_time_after_which_it_runs():
    context = {"dag_run": SimpleNamespace(run_after=at(2014, 9, 3, 5))}
    assert chosen_window(context, (None, None), "day", None).lower == "2014-09-02"
    with pytest.raises(SetupError, match="date_from"):
        chosen_window({"dag_run": None}, (None, None), "day", None)


def test_changed_fields_become_words():
    assert set_words({"load.mode": "replace", "load.key": ["a", "b"], "x": True}) == [
        "load.mode=replace",
        'load.key=["a", "b"]',
        "x=true",
    ]
    assert set_words(["a=b"]) == ["a=b"]
    assert set_words(None) == []


def test_the_environment_of_a_run():
    setup = Setup(cache_dir="/state", variables={"TZ": "UTC"}, secrets={"S": "s"})
    inherited = {
        "HOME": "/home/a",
        "TZ": "CET",
        "AIRFLOW__CORE__FERNET_KEY": "x",
        "AIRFLOW_CONN_A": "x",
        "_AIRFLOW__X": "x",
        "PYTHONPATH": "x",
        "VIRTUAL_ENV": "x",
        "AIRFLOW_CTX_DAG_ID": "d",
    }
    assert setup.environment(inherited) == {
        "HOME": "/home/a",
        "TZ": "UTC",
        "AIRFLOW_CTX_DAG_ID": "d",
        "ESS_CACHE_DIR": "/state",
        "S": "s",
    }


def test_an_aws_connection_becomes_variables():
    extra = {"region_name": "eu-west-1", "endpoint_url": "http://127.0.0.1:1"}
    assert aws_variables("a", extra, "key", "secret") == {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    }
    with pytest.raises(SetupError, match="profile_name"):
        aws_variables("a", {"role_arn": "arn:aws:iam::1:role/x"}, None, None)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (0, Kind.DONE),
        (1, Kind.AGAIN),
        (2, Kind.HOPELESS),
        (3, Kind.HOPELESS),
        (4, Kind.HOPELESS),
        (75, Kind.LOCKED),
        (127, Kind.HOPELESS),
        (130, Kind.INTERRUPTED),
        (137, Kind.AGAIN),
        (143, Kind.AGAIN),
    ],
)
def test_what_an_exit_code_means(code, kind):
    assert kind_of(code) is kind


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (Ended(2, "", ("ess: a", "  hint: b")), "ess ended with exit code 2: a\n  hint: b"),
        (Ended(2, "", ("Usage: ess run", "Error: No such option: -x")), "No such option: -x"),
        (Ended(137, "", ()), "ended by SIGKILL"),
        (Ended(1, "", ("Traceback", "KeyError: 1")), "exit code 1:\nTraceback\nKeyError: 1"),
        (Ended(1, "no json", ()), "ess ended with exit code 1"),
    ],
)
def test_the_reason_of_a_failure_is_found(ended, said):
    assert said in outcome_of(ended).message


def test_a_long_report_is_cut():
    failed = ", ".join(f'{{"uri": "f{n}", "error": "{"e" * 9999}"}}' for n in range(50))
    reasons = ", ".join(f'"r{n}": 1' for n in range(50))
    text = f'{{"pipeline": "p", "state": "s", "failed": [{failed}], "reasons": {{{reasons}}}}}'
    outcome = outcome_of(Ended(3, text, ()))
    summary = outcome.summary()
    assert (summary["failed_files"], len(summary["failed"])) == (50, 10)
    assert len(summary["reasons"]) == 10
    assert len(str(summary)) < 8000
    assert "... and 40 more" in outcome.message
    assert len(outcome.message) < 8000


@pytest.mark.parametrize(
    ("report", "read", "written"),
    [
        ({}, None, None),
        ({"store": "/data/lake"}, Name("file", "/data/lake"), None),
        ({"store": "s3://lake/raw/"}, Name("s3://lake", "raw"), None),
        ({"store": "s3://lake"}, Name("s3://lake", "/"), None),
        (
            {"warehouse": "duckdb:///shop.duckdb?lock_wait=1", "table": "sales"},
            None,
            Name("duckdb:///srv/shop.duckdb", "main.sales"),
        ),
        (
            {
                "warehouse": "redshift://etl@shop.abc.eu-west-1.redshift.amazonaws.com/dev?x=1",
                "table": "sales",
            },
            None,
            Name("redshift://shop.eu-west-1:5439", "dev.public.sales"),
        ),
        (
            {"warehouse": "redshift://etl@127.0.0.1:5555/dev", "table": "raw.sales"},
            None,
            Name("redshift://127.0.0.1:5555", "dev.raw.sales"),
        ),
    ],
)
def test_datasets_have_the_names_of_openlineage(report, read, written):
    assert source_of(report) == read
    assert target_of(report, "/srv") == written


def test_what_is_missing_is_said():
    names = ["s3://lake/a/sales_1.gz", "s3://lake/a/sales_2.gz"]
    assert missing_of(names, Wanted(category="c", minimum_files=2)) == ""
    assert missing_of(names, Wanted(category="c", expected=["sales_1.*", "*/a/sales_2.gz"])) == ""
    assert "sales_3.gz; 2 files are there" in missing_of(names, Wanted(expected=["sales_3.gz"]))
    assert missing_of([], Wanted()) == "0 files are there, 1 are wanted"


def test_a_wait_trigger_goes_on_elsewhere():
    import asyncio

    from ess_dask.airflow import EssWaitTrigger

    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    path, arguments = EssWaitTrigger(past, "u").serialize()
    assert path == "ess_dask.airflow.triggers.EssWaitTrigger"

    async def first():
        return [event async for event in EssWaitTrigger(**arguments).run()]

    assert [event.payload for event in asyncio.run(first())] == [{"until": "u"}]
