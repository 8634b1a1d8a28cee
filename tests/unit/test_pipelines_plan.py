"""The plan of a run as a value: what it reads, how it is shown, and that it keeps secrets out."""

import dataclasses
import json
import time
from datetime import datetime

import pytest

from ess_dask.catalog.bounds import Bounds
from ess_dask.catalog.model import FileRef
from ess_dask.catalog.selection import Selection
from ess_dask.pipelines import prepare
from ess_dask.pipelines.load import open_pipeline
from ess_dask.pipelines.plan import SHOWN_FILES, RunPlan


def file(day, size=1024):
    return FileRef(
        f"/lake/p_{day}.gz", datetime.fromisoformat(f"2014-09-{day:02d}"), size, f"tag{day}"
    )


def plan(**changes):
    given = {
        "pipeline": "shop",
        "digest": "0123456789abcdef",
        "store": "/lake",
        "new": (file(1), file(3)),
    }
    return RunPlan(**given | changes)


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan().new = ()


def test_it_reads_new_files():
    assert plan(done=(file(2),)).files == (file(1), file(3))
    assert plan(done=(file(2),)).size == 2048


@pytest.mark.parametrize(
    ("policy", "days"), [("fail", [1, 3]), ("ignore", [1, 3]), ("reprocess", [1, 2, 3])]
)
def test_changed_files_are_read_only_to_be_reprocessed(policy, days):
    got = plan(changed=(file(2),), on_change=policy)
    assert [each.date.day for each in got.files] == days


@pytest.mark.parametrize(
    "dates",
    [
        (None, 10, 9),
        (None, datetime.fromisoformat("2014-09-02"), datetime.fromisoformat("2014-09-01")),
    ],
)
def test_reprocessed_files_are_in_the_order_of_the_catalogue(dates):
    undated, late, early = (FileRef(f"/lake/{date}", date, 1, "t") for date in dates)
    got = plan(new=(late, undated), changed=(early,), on_change="reprocess")
    assert got.files == (early, late, undated)


def test_nothing_new():
    got = plan(new=(), done=(file(1),))
    assert got.is_empty
    assert "1 file already loaded" in got.render()
    assert "nothing new" in got.render()


def test_the_text_has_all_a_person_asks():
    text = plan(
        done=(file(2),),
        changed=(file(4),),
        batches=1,
        target="duckdb:///w.duckdb",
        table="sales",
        mode="append",
        memory="wood.sales",
        steps=("sql: select 1",),
        ddl=("CREATE TABLE sales (a INTEGER)",),
        warnings=("2 files hold no date",),
        estimated_seconds=12.34,
    ).render()
    for words in (
        "2 files new",
        "/lake/p_1.gz  1.0 KiB",
        "1 file changed since they were loaded (policy: fail)",
        "2.0 KiB in 1 batch",
        "append to sales in duckdb:///w.duckdb",
        "wood.sales",
        "sql: select 1",
        "CREATE TABLE sales",
        "2 files hold no date",
        "about 12.3s",
    ):
        assert words in text
    assert text.endswith("\n")


def test_many_files_are_counted_not_listed():
    files = tuple(file(day) for day in range(1, 31))
    text = plan(new=files).render()
    assert text.count("/lake/p_") == SHOWN_FILES
    assert f"... and {30 - SHOWN_FILES} more" in text


def test_a_name_cannot_steer_the_terminal_or_begin_a_line():
    odd = FileRef("/lake/a\x1b]0;x\x07\nwarning   b.gz", None, 1, "t")
    lines = plan(new=(odd,)).render().splitlines()
    assert lines[3] == f"{'':12}/lake/a\\x1b]0;x\\x07\\x0awarning   b.gz  1 B"
    assert not any(line.startswith("warning") for line in lines)


def test_json_has_every_file():
    files = tuple(file(day) for day in range(1, 31))
    got = json.loads(json.dumps(plan(new=files).to_dict()))
    assert len(got["files"]["new"]) == 30
    assert got["files"]["new"][0] == {
        "uri": "/lake/p_1.gz",
        "date": "2014-09-01T00:00:00",
        "size": 1024,
        "etag": "tag1",
    }
    assert got["bytes"] == 30 * 1024


MANY = """\
name: many
source: {store: "s3://lake", category: c, pattern: "*.csv", columns: {a: int32}}
"""


def test_a_plan_of_many_files_takes_a_moment(monkeypatch, tmp_path):
    files = tuple(FileRef(f"s3://lake/f{number}.csv", None, 9, "v1") for number in range(20_000))
    monkeypatch.setattr(prepare, "select_window", lambda *_: (Bounds(), Selection(files)))
    (tmp_path / "p.yaml").write_text(MANY)
    opened = open_pipeline(str(tmp_path / "p.yaml"))
    before = time.process_time()
    made = prepare.make_plan(opened.pipeline, tmp_path, opened.settings)
    assert len(made.new) == len(made.files) == 20_000
    # Two sets made anew for each file took 25 seconds.
    assert time.process_time() - before < 5
