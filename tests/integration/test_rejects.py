"""Rejected rows from outside: listed, shown, replayed once the pipeline is mended."""

import csv
import io
import json
import os
import signal
import time
import zipfile

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

STRICT = """
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

MENDED = {
    "articleID: int32": "articleID: string",
    "refID: int32": "refID: string",
    "  - sql: select * from records where price > 0": (
        "  - sql: |\n"
        "      select * replace (try_cast(articleID as integer) as articleID,\n"
        "                        try_cast(refID as integer) as refID)\n"
        "      from records where price > 0"
    ),
}
"""The repair: the columns are texts, and what is no number ('TBD') becomes null."""


def write(user, store, **changes):
    text = STRICT.format(store=store)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (user.folder / "shop.yaml").write_text(text)


def rows(user, query):
    with duckdb.connect(str(user.folder / "shop.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def answer(user, *args, **more):
    return json.loads(user.ess(*args, "--json", **more).stdout)


def standing(user, *args):
    return answer(user, "rejects", "show", "shop.yaml", *args)


def test_mended_rows_are_loaded_once_and_the_account_adds_up(user, small_lake):
    folder, lake = small_lake
    write(user, folder)
    first = answer(user, "run", "shop.yaml")
    numbers = sum(count for reason, count in first["reasons"].items() if "int32" in reason)
    assert 0 < numbers < lake.bad
    before = standing(user)
    assert len(before) == lake.bad

    write(user, folder, **MENDED)
    tried = answer(user, "rejects", "replay", "shop.yaml", "--dry-run")
    assert (tried["standing"], tried["read"], tried["would_load"]) == (lake.bad, lake.bad, numbers)
    assert standing(user) == before

    replayed = answer(user, "rejects", "replay", "shop.yaml")
    assert replayed["rows_read"] == lake.bad
    assert replayed["rows_loaded"] == numbers
    assert replayed["rows_rejected"] == lake.bad - numbers
    loaded = rows(user, "select count(*) from sales")[0][0]
    assert loaded == lake.loadable + numbers
    assert loaded + len(standing(user)) + lake.free == lake.purchases
    assert not any("int32" in row["reason"] for row in standing(user))
    # The file and the values are those of the rejected row.
    raw = {(row["uri"], row["raw"].split(",")[1]) for row in before if "int32" in row["reason"]}
    query = f"select _ess_file, userID from sales where _ess_load = '{replayed['run_id']}'"
    assert set(rows(user, query)) == raw
    ledger = "select sum(rows_loaded), count(*) filter (part <> '') from _ess_ledger"
    assert rows(user, ledger)[0][0] == loaded

    again = answer(user, "rejects", "replay", "shop.yaml")
    assert (again["state"], again["rows_loaded"]) == ("nothing new", 0)
    assert answer(user, "run", "shop.yaml")["state"] == "nothing new"
    assert rows(user, "select count(*) from sales") == [(loaded,)]
    forced = answer(user, "rejects", "replay", "shop.yaml", "--again")
    assert (forced["rows_read"], forced["rows_loaded"]) == (lake.bad - numbers, 0)
    assert len(standing(user)) == lake.bad - numbers


def test_the_real_files_replay_to_every_row(user, woodworking):
    write(user, woodworking)
    assert answer(user, "run", "shop.yaml")["rows_rejected"] == 658
    write(user, woodworking, **MENDED)
    done = answer(user, "rejects", "replay", "shop.yaml")
    assert (done["rows_loaded"], done["rows_rejected"]) == (658, 0)
    assert rows(user, "select count(*) from sales") == [(41_031,)]
    assert standing(user) == []


def test_an_unmended_pipeline_reads_nothing_again(user, small_lake):
    folder, lake = small_lake
    write(user, folder)
    user.ess("run", "shop.yaml")
    done = user.ess("rejects", "replay", "shop.yaml")
    assert "nothing to replay" in done.stdout
    assert f"{lake.bad} rejected rows are left" in done.stderr
    assert len(rows(user, "from _ess_loads")) == 1


def test_a_repair_that_does_not_fit_the_table_changes_nothing(user, small_lake):
    folder, lake = small_lake
    write(user, folder)
    user.ess("run", "shop.yaml")
    write(user, folder, **{"refID: int32": "refID: string"})
    done = user.ess("rejects", "replay", "shop.yaml", code=3)
    assert "refID" in done.stderr
    assert len(standing(user)) == lake.bad


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
def test_a_replay_that_is_killed_and_run_again_loads_every_row_once(user, small_lake, delay):
    folder, lake = small_lake
    write(user, folder)
    first = answer(user, "run", "shop.yaml")
    numbers = sum(count for reason, count in first["reasons"].items() if "int32" in reason)
    write(user, folder, **MENDED)
    slow = {"ESS_THREADS": "1", "ESS_BATCH_BYTES": "1KiB"}
    child = user.start("rejects", "replay", "shop.yaml", env=slow, start_new_session=True)
    runs = user.home / ".ess" / "runs"
    deadline = time.monotonic() + 60
    while len(list(runs.iterdir())) < 2 and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(delay)
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    user.ess("rejects", "replay", "shop.yaml")
    assert rows(user, "select count(*) from sales") == [(lake.loadable + numbers,)]
    assert len(standing(user)) == lake.bad - numbers
    parts = rows(user, "select count(*), count(distinct (uri, part)) from _ess_ledger")
    assert parts[0][0] == parts[0][1]


def test_replace_loads_the_files_anew_with_what_was_replayed(user, small_lake):
    folder, _ = small_lake
    changes = MENDED | {"table: sales}": "table: sales, mode: replace}"}
    write(user, folder, **{"table: sales}": changes["table: sales}"]})
    user.ess("run", "shop.yaml")
    write(user, folder, **changes)
    user.ess("rejects", "replay", "shop.yaml")
    after = rows(user, "select count(*) from sales")
    rejected = len(standing(user))
    user.ess("run", "shop.yaml")
    assert rows(user, "select count(*) from sales") == after
    assert len(standing(user)) == rejected


def test_only_the_rows_of_one_run_are_replayed(user, small_lake):
    folder, lake = small_lake
    write(user, folder)
    first = answer(user, "run", "shop.yaml", "--to", "2014-09-08")
    second = answer(user, "run", "shop.yaml")
    write(user, folder, **MENDED)
    done = answer(user, "rejects", "replay", "shop.yaml", "--run", first["run_id"])
    assert done["rows_read"] == first["rows_rejected"] < lake.bad
    listed = answer(user, "rejects", "list", "shop.yaml")
    still = {each["run"]: each["standing"] for each in listed}
    assert still[first["run_id"]] == 0
    assert still[second["run_id"]] == second["rows_rejected"]


# List and show


def test_runs_are_listed_with_reasons_also_when_the_limit_stopped_them(user, small_lake):
    folder, lake = small_lake
    write(user, folder, **{'"5%"': '"0.1%"'})
    stopped = user.ess("run", "shop.yaml", code=4)
    run = stopped.stderr.split("ess rejects show ")[1].split()[0]
    (line,) = user.ess("rejects", "list").stdout.splitlines()[1:]
    assert line.startswith(run)
    assert "too many rejects" in line
    listed = answer(user, "rejects", "list", "shop")
    assert sum(each["count"] for each in listed) == lake.bad
    assert {each["run"] for each in listed} == {run}
    assert len(answer(user, "rejects", "show", run)) == lake.bad
    assert len(answer(user, "rejects", "show", "shop.yaml")) == lake.bad
    report = json.loads((user.home / ".ess" / "runs" / run / "report.json").read_text())
    assert (report["state"], report["rows_loaded"], report["exit_code"]) == (
        "too many rejects", 0, 4,
    )  # fmt: skip
    assert "no run or pipeline" in user.ess("rejects", "list", "other", code=2).stderr
    assert answer(user, "rejects", "list", "--run", run) == listed


def test_rows_are_filtered_and_printed_in_every_format(user, small_lake):
    folder, lake = small_lake
    write(user, folder)
    run = answer(user, "run", "shop.yaml")["run_id"]
    show = ("rejects", "show", run)
    every = answer(user, *show)
    few = answer(user, *show, "--reason", "REFID: not an int32")
    assert 0 < len(few) < lake.bad
    assert {row["column"] for row in few} == {"refID"}
    one_day = answer(user, *show, "--file", "purchase_20140903*")
    assert {row["uri"].rpartition("/")[2] for row in one_day} == {"purchase_20140903.csv.gz"}
    assert len(answer(user, *show, "--limit", "3")) == 3
    printed = user.ess(*show, "--format", "csv").stdout
    assert next(csv.DictReader(io.StringIO(printed)))["raw"] == every[0]["raw"]
    lines = user.ess(*show, "--format", "ndjson").stdout.splitlines()
    assert [json.loads(line) for line in lines] == every
    child = user.start(*show, "--format", "parquet")
    table = pq.read_table(pa.BufferReader(child.communicate()[0]))
    assert table.num_rows == lake.bad
    assert table.schema.field("raw").type == pa.binary()


def test_bytes_cannot_steer_the_terminal(user):
    lake = user.folder / "lake"
    lake.mkdir()
    (lake / "a_20140901.csv").write_bytes(b"a,b\nx\x1b[2J,\xff\n1,ok\n")
    (user.folder / "p.yaml").write_text(
        "name: p\nsource: {store: ./lake, category: a, pattern: '*.csv', columns: {a: int32}}\n"
        "load: {to: 'duckdb:///w.duckdb', table: t}\nrejects: {limit: '99%'}\n"
    )
    user.ess("run", "p.yaml")
    table = user.ess("rejects", "show", "p.yaml").stdout
    assert "\x1b" not in table
    assert r"x\x1b[2J,\xff" in table
    (row,) = answer(user, "rejects", "show", "p.yaml")
    assert row["raw"] == "x\x1b[2J,\\xff"


def test_a_warehouse_tells_when_the_folder_is_gone(user, small_lake):
    folder, lake = small_lake
    write(user, folder)
    run = answer(user, "run", "shop.yaml")["run_id"]
    for path in (user.home / ".ess" / "runs" / run / "rejects").iterdir():
        path.unlink()
    url = ("--warehouse", "duckdb:///shop.duckdb")
    assert answer(user, "rejects", "list") == []
    listed = answer(user, "rejects", "list", *url)
    assert {(each["run"], each["state"], each["standing"]) for each in listed} == {
        (run, "loaded", lake.bad)
    }
    assert len(answer(user, "rejects", "show", run, *url)) == lake.bad


# What can be replayed


def archive(path, **members):
    with zipfile.ZipFile(path, "w") as file:
        for name, text in members.items():
            file.writestr(f"{name}.csv", text)


def small_pipeline(user, source, **more):
    lines = {"name": "p", "source": source, "rejects": "{limit: '99%'}"}
    lines["load"] = "{to: 'duckdb:///shop.duckdb', table: t}"
    lines |= more
    (user.folder / "shop.yaml").write_text("".join(f"{k}: {v}\n" for k, v in lines.items()))


def test_members_and_columns_in_another_order_find_their_titles(user):
    lake = user.folder / "lake"
    lake.mkdir()
    archive(lake / "a_20140901.zip", one="id,name\n1,a\nTBD,b\n", two="name,id\nc,3\nd,x\n")
    source = "{{store: ./lake, category: a, pattern: '*.zip', columns: {{id: {}, name: string}}}}"
    small_pipeline(user, source.format("int32"))
    assert answer(user, "run", "shop.yaml")["rows_loaded"] == 2
    clean = "[sql: select * replace (try_cast(id as integer) as id) from records]"
    small_pipeline(user, source.format("string"), clean=clean)
    assert [row["member"] for row in standing(user)] == ["one.csv", "two.csv"]
    assert answer(user, "rejects", "replay", "shop.yaml")["rows_loaded"] == 2
    assert rows(user, "select name from t order by name") == [("a",), ("b",), ("c",), ("d",)]


def test_shell_steps_are_not_run_again_and_that_is_said(user):
    lake = user.folder / "lake"
    lake.mkdir()
    (lake / "a_20140901.csv").write_text("id;name\n1;a\nTBD;b\n")
    source = "{{store: ./lake, category: a, pattern: '*.csv', columns: {{id: {}, name: string}}}}"
    small_pipeline(user, source.format("int32"), clean="[shell: \"tr ';' ,\"]")
    user.ess("run", "shop.yaml")
    # Run again, it would rename b: the text is read as the first shell step had left it.
    clean = (
        "\n  - shell: tr ';' , | sed s/b/z/"
        "\n  - sql: select try_cast(id as integer) id, name from records"
    )
    small_pipeline(user, source.format("string"), clean=clean)
    done = user.ess("rejects", "replay", "shop.yaml")
    assert "shell steps are not run again" in done.stderr
    assert rows(user, "select id, name from t order by name") == [(1, "a"), (None, "b")]


def test_a_text_that_was_cut_is_counted_and_left(user):
    lake = user.folder / "lake"
    lake.mkdir()
    long = "y" * 70_000
    (lake / "a_20140901.csv").write_text(f"id,name\n1,a\nTBD,{long}\nTBD,b\n")
    source = "{{store: ./lake, category: a, pattern: '*.csv', columns: {{id: {}, name: string}}}}"
    small_pipeline(user, source.format("int32"))
    user.ess("run", "shop.yaml")
    clean = "[sql: select * replace (try_cast(id as integer) as id) from records]"
    small_pipeline(user, source.format("string"), clean=clean)
    done = user.ess("rejects", "replay", "shop.yaml")
    assert "1 rejected rows cannot be replayed" in done.stderr
    assert rows(user, "select name from t order by name") == [("a",), ("b",)]
    assert len(standing(user)) == 1


def test_the_date_of_the_file_is_still_known(user):
    lake = user.folder / "lake"
    lake.mkdir()
    (lake / "a_20140901.csv").write_text("id\n1\nTBD\n")
    source = (
        "{{store: ./lake, category: a, pattern: '*.csv', columns: {{id: {}}}, "
        "file_columns: [file_date, file_uri]}}"
    )
    small_pipeline(user, source.format("int32"))
    user.ess("run", "shop.yaml")
    # The file itself is not needed for a replay.
    (lake / "a_20140901.csv").unlink()
    clean = "[sql: select * replace (try_cast(id as integer) as id) from records]"
    small_pipeline(user, source.format("string"), clean=clean)
    user.ess("rejects", "replay", "shop.yaml")
    query = "select id, file_date::varchar, file_uri = _ess_file from t order by id nulls last"
    assert rows(user, query) == [(1, "2014-09-01", True), (None, "2014-09-01", True)]


def test_nothing_is_kept_when_that_is_asked_for(user, small_lake):
    folder, lake = small_lake
    write(user, folder, **{'{limit: "5%"}': '{limit: "5%", keep: false}'})
    report = answer(user, "run", "shop.yaml")
    assert (report["rows_rejected"], report["rows_loaded"]) == (lake.bad, lake.loadable)
    assert sum(report["reasons"].values()) == lake.bad
    assert report["rejects"] == ""
    refused = user.ess("run", "shop.yaml", *("--set", "rejects.limit=0"),
                       *("--set", "load.table=other"), code=4)  # fmt: skip
    assert "hint: they were not kept" in refused.stderr
    assert not list((user.home / ".ess" / "runs").glob("*/rejects/*"))
    assert rows(user, "select count(*) from _ess_rejects") == [(0,)]
    assert rows(user, "select sum(rows_rejected) from _ess_ledger") == [(lake.bad,)]
    assert standing(user) == []
    assert "nothing to replay" in user.ess("rejects", "replay", "shop.yaml").stdout


# Mistakes


def test_mistakes_get_one_clear_message(user, small_lake):
    folder, _ = small_lake
    write(user, folder)
    cases = [
        (("show", "20140901T000000-00000000"), 2, "no run or pipeline"),
        (("show", "TYPO"), 2, "no run or pipeline 'TYPO'"),
        (("list", "TYPO"), 2, "no run or pipeline 'TYPO'"),
        (("list", "--run", "20140901T000000-00000000"), 2, "no run or pipeline"),
        (("show", "woodworkin"), 2, "did you mean 'woodworking'?"),
        (("show", "./none.yaml"), 2, "none.yaml"),
        (("replay", "none.yaml"), 2, "none.yaml"),
        (("list", "--warehouse", "nosuch://x"), 2, "nosuch"),
        (("show", "shop.yaml", "--limit", "-1"), 2, "-1"),
    ]
    for args, code, words in cases:
        assert words in user.ess("rejects", *args, code=code).stderr, args


def test_a_pipeline_that_rejected_nothing_is_known_all_the_same(user):
    (user.folder / "f_20140901.csv").write_text("a,b\n1,2\n")
    user.ess("init", "p.yaml", "--store", ".", "--pattern", "f_*.csv", "--to", "duckdb:///w.duckdb")
    user.ess("run", "p.yaml")
    (user.home / ".ess" / "runs" / "note.txt").write_text("a file of somebody's own")
    for name in ("f", "p.yaml"):
        assert user.ess("rejects", "show", name).stdout.splitlines()[1:] == []
        assert user.ess("rejects", "list", name).stdout.splitlines()[1:] == []
    [run] = (path.parent.name for path in (user.home / ".ess" / "runs").glob("*/report.json"))
    said = user.ess("rejects", "show", run[:-1] + "x", code=2).stderr
    assert f"did you mean {run!r}?" in said


def test_a_pipeline_without_a_warehouse_has_nothing_to_replay(user, small_lake):
    folder, _ = small_lake
    write(user, folder, **{'load: {to: "duckdb:///shop.duckdb", table: sales}\n': ""})
    assert "loads no warehouse" in user.ess("rejects", "replay", "shop.yaml", code=2).stderr


def test_a_step_that_sees_whole_files_is_refused(user, small_lake):
    folder, _ = small_lake
    write(user, folder)
    user.ess("run", "shop.yaml")
    step = "  - sql: {query: select * from records where price > 0, per: file}"
    write(user, folder, **{"  - sql: select * from records where price > 0": step})
    done = user.ess("rejects", "replay", "shop.yaml", code=2)
    assert "sees whole files" in done.stderr
    assert "load.mode=replace" in done.stderr
