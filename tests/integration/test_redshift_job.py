"""The main job into Redshift, as a user types it: once, whatever happens, nothing secret seen."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.redshift import only_standin

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
load: {{table: sales}}
rejects: {{limit: "5%"}}
"""


@pytest.fixture
def server(redshift):
    return only_standin(redshift)


@pytest.fixture
def shop(user, server):
    """A user whose setting ``warehouse`` is the stand-in, with a schema of his own."""
    user.stage = f"{server.stage}/{user.home.parent.name}"
    more = f"&stage={user.stage}&iam_role={server.role}&schema=job"
    user.env |= server.env | {"ESS_WAREHOUSE": server.url + more}
    yield user
    user.stop_daemon()
    server.query("DROP SCHEMA IF EXISTS job CASCADE")


def staged(user, server):
    """Return the keys of what lies under the user's stage."""
    bucket, _, key = user.stage[5:].partition("/")
    found = server.s3.client().list_objects_v2(Bucket=bucket, Prefix=key)
    return [each["Key"] for each in found.get("Contents", ())]


@contextmanager
def held(server, table):
    """Hold a table in a session of another client."""
    import redshift_connector

    with redshift_connector.connect(
        host=server.host, port=server.port, database=server.database,
        user=server.user, password=server.password, ssl=False,
    ) as connection:  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute(f"lock {table}")
            yield
        connection.rollback()


def test_real_files_load_once_with_every_row_accounted_for(shop, server, woodworking):
    run = ["run", "woodworking", "--set", f"source.store={woodworking}"]
    run += ["--set", f"load.to={shop.env['ESS_WAREHOUSE']}", "--json"]
    report = json.loads(shop.ess(*run).stdout)
    assert (report["rows_read"], report["rows_loaded"]) == (41_031, 40_373)
    loaded = "select count(*), count(distinct _ess_file) from job.sales"
    assert server.query(loaded) == [(40_373, 30)]
    assert json.loads(shop.ess(*run).stdout)["state"] == "nothing new"
    assert server.query(loaded) == [(40_373, 30)]
    assert server.query("select count(*), sum(rows_loaded) from job._ess_ledger") == [(30, 40_373)]
    reasons = server.query("select reason, count(*) from job._ess_rejects group by 1")
    assert reasons == [("not an int32: 'TBD'", 658)]
    assert staged(shop, server) == []


def test_the_account_of_a_dirty_lake_is_exact(shop, server, small_lake):
    folder, account = small_lake
    (shop.folder / "shop.yaml").write_text(PIPELINE.format(store=folder))
    planned = shop.ess("plan", "shop.yaml").stdout
    assert 'CREATE TABLE "job"."sales"' in planned
    done = shop.ess("run", "shop.yaml", "--json")
    report = json.loads(done.stdout)
    assert report["rows_loaded"] == account.loadable
    # The length of a text is known once the rows are staged.
    assert re.search(r'ddl: CREATE TABLE "job"."sales" .*"userid" VARCHAR\(16\)', done.stderr)
    assert server.query("select count(*) from job.sales") == [(account.loadable,)]
    kept = server.query("select count(*) from job._ess_rejects")[0][0]
    assert kept == report["rows_rejected"] > 0
    shown = shop.ess("rejects", "show", "shop.yaml", "--limit", "1000000", "--json").stdout
    assert len(json.loads(shown)) == kept


def test_nothing_secret_is_seen(shop, server, small_lake):
    (shop.folder / "shop.yaml").write_text(
        PIPELINE.format(store=small_lake[0]) + "memory: {table: shop.sales, key: userID}\n"
    )
    said = []
    for args in (
        ["plan", "shop.yaml"], ["plan", "shop.yaml", "--json"], ["run", "shop.yaml", "--json"],
        ["runs", "list"], ["rejects", "list", "shop.yaml"], ["config", "--show-origin"],
        ["run", "shop.yaml", "--set", "load.table=_ess_x"], ["redshift", "sql", "select nothing"],
    ):  # fmt: skip
        done = shop.ess(*args, code=None)
        said += [done.stdout, done.stderr]
    secrets = (server.password, server.env["AWS_SECRET_ACCESS_KEY"])
    for place in (path for path in shop.home.rglob("*") if path.is_file()):
        said.append(place.read_bytes().decode("latin-1"))
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(shop.home) in (process / "environ").read_text(errors="replace"):
                said.append((process / "environ").read_text(errors="replace"))
                said.append((process / "cmdline").read_text(errors="replace"))
    assert not [text[:300] for text in said for secret in secrets if secret in text]


@pytest.mark.parametrize("statement", ["COPY", "LOCK", "_ess_loads", "commit"])
def test_a_run_that_is_killed_is_finished_by_the_next(shop, server, small_lake, statement):
    """SIGKILL while a statement of the load waits: the server takes back what was not committed."""
    folder, account = small_lake
    (shop.folder / "shop.yaml").write_text(PIPELINE.format(store=folder))
    shop.ess("run", "shop.yaml", "--to", "2014-09-02")
    server.faults.clear()
    child = shop.start("run", "shop.yaml")
    deadline = time.monotonic() + 60
    while not any(re.search(statement, sql) for sql in server.faults.seen):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=20)
    shop.ess("run", "shop.yaml")
    assert server.query("select count(*) from job.sales") == [(account.loadable,)]
    files = "select count(*), count(distinct uri) from job._ess_ledger"
    assert server.query(files) == [(16, 16)]
    assert staged(shop, server) == []


def small_job(shop, limit, *days):
    """Write a pipeline of a number and a text, and a file of each text given."""
    lake = shop.folder / "lake"
    lake.mkdir(exist_ok=True)
    for day, text in enumerate(days, 1):
        path = lake / f"t_201409{day:02}.csv"
        if not path.exists():
            path.write_text(text)
    (shop.folder / "t.yaml").write_text(
        "name: t\nsource: {store: lake, category: t, pattern: 't_*.csv', "
        "columns: {id: int32, text: string}}\nload: {table: texts}\n"
        f"rejects: {{limit: '{limit}'}}\n"
    )


def test_a_null_that_the_users_table_does_not_take_is_named_or_quarantined(shop, server):
    small_job(shop, "0%", "id,text\n1,a\n")
    shop.ess("run", "t.yaml")
    server.query("alter table job.texts alter column text set not null")
    small_job(shop, "0%", "id,text\n1,a\n", "id,text\n2,b\n3,\n")
    refused = shop.ess("run", "t.yaml", code=4)
    assert "ess rejects show" in refused.stderr
    assert server.query("select count(*) from job._ess_ledger") == [(1,)]
    small_job(shop, "50%")
    shop.ess("run", "t.yaml")
    assert server.query("select id from job.texts order by id") == [(1,), (2,)]
    rejected = server.query("select line, column_name, reason, raw from job._ess_rejects")
    assert rejected == [(3, "text", "null, and the table's column takes none", b"3,")]


def test_a_ledger_that_is_not_whole_is_told_and_nothing_is_made_anew(shop, server):
    small_job(shop, "0%", "id,text\n1,a\n")
    shop.ess("run", "t.yaml")
    for name in ("_ess_ledger", "_ess_meta", "_ess_rejects"):
        server.query(f"alter table job.{name} rename to gone")
        small_job(shop, "0%", "id,text\n1,a\n", "id,text\n2,b\n")
        for args in (["run", "t.yaml"], ["rejects", "list", "t.yaml"]):
            refused = shop.ess(*args, code=3)
            assert f"the ledger in schema job has lost {name}" in refused.stderr
        assert server.query("select count(*) from job.texts") == [(1,)]
        server.query(f"alter table job.gone rename to {name}")
    shop.ess("run", "t.yaml")
    assert server.query("select count(*) from job.texts") == [(2,)]


def test_values_that_have_no_place_are_rejected(shop, server):
    """Too long in bytes and NUL: with file, line, column and reason; the others are loaded."""
    lake = shop.folder / "lake"
    lake.mkdir()
    long = "ż" * 40_000
    lines = ["id,text", "1,fine", f"2,{long}", "3,with\0nul", "4,🦆", "5," + "x" * 65_535]
    (lake / "t_20140901.csv").write_text("\n".join(lines) + "\n")
    (shop.folder / "t.yaml").write_text(
        "name: t\nsource: {store: lake, category: t, pattern: 't_*.csv', "
        "columns: {id: int32, text: string}}\nload: {table: texts}\nrejects: {limit: '90%'}\n"
    )
    report = json.loads(shop.ess("run", "t.yaml", "--json").stdout)
    assert (report["rows_read"], report["rows_loaded"], report["rows_rejected"]) == (5, 3, 2)
    assert server.query("select id from job.texts order by id") == [(1,), (4,), (5,)]
    rejected = server.query("select line, column_name, reason from job._ess_rejects order by line")
    assert [(line, column) for line, column, _ in rejected] == [(3, "text"), (4, "text")]
    assert "65,535" in rejected[0][2] or "65535" in rejected[0][2]


def test_nested_values_become_super(shop, server):
    lake = shop.folder / "lake"
    lake.mkdir()
    (lake / "t_20140901.csv").write_text('id,a,b\n1,x,2\n2,,3\n3,"q""uo\\te",\n')
    (shop.folder / "t.yaml").write_text(
        "name: t\nsource: {store: lake, category: t, pattern: 't_*.csv', "
        "columns: {id: int32, a: string, b: int32}}\n"
        "clean: [{sql: \"select id, case when id < 3 then {'a': a, 'n': [b, id]} else null end "
        'as info, {k: a} as more from records"}]\nload: {table: things}\n'
    )
    assert '"info" SUPER' in shop.ess("plan", "t.yaml").stdout
    shop.ess("run", "t.yaml")
    found = server.query("select id, info, more from job.things order by id")
    assert found == [
        (1, {"a": "x", "n": [2, 1]}, {"k": "x"}),
        (2, {"a": None, "n": [3, 2]}, {"k": None}),
        (3, None, {"k": 'q"uo\\te'}),
    ]
    refused = shop.ess("run", "t.yaml", env={"ESS_WAREHOUSE": "duckdb:///t.duckdb"}, code=3)
    assert "column 'info' has the type struct" in refused.stderr


def test_a_direct_load_is_done_once(shop, server, small_lake):
    folder, account = small_lake
    (shop.folder / "shop.yaml").write_text(PIPELINE.format(store=folder))
    server.faults.clear()
    shop.ess("run", "shop.yaml", "--direct")
    copied = [sql for sql in server.faults.seen if sql.startswith("COPY")]
    assert [sql.split()[1] for sql in copied] == ['"_ess_rejected"', '"job"."sales"']
    assert "nothing new" in shop.ess("run", "shop.yaml", "--direct").stdout
    assert server.query("select count(*) from job.sales") == [(account.loadable,)]
    refused = shop.ess("run", "shop.yaml", "--direct", "--set", "load.mode=replace", code=2)
    assert "direct" in refused.stderr


def test_a_password_is_asked_for_once(shop, server, small_lake):
    (shop.folder / "shop.yaml").write_text(PIPELINE.format(store=small_lake[0]))
    shop.env["ESS_WAREHOUSE"] = shop.env["ESS_WAREHOUSE"].replace(f":{server.password}@", "@")
    refused = shop.ess("run", "shop.yaml", code=3)
    assert "a prompt: no terminal to ask on" in refused.stderr
    leader, terminal = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "ess_dask.cli", "run", "shop.yaml", "--to", "2014-09-02"],
        cwd=shop.folder,
        env=shop.env,
        stdin=terminal,
        stderr=terminal,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(terminal)
    try:
        seen = b""
        while b"Password of" not in seen:
            seen += os.read(leader, 1000)
        os.write(leader, server.password.encode() + b"\n")
        out, _ = child.communicate(timeout=60)
    finally:
        os.close(leader)
        if child.poll() is None:
            child.kill()
    assert child.returncode == 0, out
    assert b"done in" in out
    assert server.query("select count(distinct _ess_file) from job.sales") == [(2,)]


def test_a_table_of_very_many_columns_is_compared(shop, server):
    lake = shop.folder / "lake"
    lake.mkdir()
    names = [f"c{n}" for n in range(901)]
    row = ",".join(["1.5"] * len(names))
    (lake / "w_20140901.csv").write_text("\n".join([",".join(names), row, row]) + "\n")
    (shop.folder / "w.yaml").write_text(
        "name: w\nsource: {store: lake, category: w, pattern: 'w_*.csv', "
        f"columns: {{{', '.join(f'{name}: float64' for name in names)}}}}}\nload: {{table: wide}}\n"
    )
    shop.ess("run", "w.yaml")
    assert server.query("select count(*), sum(c900) from job.wide") == [(2, 3.0)]
    sums = "select count(*) from job._ess_digests where measure = 'float sum'"
    assert server.query(sums) == [(901,)]


def test_keys_of_a_profile_that_does_not_exist_are_no_traceback(shop):
    small_job(shop, "0%", "id,text\n1,a\n")
    url = re.sub("&iam_role=[^&]*", "", shop.env["ESS_WAREHOUSE"]) + "&keys=true&profile=nope"
    refused = shop.ess("run", "t.yaml", "--set", f"load.to={url}", code=3)
    assert "(nope)" in refused.stderr and "~/.aws" in refused.stderr


def test_an_abort_does_not_wait_for_the_statement_that_runs(shop, server):
    small_job(shop, "0%", "id,text\n1,a\n")
    hook = "load.hooks.inside=select pg_sleep(60)"
    server.faults.clear()
    child = shop.start("run", "t.yaml", "--set", hook)
    deadline = time.monotonic() + 60
    while not any("pg_sleep" in sql for sql in server.faults.seen):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.02)
    for _ in range(2):
        time.sleep(1)
        child.send_signal(signal.SIGINT)
    err = child.communicate(timeout=20)[1].decode()
    assert (child.returncode, "Traceback" in err) == (130, False), err
    assert "aborted" in err
    assert server.query("select to_regclass('job.texts')") == [(None,)]
    assert staged(shop, server) == []


def test_a_ledger_that_somebody_holds_is_waited_for_as_long_as_the_url_says(shop, server):
    small_job(shop, "0%", "id,text\n1,a\n")
    shop.ess("run", "t.yaml")
    url = shop.env["ESS_WAREHOUSE"] + "&lock_wait=1s"
    with held(server, "job._ess_ledger"):
        for args in (["run"], ["rejects", "list"]):
            refused = shop.ess(*args, "t.yaml", env={"ESS_WAREHOUSE": url}, code=75, timeout=30)
            assert "another session holds the table" in refused.stderr
    assert shop.ess("run", "t.yaml").returncode == 0


def test_what_an_aborted_run_was_still_staging_goes_with_the_next(shop, server):
    """Uploads cannot be stopped: what they put after the sweep is known to the next run."""
    block = "".join(f"{n},{n * 7919:0300}\n" for n in range(20_000))
    small_job(shop, "0%", *[f"id,text\n{block}" for _ in range(6)])
    child = shop.start("run", "t.yaml")
    deadline = time.monotonic() + 60
    while not staged(shop, server):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.01)
    for _ in range(2):
        child.send_signal(signal.SIGINT)
        time.sleep(0.3)
    child.communicate(timeout=60)
    assert child.returncode == 130
    assert [path.name for path in (shop.home / ".ess" / "runs").glob("*/stage/*")] == ["elsewhere"]
    shop.ess("run", "t.yaml", "--to", "2014-09-01")
    assert staged(shop, server) == []
    assert not list((shop.home / ".ess" / "runs").glob("*/stage"))
