"""What the journal tells of runs, whatever becomes of them; which files a scheduler's run takes.

In this process: each test has its own state, lake and warehouse.
"""

import json
import threading
import time

import duckdb
import pytest

from ess_dask.cli.main import ess
from ess_dask.cli.main import run as command
from ess_dask.errors import LockedError
from ess_dask.pipelines import door as doors
from ess_dask.pipelines.execution import Window
from ess_dask.pipelines.load import open_pipeline
from ess_dask.pipelines.prepare import make_plan
from ess_dask.pipelines.run import Listener, run_plan
from ess_dask.runs import course, lock
from ess_dask.runs.journal import open_journal
from ess_dask.runs.model import State

PIPELINE = """
name: shop
source: {store: ./lake, category: c, pattern: "p_*.csv", columns: {id: int32, v: int32}}
clean:
  - sql: select * from records where v > 0
load: {to: "duckdb:///shop.duckdb", table: t}
rejects: {limit: "50%"}
"""


class Shop:
    """A pipeline in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "lake").mkdir()
        self.write(PIPELINE)
        for day in (1, 2, 3):
            self.add(day)

    def write(self, text):
        (self.folder / "shop.yaml").write_text(text)

    def add(self, day, rows="1,1\n2,0\nx,1\n"):
        (self.folder / f"lake/p_201409{day:02d}.csv").write_text(f"id,v\n{rows}")

    def run(self, *words, code=0, command_="run"):
        assert command(ess, [command_, "shop.yaml", *words]) == code

    def plan(self):
        made = open_pipeline("shop.yaml")
        return make_plan(made.pipeline, made.folder, made.settings, Window()), made.settings

    def records(self):
        with open_journal() as journal:
            return journal.records()

    def events(self, record):
        with open_journal() as journal:
            return [event.name for event in journal.events(record.run_id)]

    def loaded(self):
        with duckdb.connect("shop.duckdb", read_only=True) as connection:
            query = "select right(_ess_file, 6), count(*) from t group by 1 order by 1"
            return {name[:2]: rows for name, rows in connection.execute(query).fetchall()}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESS_CACHE_DIR", str(tmp_path / "state"))
    return Shop(tmp_path)


FORWARD = ["planned", "begin", "staged", "load", "loaded", "finish"]


def test_a_run_that_is_done(shop):
    shop.run("--to", "2014-09-02")
    (record,) = shop.records()
    assert shop.events(record) == FORWARD
    assert (record.state, record.exit_code, record.error) == (State.DONE, 0, "")
    assert (record.pipeline, record.pipeline_file) == ("shop", "shop.yaml")
    assert (record.lower, record.upper) == ("*", "2014-09-02")
    counts = (record.files, record.rows_read, record.rows_loaded)
    assert (*counts, record.rows_rejected, record.rows_dropped) == (2, 6, 2, 2, 2)
    assert record.started <= record.beat <= record.ended
    with open(f"{record.folder}/report.json") as report:
        assert json.load(report)["run_id"] == record.run_id
    # Nothing new is no run.
    shop.run("--to", "2014-09-02")
    assert shop.records() == [record]
    assert lock.holder_of(doors.key_of_plan(shop.plan()[0])) is None


def test_runs_that_fail_say_how(shop):
    shop.add(3, "1,1\n" + "bad\n" * 9)
    shop.run("--set", "rejects.limit=50%", code=4)
    shop.add(3, '1,1\n"')
    (shop.folder / "lake/p_20140904.csv").write_bytes(b"\x1f\x8bbroken")
    shop.run("--set", "rejects.limit=100%", code=3)
    shop.add(1, "7,7\n")
    shop.run(code=3)
    shop.run("--from", "nonsense", code=2)
    shop.run("--set", "clean=[{sql: select nothing from records}]", code=2)
    shop.write(PIPELINE.replace("shop.duckdb", "no/such/folder.duckdb"))
    steps, conflict, broken, many = shop.records()
    assert [r.exit_code for r in (steps, conflict, broken, many)] == [2, 3, 3, 4]
    assert {r.state for r in shop.records()} == {State.FAILED}
    assert "were rejected, more than the limit 50%; nothing was published" in many.error
    assert shop.events(many) == ["planned", "begin", "fail"]
    assert shop.events(broken) == [*FORWARD[:-1], "fail"]
    assert broken.files == 3
    assert broken.error
    assert shop.events(conflict) == ["planned", "fail"]
    assert "changed" in conflict.error
    assert "nothing" in steps.error
    assert shop.loaded().keys() == {"01", "02", "03"}


def test_a_late_file_for_an_old_date_is_found_by_what_the_ledger_lacks(shop):
    (shop.folder / "lake/p_20140902.csv").unlink()
    shop.run()
    assert shop.loaded().keys() == {"01", "03"}
    shop.add(2)
    shop.run("--since", "2014-09-03")
    assert shop.loaded().keys() == {"01", "03"}
    shop.run("--since", "2014-09-02")
    assert shop.loaded().keys() == {"01", "02", "03"}
    assert [r.lower for r in shop.records()] == ["2014-09-02", "*"]


def test_dates_are_those_of_the_zone_that_is_given(shop, capsys, monkeypatch):
    noon = 1409659200.0  # 2014-09-02 12:00 UTC
    monkeypatch.setattr("ess_dask.pipelines.window.time.time", lambda: noon)
    for words, lower in {
        ("--date", "yesterday"): "2014-09-01",
        ("--date", "yesterday", "--timezone", "Pacific/Kiritimati"): "2014-09-02",
    }.items():
        shop.run(*words, "--json", command_="plan")
        plan = json.loads(capsys.readouterr().out)
        assert (plan["lower"], plan["upper"]) == (lower, lower)
        (file,) = plan["files"]["new"]
        assert file["uri"].endswith(f"p_{lower.replace('-', '')}.csv")
    shop.run("--date", "today", "--from", "2014", code=2)
    shop.run("--since", "today", "--timezone", "Mars", code=2, command_="plan")


def test_since_the_last_success_is_since_the_day_on_which_it_began(shop, capsys):
    def lower():
        capsys.readouterr()
        shop.run("--since", "last-success", "--json", command_="plan")
        return json.loads(capsys.readouterr().out)["lower"]

    assert lower() == "*"
    # What had an upper bound did not take all there was.
    shop.run("--to", "2014-09-01")
    assert lower() == "*"
    shop.run()
    assert lower() == time.strftime("%Y-%m-%d", time.gmtime(shop.records()[0].started))
    shop.add(4, "bad\n" * 9)
    shop.run(code=4)
    assert lower() == time.strftime("%Y-%m-%d", time.gmtime(shop.records()[1].started))


def test_changed_files_go_by_the_policy_that_is_given(shop):
    shop.run()
    shop.add(2, "1,1\n2,2\n")
    shop.run(code=3)
    shop.run("--on-change", "fail", code=3)
    shop.run("--on-change", "ignore")
    assert shop.loaded()["02"] == 1
    shop.run("--on-change", "reprocess")
    assert shop.loaded()["02"] == 2
    shop.run()
    shop.write(PIPELINE.replace("load:", "memory: {table: a.b, key: id}\n#"))
    shop.run("--on-change", "ignore", "--dry-run", code=2)


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_a_state_that_is_lost_gets_its_runs_from_the_ledger(shop, capsys, harm):
    shop.run("--to", "2014-09-01")
    shop.run("--to", "2014-09-02")
    before = shop.records()
    state = shop.folder / "state" / "catalog.db"
    if harm == "gone":
        state.unlink()
    else:
        state.write_bytes(b"rubbish " * 1000)
    shop.run()
    assert ("kept as catalog.db.corrupt-" in capsys.readouterr().err) is (harm == "damaged")
    new, *after = shop.records()
    assert (new.files, new.state) == (1, State.DONE)
    for old, found in zip(before, after, strict=True):
        same = ("run_id", "state", "digest", "files", "rows_loaded", "rows_rejected", "target")
        assert [getattr(found, n) for n in same] == [getattr(old, n) for n in same]
        assert abs(found.ended - old.ended) < 5
    assert shop.loaded() == {"01": 1, "02": 1, "03": 1}
    assert len({record.run_id for record in shop.records()}) == 3


def test_a_plan_is_run_as_it_was_made_and_only_for_what_is_still_missing(shop):
    plan, settings = shop.plan()
    shop.write(PIPELINE.replace("v > 0", "v > 99"))
    shop.add(4)
    assert run_plan(plan, settings).files == 3
    assert shop.loaded() == {"01": 1, "02": 1, "03": 1}
    assert shop.records()[0].digest == plan.digest
    again = run_plan(plan, settings)
    assert (again.files, again.rows_loaded, again.exit_code) == (0, 0, 0)
    assert shop.loaded() == {"01": 1, "02": 1, "03": 1}


def test_a_run_that_was_taken_for_dead_publishes_nothing(shop):
    plan, settings = shop.plan()

    def end_it(_):
        with open_journal() as journal:
            journal.append(journal.records()[0].run_id, "lost", State.INTERRUPTED)

    with pytest.raises(LockedError, match="was ended by another process"):
        run_plan(plan, settings, Listener(watch=end_it))
    assert not (shop.folder / "shop.duckdb").exists()
    assert [record.state for record in shop.records()] == [State.INTERRUPTED]


def test_a_run_says_that_it_lives_and_stops_to(shop, monkeypatch):
    monkeypatch.setattr(course, "BEAT_SECONDS", 0.05)
    plan, settings = shop.plan()
    beats = []

    def look(_):
        begun = time.monotonic()
        while time.monotonic() - begun < 20 and len(set(beats)) < 3:
            (record,) = shop.records()
            holder = lock.holder_of(doors.key_of_plan(plan))
            assert (holder.run_id, record.state) == (record.run_id, State.RUNNING)
            if holder.beat > holder.since and record.beat > record.started:
                beats.append(holder.beat)

    run_plan(plan, settings, Listener(watch=look))
    assert len(set(beats)) >= 3
    assert "ess-heartbeat" not in {thread.name for thread in threading.enumerate()}


def test_runs_from_python_go_through_the_same_door(shop):
    import ess_dask

    files = ess_dask.select("lake").category("c", "p_*.csv", columns={"id": "int32", "v": "int32"})
    files.all().load("duckdb:///other.duckdb", table="t", pipeline="mine", rejects="50%")
    (record,) = shop.records()
    assert (record.pipeline, record.pipeline_file, record.state) == ("mine", "", State.DONE)
    with doors.open_door(doors.key_of_plan(shop.plan()[0]), shop.plan()[1], doors.Order(), print):
        with pytest.raises(LockedError, match="the pipeline is held: run"):
            ess_dask.run_pipeline("shop.yaml")
        with pytest.raises(LockedError):
            ess_dask.run_pipeline("shop.yaml", wait=0.3)
    report = ess_dask.run_pipeline("shop.yaml")
    assert shop.records()[0].run_id == report.run_id
