"""The journal of runs: what is written is read, in the order of beginning, whatever the clock."""

import sqlite3
import time
from dataclasses import replace

import pytest

from ess_dask.errors import ConfigError
from ess_dask.runs.journal import open_journal
from ess_dask.runs.model import RunRecord, State


@pytest.fixture
def journal(tmp_path):
    with open_journal(tmp_path / "catalog.db") as journal:
        yield journal


def record(number=1, **values):
    known = {"run_id": f"20260101T00000{number}-aaaa", "pipeline": "shop", "started": 100.0}
    return RunRecord(**{**known, "state": State.PLANNED, "target": "t", "pid": 7, **values})


def test_a_record_comes_back_as_it_was_written(journal):
    whole = record(
        lower="2014-09-01", upper="2014-09-30", digest="d", pipeline_file="shop.yaml",
        folder="/runs/1", host="here", beat=3.5, backfill="b", files=1, rows_read=2,
        rows_loaded=3, rows_rejected=4, rows_dropped=5, error="é", ended=101.0, exit_code=3,
    )  # fmt: skip
    journal.begin(whole)
    assert journal.records() == [whole]
    assert journal.record(whole.run_id) == whole


def test_each_transition_is_a_line_and_changes_the_record(journal):
    journal.begin(record(), {"files": 3})
    journal.append(record().run_id, "begin", State.RUNNING)
    journal.append(record().run_id, "staged", State.STAGED, {"batches": 2}, files=3, rows_read=9)
    before = time.time()
    journal.append(record().run_id, "fail", State.FAILED, exit_code=3, error="no")
    found = journal.record(record().run_id)
    assert (found.state, found.files, found.rows_read) == (State.FAILED, 3, 9)
    assert (found.exit_code, found.error) == (3, "no")
    assert found.ended >= before
    events = journal.events(record().run_id)
    assert [(e.number, e.name, e.state) for e in events] == [
        (0, "planned", State.PLANNED), (1, "begin", State.RUNNING), (2, "staged", State.STAGED),
        (3, "fail", State.FAILED),
    ]  # fmt: skip
    assert [e.detail for e in events] == [{"files": 3}, {}, {"batches": 2}, {}]


def test_newest_first_is_the_order_of_beginning_also_when_the_clock_was_set_back(journal):
    for number, started in enumerate([300.0, 200.0, 100.0], 1):
        journal.begin(record(number, started=started))
    assert [r.started for r in journal.records()] == [100.0, 200.0, 300.0]
    assert [r.started for r in journal.records(limit=1)] == [100.0]
    assert [r.started for r in journal.records(since=150.0)] == [200.0, 300.0]


def test_runs_are_found_by_pipeline_backfill_and_life(journal):
    journal.begin(record(1))
    journal.begin(record(2, pipeline="other", backfill="b"))
    journal.begin(record(3, target="u"))
    journal.begin(record(4, backfill="b"))
    assert [r.run_id[14] for r in journal.records("shop")] == ["4", "3", "1"]
    assert [r.run_id[14] for r in journal.records(backfill="b")] == ["4", "2"]
    assert [r.run_id[14] for r in journal.alive("shop", "t")] == ["1", "4"]
    journal.append(record(1).run_id, "lost", State.INTERRUPTED)
    assert [r.run_id[14] for r in journal.alive("shop", "t")] == ["4"]


def test_a_heartbeat_is_of_the_living_only(journal):
    journal.begin(record())
    journal.beat(record().run_id)
    beat = journal.record(record().run_id).beat
    assert abs(beat - time.time()) < 60
    journal.append(record().run_id, "fail", State.FAILED)
    ended = journal.record(record().run_id)
    journal.beat(record().run_id)
    assert journal.record(record().run_id) == ended


def test_a_unique_beginning_of_an_id_is_enough(journal):
    journal.begin(record(1))
    journal.begin(record(2))
    assert journal.record("20260101T000002").run_id == record(2).run_id
    with pytest.raises(ConfigError, match="several runs begin with '20260101'") as caught:
        journal.record("20260101")
    assert record(1).run_id in caught.value.hint
    with pytest.raises(ConfigError, match="no run '20260101T000002-aaba'") as caught:
        journal.record("20260101T000002-aaba")
    assert caught.value.hint == f"did you mean '{record(2).run_id}'?"
    with pytest.raises(ConfigError, match="no run '%'") as caught:
        journal.record("%")
    assert "ess runs list" in caught.value.hint


def test_a_run_is_written_once_and_only_known_ones_go_on(journal):
    journal.begin(record())
    with pytest.raises(sqlite3.IntegrityError):
        journal.begin(replace(record(), pipeline="other"))
    with pytest.raises(ConfigError, match="run nobody is not in the journal"):
        journal.append("nobody", "begin", State.RUNNING)
    assert not journal.connection.in_transaction


def test_ten_thousand_runs_list_at_once(journal):
    with journal.transaction() as run:
        for number in range(10_000):
            row = record(pipeline=f"p{number % 7}")
            run(
                "insert into runs select null, ?, ?, 'done', ?, ?, 0, '*', '*', '', '', '', 0, '',"
                " 0, '', 0, 0, 0, 0, 0, '', 't'",
                (f"r{number}", row.pipeline, float(number), float(number)),
            )
    # Of this process: what else the machine does is no concern of the journal.
    begun = time.process_time()
    assert len(journal.records(limit=50)) == 50
    assert len(journal.records("p3", limit=50)) == 50
    assert journal.alive("p3", "t") == []
    assert time.process_time() - begun < 0.2
    assert len(journal.records()) == 10_000
    assert time.process_time() - begun < 1
