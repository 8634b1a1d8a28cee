"""The main job from outside: files in, a loaded warehouse out, run twice, killed in the middle."""

import json
import os
import re
import shutil
import signal
import time

import duckdb
import pyarrow.parquet as pq
import pytest

PIPELINE = """
name: shop
source:
  store: {store}
  category: purchase
  pattern: "*purchase_*.gz"
  columns:
    {{purchaseDate: timestamp, userID: string, articleID: int32, price: float64, refID: int32}}
clean:
  - sql: select * from records where price > 0
load: {{to: "duckdb:///shop.duckdb", table: sales}}
rejects: {{limit: "5%"}}
"""


def rows(user, query, warehouse="shop.duckdb"):
    with duckdb.connect(str(user.folder / warehouse), read_only=True) as connection:
        return connection.execute(query).fetchall()


def write_pipeline(user, store, **changes):
    text = PIPELINE.format(store=store)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (user.folder / "shop.yaml").write_text(text)


def report_of(user, *args, **more):
    return json.loads(user.ess("run", "shop.yaml", "--json", *args, **more).stdout)


def test_real_files_load_once_with_every_row_accounted_for(user, woodworking):
    run = ["run", "woodworking", "--set", f"source.store={woodworking}", "--json"]
    report = json.loads(user.ess(*run).stdout)
    assert (report["rows_read"], report["rows_loaded"]) == (41_031, 40_373)
    assert report["reasons"] == {"refID: not an int32": 658}
    assert report["rows_dropped"] == 0
    loaded = rows(user, "select count(*), count(distinct _ess_file) from sales", "warehouse.duckdb")
    assert loaded == [(40_373, 30)]
    ledger = rows(user, "select count(*), sum(rows_loaded) from _ess_ledger", "warehouse.duckdb")
    assert ledger == [(30, 40_373)]
    again = json.loads(user.ess(*run).stdout)
    assert (again["state"], again["rows_loaded"]) == ("nothing new", 0)
    assert rows(user, "select count(*) from sales", "warehouse.duckdb") == [(40_373,)]
    rejected = rows(user, "select uri, line, reason, raw from _ess_rejects", "warehouse.duckdb")
    assert len(rejected) == 658
    uri, line, reason, raw = rejected[0]
    assert "TBD" in reason
    import gzip

    with gzip.open(uri) as file:
        assert file.read().splitlines()[line - 1] == bytes(raw).rstrip(b"\r\n")


def test_the_account_of_a_dirty_lake_is_exact(user, small_lake):
    folder, lake = small_lake
    write_pipeline(user, folder)
    report = report_of(user)
    assert report["rows_read"] == lake.purchases
    assert report["rows_loaded"] == lake.loadable
    assert report["rows_rejected"] == lake.bad == sum(report["reasons"].values())
    assert report["rows_dropped"] == lake.free
    assert rows(user, "select count(*) from sales") == [(lake.loadable,)]
    assert rows(user, "select count(*) from _ess_rejects") == [(lake.bad,)]


def test_only_new_files_are_loaded_and_a_changed_one_stops_the_run(user, small_lake, tmp_path):
    source, _ = small_lake
    lake = tmp_path / "lake"
    lake.mkdir()
    names = sorted(path.name for path in source.glob("purchase_*"))
    for name in names[:5]:
        shutil.copy(source / name, lake / name)
    write_pipeline(user, lake)
    assert report_of(user)["files"] == 5
    for name in names[5:7]:
        shutil.copy(source / name, lake / name)
    second = report_of(user)
    assert (second["files"], second["files_done"]) == (2, 5)
    before = rows(user, "select count(*) from sales")
    shutil.copy(source / names[9], lake / names[0])
    failed = user.ess("run", "shop.yaml", code=3)
    assert names[0] in failed.stderr
    assert "reprocess" in failed.stderr
    assert rows(user, "select count(*) from sales") == before
    changed = report_of(user, "--set", "load.on_change=reprocess")
    assert changed["files"] == 1
    assert rows(user, "select count(distinct _ess_file) from sales") == [(7,)]


def test_a_date_range_selects_files_and_replace_loads_it_again(user, small_lake):
    folder, _ = small_lake
    write_pipeline(user, folder)
    window = ("--from", "2014-09-03", "--to", "2014-09-05")
    assert report_of(user, *window)["files"] == 3
    assert report_of(user, *window)["state"] == "nothing new"
    count = rows(user, "select count(*) from sales")
    replaced = report_of(user, *window, "--set", "load.mode=replace")
    assert replaced["files"] == 3
    assert rows(user, "select count(*) from sales") == count
    wrong = user.ess("run", "shop.yaml", "--from", "2014-09-05", "--to", "2014-09-03", code=2)
    assert "2014-09-05" in wrong.stderr


@pytest.mark.slow
def test_replacing_keeps_the_rows_of_a_file_that_fails(user, small_lake, tmp_path):
    source, _ = small_lake
    lake = tmp_path / "lake"
    lake.mkdir()
    for day in (3, 4, 5):
        shutil.copy(source / f"purchase_2014090{day}.csv.gz", lake)
    write_pipeline(user, lake, **{"table: sales": "table: sales, mode: replace"})
    user.ess("run", "shop.yaml")
    kept = rows(user, "select count(*) from sales where _ess_file like '%20140904%'")
    (lake / "purchase_20140904.csv.gz").write_bytes(b"\x1f\x8b\x08")
    (lake / "purchase_20140905.csv.gz").unlink()
    failed = json.loads(user.ess("run", "shop.yaml", "--json", code=3).stdout)["failed"]
    assert ["20140904" in each["uri"] for each in failed] == [True]
    assert rows(user, "select count(*) from sales where _ess_file like '%20140904%'") == kept
    assert rows(user, "select count(distinct _ess_file) from sales") == [(2,)]


@pytest.mark.slow
@pytest.mark.quick
def test_a_dry_run_and_a_plan_write_nothing(user, small_lake):
    folder, _ = small_lake
    write_pipeline(user, folder)
    shown = user.ess("plan", "shop.yaml").stdout
    assert "16 files new" in shown
    assert "CREATE TABLE" in shown
    assert user.ess("run", "shop.yaml", "--dry-run").stdout == shown
    assert not (user.folder / "shop.duckdb").exists()
    plan = json.loads(user.ess("plan", "shop.yaml", "--json").stdout)
    assert len(plan["files"]["new"]) == 16
    # Starting takes longer than so few rows.
    assert 1 < plan["estimated_seconds"] < 2


def test_too_many_rejects_publish_nothing_and_keep_the_rejects(user, small_lake):
    folder, lake = small_lake
    write_pipeline(user, folder, **{'"5%"': '"0.1%"'})
    done = user.ess("run", "shop.yaml", code=4)
    assert f"{lake.bad:,}" in done.stderr
    assert "nothing was published" in done.stderr
    assert not (user.folder / "shop.duckdb").exists()
    kept = list((user.home / ".ess" / "runs").glob("*/rejects/*.parquet"))
    assert kept
    assert sum(pq.read_metadata(path).num_rows for path in kept) == lake.bad


@pytest.mark.parametrize("delay", [0.0, 0.25, 0.5])
def test_killed_at_any_time_and_run_again_gives_every_row_once(user, small_lake, delay):
    folder, lake = small_lake
    write_pipeline(user, folder)
    settings = {"ESS_BATCH_BYTES": "4KiB", "ESS_THREADS": "1"}
    child = user.start("run", "shop.yaml", env=settings, start_new_session=True)
    deadline = time.monotonic() + 60
    stage = user.home / ".ess" / "runs"
    while not list(stage.glob("*/stage/*")) and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(delay)
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    report = report_of(user)
    assert report["exit_code"] == 0
    assert rows(user, "select count(*), count(distinct _ess_file) from sales") == [
        (lake.loadable, 16)
    ]
    assert rows(user, "select count(*) from _ess_rejects") == [(lake.bad,)]


def test_the_same_rows_in_the_same_order_whatever_the_workers_and_batches(user, small_lake):
    folder, _ = small_lake
    write_pipeline(user, folder)
    results = []
    for name, env in {
        "one": {"ESS_THREADS": "1", "ESS_BATCH_BYTES": "1GiB"},
        "many": {"ESS_THREADS": "4", "ESS_BATCH_BYTES": "4KiB", "ESS_CHUNK_BYTES": "4KiB"},
    }.items():
        user.ess("run", "shop.yaml", "--set", f"load.to=duckdb:///{name}.duckdb", env=env)
        query = "select * exclude (_ess_load) from sales"
        results.append(rows(user, query, f"{name}.duckdb"))
    assert results[0] == results[1]


BAD_FILES = {
    "truncated": (lambda data: data[:-20], "purchase_20140903"),
    "garbage": (lambda data: data + b"garbage", "purchase_20140903"),
    "flipped": (lambda data: data[:-6] + bytes([data[-6] ^ 1]) + data[-5:], "purchase_20140903"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_broken_file_is_named_and_the_others_are_loaded(user, small_lake, tmp_path, kind):
    source, _ = small_lake
    lake = tmp_path / "lake"
    shutil.copytree(source, lake)
    change, name = BAD_FILES[kind]
    path = lake / f"{name}.csv.gz"
    path.write_bytes(change(path.read_bytes()))
    write_pipeline(user, lake)
    done = user.ess("run", "shop.yaml", "--json", code=3)
    report = json.loads(done.stdout)
    assert [name in each["uri"] for each in report["failed"]] == [True]
    assert report["files"] == 15
    assert rows(user, "select count(*) from sales where _ess_file like '%20140903%'") == [(0,)]
    # Mended, it is the only one that is loaded.
    shutil.copy(source / path.name, path)
    assert report_of(user)["files"] == 1


def test_mistakes_get_one_clear_message(user, small_lake):
    folder, _ = small_lake
    cases = {
        "no such folder": ({}, "/no/such/folder", 2, "/no/such/folder"),
        "unknown column": ({"price > 0": "prize > 0"}, folder, 2, "prize"),
        "column not in the files": ({"refID: int32": "nosuch: int32"}, folder, 3, "nosuch"),
        "not a type": ({"price: float64": "price: float65"}, folder, 2, "float65"),
        "aggregate per batch": ({"select * ": "select count(*) "}, folder, 2, "per: file"),
    }
    for name, (changes, store, code, words) in cases.items():
        write_pipeline(user, store, **changes)
        done = user.ess("run", "shop.yaml", code=None)
        assert done.returncode == code, (name, done.stdout, done.stderr)
        said = done.stderr
        assert words in said, name
        assert not (user.folder / "shop.duckdb").exists() or name == "column not in the files"


@pytest.mark.quick
def test_a_pattern_that_matches_nothing_warns(user, small_lake):
    folder, _ = small_lake
    write_pipeline(user, folder, **{"*purchase_*.gz": "nothing_*"})
    done = user.ess("run", "shop.yaml")
    assert re.search(r"no file .*nothing_\*", done.stderr)
    assert "nothing new" in done.stdout
    assert user.ess("run", "shop.yaml", "--fail-if-empty", code=3).stdout == ""


def test_a_name_that_is_not_utf8_fails_alone_and_is_named(user, small_lake, tmp_path):
    source, _ = small_lake
    lake = tmp_path / "lake"
    shutil.copytree(source, lake)
    odd = os.fsencode(lake) + b"/x\xffpurchase_20140920.csv.gz"
    shutil.copy(os.fsencode(source / "purchase_20140903.csv.gz"), odd)
    write_pipeline(user, lake)
    assert "udcff" in user.ess("plan", "shop.yaml", "--json").stdout
    done = user.ess("run", "shop.yaml", "--json", code=3)
    report = json.loads(done.stdout)
    assert report["files"] == 16
    assert ["not UTF-8" in each["error"] for each in report["failed"]] == [True]
