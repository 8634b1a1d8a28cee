"""Runs as they are listed and told: from the journal, from folders, and of processes gone."""

import json
import os
import time
from datetime import UTC, datetime

import pytest

from ess_dask.errors import ConfigError, UsageError
from ess_dask.observe.runs import Which, list_runs, parse_since, tell_run
from ess_dask.runs.journal import open_journal
from ess_dask.runs.machine import Event
from ess_dask.runs.model import RunRecord, State

BEGAN = 1_795_700_000


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path))
    return tmp_path


def name_of(number):
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(BEGAN + number))
    return f"{moment}-{number:08x}"


def record(number, state=State.DONE, pipeline="shop", **more):
    code = None if not state.is_final else 0 if state is State.DONE else 1
    ended = BEGAN + number + 2.0 if state.is_final else None
    given = {"ended": ended, "exit_code": code} | more
    return RunRecord(name_of(number), pipeline, state, float(BEGAN + number), **given)


def journaled(*records):
    with open_journal() as journal:
        for each in records:
            journal.begin(each)


def listed(home, **which):
    return [view.record.run_id for view in list_runs(home / "runs", Which(**which))]


def test_the_newest_run_comes_first_and_each_wish_narrows(home):
    journaled(record(1), record(2, State.FAILED), record(3, pipeline="other"), record(4))
    assert listed(home) == [name_of(number) for number in (4, 3, 2, 1)]
    assert listed(home, pipeline="other") == [name_of(3)]
    assert listed(home, state="failed") == [name_of(2)]
    assert listed(home, since=BEGAN + 3.0) == [name_of(4), name_of(3)]
    assert listed(home, pipeline="shop", limit=2) == [name_of(4), name_of(2)]


def test_a_clock_that_was_set_back_does_not_change_the_order(home):
    for number in (1, 9, 4):
        (home / "runs" / name_of(number)).mkdir(parents=True)
    journaled(record(5), record(8), record(2), record(3))
    order = [name_of(number) for number in (9, 4, 3, 2, 8, 5, 1)]
    assert listed(home) == order
    assert [listed(home, limit=number) for number in range(8)] == [order[:n] for n in range(8)]
    assert tell_run(home / "runs", "last").view.record.run_id == name_of(9)


def test_no_more_records_are_read_than_are_shown(home, monkeypatch):
    journaled(*(record(number, pipeline="ab"[number % 2]) for number in range(50)))
    read = []
    made = RunRecord

    def noting(*values):
        read.append(values[0])
        return made(*values)

    monkeypatch.setattr("ess_dask.runs.journal.RunRecord", noting)
    assert listed(home, limit=3) == read
    read.clear()
    assert len(listed(home, limit=2, pipeline="b")) == len(read) == 2


def test_a_run_that_is_only_a_folder_is_told_by_it(home):
    journaled(record(2))
    for number, report in ((1, {"exit_code": 3}), (3, {"exit_code": 130}), (5, None)):
        folder = home / "runs" / name_of(number)
        folder.mkdir(parents=True)
        if report:
            report |= {"pipeline": "shop", "seconds": 4.5, "rows_read": 10, "files": 2}
            (folder / "report.json").write_text(json.dumps(report))
    (home / "runs" / "not-a-run").mkdir()
    views = list_runs(home / "runs", Which())
    assert [(view.record.run_id, str(view.record.state)) for view in views] == [
        (name_of(5), "interrupted"), (name_of(3), "interrupted"), (name_of(2), "done"),
        (name_of(1), "failed"),
    ]  # fmt: skip
    told = tell_run(home / "runs", name_of(1)[:-2]).view.record
    assert (told.exit_code, told.rows_read, told.ended) == (3, 10, BEGAN + 1 + 4.5)


def test_a_run_whose_process_is_gone_says_so(home):
    folder = home / "runs" / name_of(1)
    here = {"pid": os.getpid(), "host": os.uname().nodename, "folder": str(folder)}
    journaled(record(1, State.RUNNING, beat=time.time(), **here))
    (view,) = list_runs(home / "runs", Which())
    assert (view.record.state, view.is_alive) == (State.RUNNING, False)


def test_a_run_is_told_by_its_beginning_and_its_events(home):
    journaled(record(1, State.PLANNED), record(2))
    with open_journal() as journal:
        journal.append(name_of(1), Event.BEGIN, State.RUNNING, {"files": 3})
        journal.append(name_of(1), Event.FAIL, State.FAILED, exit_code=1, error="no bucket")
    account = tell_run(home / "runs", name_of(1))
    assert [event.name for event in account.events] == ["planned", "begin", "fail"]
    assert (account.view.record.error, account.report) == ("no bucket", {})
    assert account.folder == home / "runs" / name_of(1)
    assert tell_run(home / "runs", "last").view.record.run_id == name_of(2)
    with pytest.raises(ConfigError, match="several runs begin"):
        tell_run(home / "runs", name_of(1)[:8])
    with pytest.raises(ConfigError, match="no run 'x'"):
        tell_run(home / "runs", "x")


def test_without_runs_there_is_no_last_one(home):
    assert listed(home) == []
    with pytest.raises(ConfigError, match="no run yet"):
        tell_run(home / "runs", "last")


NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-27", "2026-11-27T00:00+00:00"),
        ("2026-11-27T03:00", "2026-11-27T03:00+00:00"),
        ("2026-11-27T03:00+01:00", "2026-11-27T02:00+00:00"),
        ("90m", "2026-11-27T10:30+00:00"),
        ("12h", "2026-11-27T00:00+00:00"),
        ("7d", "2026-11-20T12:00+00:00"),
        ("2w", "2026-11-13T12:00+00:00"),
    ],
)
def test_a_moment_is_a_date_or_an_age(text, moment):
    assert parse_since(text, NOW) == datetime.fromisoformat(moment).timestamp()


@pytest.mark.parametrize("text", ["", "soon", "12", "99999999d", "2026-13-01"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(UsageError, match="is no moment"):
        parse_since(text, NOW)


@pytest.mark.slow
def test_ten_thousand_runs_are_listed_within_a_second(home):
    journaled(*(record(number, pipeline=f"p{number % 7}") for number in range(10_000)))
    began = time.process_time()
    assert len(listed(home)) == 10_000
    assert time.process_time() - began < 1
