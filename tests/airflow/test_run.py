"""``EssRunOperator`` in a real Airflow: what is loaded, what is told, how failures are treated."""

import gzip
import json
import os
import signal
import threading

import pytest

from tests.airflow.shop import PASSWORD, connect, remembered, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LOAD = 'EssRunOperator(task_id="load", pipeline="shop.yaml", ess_conn_id="shop", {})'


def test_a_daily_run_loads_the_day_that_has_ended(run_dag, shop, monkeypatch):
    connect(monkeypatch, "shop", shop.extra(report_url="https://reports.example/{run_id}/"))
    ran = run_dag(LOAD.format('env={"SHOP": "{{ dag.dag_id }}"}'))
    assert ran.states == {"load": "success"}
    assert shop.loaded() == [2]
    summary = ran.xcom("load")
    assert (summary["state"], summary["files"], summary["exit_code"]) == ("done", 1, 0)
    assert (summary["from"], summary["to"]) == ("2014-09-02", "2014-09-02")
    assert (summary["rows_loaded"], summary["rows_rejected"], summary["rows_dropped"]) == (30, 1, 1)
    assert shop.ask("select count(*) from sales") == [[30]]
    address = f"https://reports.example/{summary['run_id']}/"
    assert ran.xcom("load", "report_url") == ran.link("load") == address
    assert "ess run --from 2014-09-02 --to 2014-09-02 --json -- shop.yaml" in ran.log
    assert PASSWORD not in ran.log


def test_bounds_fields_and_profile_are_templates(run_dag, shop):
    ran = run_dag(
        LOAD.format(
            'date_from="*", date_to="{{ macros.ds_add(ds, -1) }}",'
            ' overrides={"load.table": "{{ task.task_id }}s", "rejects.limit": "50%"}'
        )
    )
    assert ran.states == {"load": "success"}
    assert ran.xcom("load")["table"] == "loads"
    assert shop.loaded() == [1, 2]


def test_two_runs_load_everything_once(run_dag, shop):
    ran = run_dag(f"{LOAD.format('')} >> {LOAD.replace('load', 'again', 1).format('')}")
    assert ran.states == {"load": "success", "again": "success"}
    assert ran.xcom("again")["state"] == "nothing new"
    assert shop.loaded() == [2]


def let_go(holder):
    """Let somebody else close the warehouse and go."""
    holder.stdin.close()
    holder.wait(timeout=20)
    holder.stdout.close()


RETRIES = "retries=2, retry_delay=timedelta(seconds=0),"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('overrides={"load.mode": "never"},', "load.mode"),  # 2: usage
        ('overrides={"rejects.limit": 0}, date_from="*",', "rejected"),  # 4: reject limit
        ('unit="week",', "unknown unit"),
        ('zone="Mars/Olympus",', "unknown time zone"),
    ],
)
def test_what_is_hopeless_is_not_tried_again(run_dag, shop, change, said):
    ran = run_dag(LOAD.format(RETRIES + change))
    assert ran.states == {"load": "failed"}
    assert said in ran.log
    assert shop.loaded() == []


def test_a_broken_file_is_named_and_the_others_are_loaded(run_dag, shop):
    broken = shop.lake / "purchase_20140902.csv.gz"
    broken.write_bytes(gzip.compress(b"purchaseDate,userID\n" * 999)[:-9])
    ran = run_dag(LOAD.format(RETRIES + 'date_from="*",'))
    assert ran.states == {"load": "failed"}
    summary = ran.xcom("load")
    assert (summary["exit_code"], summary["failed_files"]) == (3, 1)
    assert summary["failed"][0]["uri"].endswith("purchase_20140902.csv.gz")
    assert "purchase_20140902.csv.gz" in ran.log
    assert shop.loaded() == [1]


def test_a_run_that_was_killed_is_tried_again(run_dag, shop):
    # Out of memory looks so: the process is gone without a word.
    shop.write(f"[shell: 'test -e {shop.folder}/again && exec cat; touch {shop.folder}/again;"
               " kill -9 $PPID']")  # fmt: skip
    ran = run_dag(LOAD.format(RETRIES))
    assert "SIGKILL" in ran.log
    if ran.states["load"] == "success":
        assert shop.loaded() == [2]
    else:
        assert ran.states == {"load": "up_for_retry"}


@pytest.mark.parametrize(("change", "state"), [("", "failed"), ('when_locked="skip",', "skipped")])
def test_a_warehouse_in_use(run_dag, shop, change, state):
    holder = shop.hold()
    try:
        ran = run_dag(LOAD.format(change))
    finally:
        let_go(holder)
    assert ran.states == {"load": state}
    assert str(holder.pid) in ran.log


def test_a_deferred_run_waits_for_the_warehouse(run_dag, shop):
    holder = shop.hold()

    def release():
        wait_for(shop.processes)
        wait_for(lambda: not shop.processes())
        let_go(holder)

    releasing = threading.Thread(target=release)
    releasing.start()
    ran = run_dag(LOAD.format("deferrable=True, locked_interval=1,"))
    releasing.join()
    assert ran.states == {"load": "success"}
    assert str(holder.pid) in ran.log
    assert shop.loaded() == [2]


def test_a_deferred_run_does_not_wait_for_ever(run_dag, shop):
    holder = shop.hold()
    try:
        ran = run_dag(LOAD.format("deferrable=True, locked_interval=1, locked_timeout=1,"))
    finally:
        let_go(holder)
    assert ran.states == {"load": "failed"}


def test_no_executable(run_dag, shop, monkeypatch):
    connect(monkeypatch, "shop", shop.extra(executable="/nowhere/ess"))
    ran = run_dag(LOAD.format(RETRIES))
    assert ran.states == {"load": "failed"}
    assert "/nowhere/ess" in ran.log
    assert "environment of its own" in ran.log


SLOW = "[shell: 'touch SHOP/begun-$$; sleep 2; cat']"


def begin_slowly(shop):
    """Let every file take two seconds, and many of them wait for their turn."""
    for day in (4, 5, 6):
        shop.arrive(day)
    shop.write(SLOW.replace("SHOP", str(shop.folder)))
    with (shop.folder / "shop.yaml").open("a") as file:
        file.write("settings: {threads: 1, batch_bytes: 1, window: 1}\n")


def when_begun(shop, action):
    """Do something once the first file is being read."""

    def wait():
        wait_for(lambda: list(shop.folder.glob("begun-*")))
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_killed_task_drains_its_run(run_dag, shop):
    begin_slowly(shop)
    killer = when_begun(shop, lambda: os.kill(os.getpid(), signal.SIGTERM))
    ran = run_dag(LOAD.format('date_from="*", date_to="*"'))
    killer.join()
    assert ran.states.get("load", "failed") == "failed"
    assert "interrupted: finishing what runs" in ran.log
    wait_for(lambda: not shop.processes())
    done = shop.loaded()
    assert 0 < len(done) < 6


def test_a_task_that_takes_too_long_drains_its_run(run_dag, shop):
    begin_slowly(shop)
    ran = run_dag(LOAD.format('date_from="*", date_to="*", execution_timeout=timedelta(seconds=7)'))
    assert ran.states.get("load", "failed") == "failed"
    assert "asked to end" in ran.log
    wait_for(lambda: not shop.processes())
    assert len(shop.loaded()) < 6


def test_nothing_of_airflow_and_nothing_secret_gets_out(run_dag, shop, monkeypatch):
    monkeypatch.setenv("AIRFLOW__DATABASE__CANARY", "canary-of-airflow")
    connect(monkeypatch, "shop", shop.extra(aws_conn_id="amazon"))
    connect(monkeypatch, "amazon", {}, "aws", login="AKIACANARY", password="canary-of-amazon")
    seen = shop.folder / "seen"
    shop.write(
        f'[shell: \'tr "\\0" "\\n" < /proc/$PPID/environ > {seen};'
        ' tr "\\0" " " < /proc/$PPID/cmdline >> SEEN; cat SEEN >&2; exit 3\']'.replace(
            "SEEN", str(seen)
        )
    )
    ran = run_dag(LOAD.format(""))
    *environment, command = seen.read_text().splitlines()
    assert "canary-of-airflow" not in str(environment)
    assert "AIRFLOW_CTX_TASK_ID=load" in environment
    assert f"ESS_REDSHIFT_PASSWORD={PASSWORD}" in environment
    assert "AWS_SECRET_ACCESS_KEY=canary-of-amazon" in environment
    for secret in (PASSWORD, "canary-of-amazon"):
        assert secret not in command
        assert secret not in ran.log
        assert secret not in str(ran.xcom("load"))
    assert ran.states == {"load": "failed"}


def test_what_ends_a_task_without_a_word_drains_its_run(shop, tmp_path):
    """SIGKILL for the task: Airflow does so seconds after it has asked."""
    import subprocess
    import sys

    begin_slowly(shop)
    code = (
        "import sys; from ess_dask.airflow.command import *;"
        "from ess_dask.airflow.process import *;"
        "from ess_dask.airflow.setup import Setup; from ess_dask.airflow.window import Window;"
        "s = Setup(sys.argv[1], sys.argv[2], sys.argv[3]);"
        "Process(run_command(s, 'shop.yaml', Asked(Window('*', '*'))), Patience(60), print).wait()"
    )
    task = subprocess.Popen(
        [sys.executable, "-c", code, *(shop.extra()[key] for key in
                                       ("executable", "folder", "cache_dir"))],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: list(shop.folder.glob("begun-*")))
    task.kill()
    task.wait(timeout=10)
    wait_for(lambda: not shop.processes())
    assert 0 < len(shop.loaded()) < 6


def test_lineage_names_what_was_read_and_written(run_dag, shop):
    run_dag(
        "from tests.airflow.shop import remember\n" + LOAD.format("on_success_callback=remember")
    )
    found = lineage_of(remembered.pop())
    assert [(each.namespace, each.name) for each in found.inputs] == [("file", str(shop.lake))]
    (written,) = found.outputs
    assert written.namespace == f"duckdb://{shop.folder}/shop.duckdb"
    assert written.name == "main.sales"
    assert written.outputFacets["outputStatistics"].rowCount == 30


def lineage_of(task):
    """What the OpenLineage provider finds out about a task."""
    from airflow.providers.openlineage.extractors.base import DefaultExtractor

    return DefaultExtractor(task).extract_on_complete(None)


NIGHT = """
NIGHT = {"ess_conn_id": "shop", "pipeline": "shop.yaml", "date_from": "*"}
def task(name, pattern):
    changes = {"name": name, "load.table": name, "source.pattern": pattern}
    return EssRunOperator(task_id=name, overrides=changes, **NIGHT)
[task("visits", "purchase_*.gz"), task("orders", "order_*.gz")] >> task("returns", "return_*.gz")
"""


def test_a_night_of_three_pipelines_is_told_in_the_morning(run_dag, shop):
    for name in ("order", "return"):
        for day in (1, 2):
            path = shop.lake / f"purchase_2014090{day}.csv.gz"
            (shop.lake / f"{name}_2014090{day}.csv.gz").write_bytes(path.read_bytes())
    broken = shop.lake / "order_20140902.csv.gz"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:60])
    ran = run_dag(NIGHT)
    assert ran.states == {"visits": "success", "orders": "failed", "returns": "upstream_failed"}
    broken.unlink()
    (shop.lake / "order_20140902_mended.csv.gz").write_bytes(whole)
    assert set(run_dag(NIGHT).states.values()) == {"success"}
    told = json.loads(shop.ess("runs", "list", "--json"))
    story = {(run["pipeline"], run["state"], run["files"]) for run in told}
    assert story == {
        ("visits", "done", 2), ("orders", "failed", 1), ("orders", "done", 1),
        ("returns", "done", 2),
    }  # fmt: skip
    assert broken.name in next(run["error"] for run in told if run["state"] == "failed")
    for table in ("visits", "orders", "returns"):
        assert shop.ask(f"select count(*), count(distinct _ess_file) from {table}") == [[60, 2]]
