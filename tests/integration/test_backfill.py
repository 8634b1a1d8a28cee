"""``ess backfill`` from outside: in order, once, resumed by the same command."""

import json
import os
import signal
import sqlite3
from contextlib import closing
from datetime import date, timedelta

import duckdb
import pytest

from ess_dask.testing.clusters import wait_until

pytestmark = pytest.mark.slow

PIPELINE = """\
name: shop
source:
  {{store: ./lake, category: sale, pattern: "sale_*.csv", columns: {{day: date, n: int32}}}}
clean:
{shell}  - sql: select day, n * {factor} as n from records
load: {{table: sales{more}}}
rejects: {{limit: "{limit}"}}
"""
WAIT = """\
  - shell: |
      mktemp begun.XXXXXX >&2
      until test -e go || mv go.1 used || mv go.2 used; do sleep 0.02; done 2>/dev/null
      cat
"""
"""Every file waits for ``go``, or takes ``go.1`` or ``go.2`` for itself."""
FIRST, LAST = date(2014, 1, 30), date(2014, 2, 8)
DAYS = [FIRST + timedelta(days=number) for number in range(10)]


@pytest.fixture
def shop(user):
    """Give a user with ten daily files of ten rows each and a pipeline for them."""
    (user.folder / "lake").mkdir()
    for day in DAYS:
        write(user, day)
    pipeline(user)
    return user


def write(user, day, text=""):
    rows = "".join(f"{day},{day.day * 100 + number}\n" for number in range(10))
    path = user.folder / "lake" / f"sale_{day:%Y%m%d}.csv"
    path.write_text(text or f"day,n\n{rows}")


def pipeline(user, shell="", factor=1, more="", limit="5%"):
    text = PIPELINE.format(shell=shell, factor=factor, more=more, limit=limit)
    (user.folder / "shop.yaml").write_text(text)


def go(user, *args, code=0, **more):
    done = user.ess("backfill", "shop.yaml", "--json", *args, code=code, **more)
    return json.loads(done.stdout)


def rows(user):
    with duckdb.connect(str(user.folder / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute("select day, n from sales order by all").fetchall()


def expected(days=DAYS, factor=1):
    return [(day, (day.day * 100 + n) * factor) for day in days for n in range(10)]


def runs(user):
    with closing(sqlite3.connect(user.home / ".ess" / "catalog.db")) as connection:
        query = "select lower, upper, state, backfill from runs order by id"
        return connection.execute(query).fetchall()


def backfills(user):
    with closing(sqlite3.connect(user.home / ".ess" / "catalog.db")) as connection:
        return connection.execute("select id, state from backfills order by started").fetchall()


def begun(user):
    return len(list(user.folder.glob("begun.*")))


def finish(process):
    out, err = process.communicate(timeout=30)
    return process.returncode, out.decode(), err.decode()


def test_a_range_in_weeks(shop):
    plan = go(shop, "--dry-run", "--chunk", "week", "--from", "2014-01-31")
    assert [(each["from"], each["to"], each["new"]) for each in plan["chunks"]] == [
        ("2014-01-31", "2014-02-02", 3), ("2014-02-03", "2014-02-09", 6),
    ]  # fmt: skip
    assert not (shop.folder / "warehouse.duckdb").exists()
    done = shop.ess("backfill", "shop.yaml", "--chunk", "week", "--from", "2014-01-31")
    assert done.stderr.startswith("backfill  shop, 2014-01-31 to *, by week")
    assert done.stderr.index("todo") < done.stderr.index("3 files, 30 rows loaded")
    assert "2 of 2 chunks done" in done.stdout
    assert rows(shop) == expected(DAYS[1:])
    ((number, state),) = backfills(shop)
    assert state == "done"
    assert runs(shop) == [
        ("2014-01-31", "2014-02-02", "done", number), ("2014-02-03", "2014-02-09", "done", number),
    ]  # fmt: skip
    again = shop.ess("backfill", "shop.yaml", "--chunk", "week", "--from", "2014-01-31")
    assert (again.stdout, again.stderr) == ("shop: nothing to do (2 chunks are done)\n", "")
    quiet = shop.ess("backfill", "shop.yaml", "--chunk", "month", "--quiet")
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert rows(shop) == expected()
    # Only the chunk with the missing file was run, and only that file was read.
    assert runs(shop)[2:] == [("2014-01-01", "2014-01-31", "done", backfills(shop)[1][0])]


def test_what_failed_is_left_alone_until_it_is_asked_for(shop):
    write(shop, DAYS[4], "day,n\n2014-02-03,1,2,3\n")
    done = go(shop, "--parallel", "2", code=4)
    assert [chunk["exit_code"] for chunk in done["chunks"]] == [0, 0, 0, 0, 4, 0, 0, 0, 0, 0]
    assert done["chunks"][4]["run_id"]
    good = [day for day in DAYS if day != DAYS[4]]
    assert rows(shop) == expected(good)
    count = len(runs(shop))
    again = go(shop, code=4)
    assert (again["held"], again["chunks"], len(runs(shop))) == (1, [], count)
    assert "--reprocess failed tries again" in shop.ess("backfill", "shop.yaml", code=4).stderr
    assert len(go(shop, "--reprocess", "failed", code=4)["chunks"]) == 1
    assert len(runs(shop)) == count + 1
    # With a pipeline that is mended, or a file that is, nobody has to say so.
    pipeline(shop, limit="100%")
    assert go(shop)["held"] == 0
    write(shop, DAYS[4])
    assert "changed" in shop.ess("backfill", "shop.yaml", code=3).stderr
    assert rows(shop) == expected(good)


def test_a_file_that_is_mended_is_read(shop):
    (shop.folder / "lake" / "sale_20140203.csv.gz").write_bytes(b"\x1f\x8b\x08\0broken")
    (shop.folder / "shop.yaml").write_text(
        (shop.folder / "shop.yaml").read_text().replace("sale_*.csv", "sale_*.csv*")
    )
    done = go(shop, "--chunk", "month", code=3)
    assert [chunk["files_failed"] for chunk in done["chunks"]] == [0, 1]
    assert rows(shop) == expected()
    assert go(shop, "--chunk", "month", code=3)["chunks"] == []
    write(shop, DAYS[4])
    (shop.folder / "lake" / "sale_20140203.csv.gz").write_bytes(b"")
    assert [chunk["files"] for chunk in go(shop, "--chunk", "month", "--set",
            "load.on_change=reprocess")["chunks"]] == [2]  # fmt: skip
    assert rows(shop) == expected()


def test_stop_on_error(shop):
    write(shop, DAYS[1], "day,n\nx,y\n")
    done = go(shop, "--stop-on-error", code=4)
    assert (len(done["chunks"]), done["untried"]) == (2, 8)
    assert len(go(shop, code=4)["chunks"]) == 8


def test_all_files_again(shop):
    go(shop, "--parallel", "3")
    pipeline(shop, factor=2)
    assert go(shop)["chunks"] == []
    go(shop, "--reprocess", "all", "--chunk", "week", "--parallel", "2")
    assert rows(shop) == expected(factor=2)
    # Done: the same command begins anew.
    pipeline(shop, factor=3)
    done = go(shop, "--reprocess", "all", "--chunk", "week")
    assert done["files"] == 10
    assert rows(shop) == expected(factor=3)


def test_killed_and_gone_on_with(shop, end_processes):
    go(shop)
    pipeline(shop, shell=WAIT, factor=2)
    args = ("backfill", "shop.yaml", "--reprocess", "all", "--json", "--to", "2014-02-04")
    process = shop.start(*args, env={"ESS_THREADS": "1"})
    end_processes.append(process)
    assert wait_until(lambda: begun(shop) == 1, 20)
    # The two of other runs: nobody else may come in between.
    held = shop.ess("run", "shop.yaml", code=75)
    assert "backfill-" in held.stderr
    for token in ("go.1", "go.2"):
        (shop.folder / token).touch()
    assert wait_until(lambda: begun(shop) == 3, 20)
    process.kill()
    finish(process)
    (shop.folder / "go").touch()
    done = json.loads(shop.ess(*args).stdout)
    assert len(done["chunks"]) == 4
    assert rows(shop) == expected(DAYS[:6], 2) + expected(DAYS[6:])
    assert [state for _, state in backfills(shop)] == ["done", "done"]
    assert [state for *_, state, _ in runs(shop)].count("interrupted") == 1


@pytest.mark.parametrize("signals", [1, 2])
def test_interrupted(shop, end_processes, signals):
    pipeline(shop, shell=WAIT)
    process = shop.start("backfill", "shop.yaml", "--parallel", "2", "--json")
    end_processes.append(process)
    assert wait_until(lambda: begun(shop) == 2, 20)
    os.kill(process.pid, signal.SIGINT)
    line = b""
    while b"once more aborts" not in line:
        line = process.stderr.readline()
        assert line
    if signals == 1:
        (shop.folder / "go").touch()
    else:
        os.kill(process.pid, signal.SIGINT)
    code, out, err = finish(process)
    assert code == 130
    assert "Traceback" not in err
    loaded = rows(shop) if (shop.folder / "warehouse.duckdb").exists() else []
    if signals == 1:
        assert json.loads(out)["untried"] == 8
        assert loaded == expected(DAYS[:2])
    else:
        assert loaded == []
    assert {state for *_, state, _ in runs(shop)} <= {"done", "interrupted"}
    assert backfills(shop)[0][1] == "interrupted"
    (shop.folder / "go").touch()
    go(shop, "--parallel", "2")
    assert rows(shop) == expected()
    assert len(backfills(shop)) == 1


def test_a_replacing_pipeline(shop):
    pipeline(shop, more=", mode: replace")
    go(shop, "--chunk", "week")
    assert rows(shop) == expected()
    assert go(shop, "--chunk", "week")["chunks"] == []
    (shop.folder / "lake" / f"sale_{DAYS[0]:%Y%m%d}.csv").unlink()
    done = go(shop, "--chunk", "week")
    assert [chunk["from"] for chunk in done["chunks"]] == ["2014-01-27"]
    assert rows(shop) == expected(DAYS[1:])


def test_files_without_a_date_and_with_ids(shop):
    (shop.folder / "lake" / "sale_x.csv").write_text("day,n\n2014-01-01,1\n")
    plan = go(shop, "--dry-run")
    assert plan["warnings"][-1].startswith("1 file has no date and no place in a backfill")
    assert sum(chunk["new"] for chunk in plan["chunks"]) == 10
    text = (shop.folder / "shop.yaml").read_text()
    (shop.folder / "shop.yaml").write_text(
        text.replace("category:", 'date: "[:%f:{1,}]", category:')
    )
    assert "ids" in shop.ess("backfill", "shop.yaml", "--from", "20140131", code=2).stderr


def test_from_python(shop):
    write(shop, DAYS[4], "day,n\nx,y\n")
    code = """
import ess_dask as ess
plan = ess.plan_backfill("shop.yaml", "2014-02-01", "2014-02-02")
print([str(chunk.chunk) for chunk in plan.todo])
report = ess.backfill_pipeline("shop.yaml", "2014-02-01", "2014-02-02", parallel=2)
print(report.rows_loaded, report.exit_code)
try:
    ess.backfill_pipeline("shop.yaml", overrides={"rejects.limit": 0})
except ess.RejectLimitError as error:
    print(error.message[:10])
for wrong in ({"chunk": "year"}, {"reprocess": "ALL"}):
    try:
        ess.backfill_pipeline("shop.yaml", **wrong)
    except ess.UsageError as error:
        print(error.message)
"""
    lines = shop.python(code).stdout.splitlines()
    assert lines[0] == "['2014-02-01', '2014-02-02']"
    wrong = ["chunk cannot be 'year'", "reprocess cannot be 'ALL'"]
    assert lines[1:] == ["20 0", "2014-02-03", *wrong]
