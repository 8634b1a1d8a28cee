"""``EssSensor`` in a real Airflow: what it waits for, in which mode, and when it gives up."""

import threading

import pytest

from tests.airflow.shop import connect, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WAIT = (
    'EssSensor(task_id="wait", ess_conn_id="shop", pipeline="shop.yaml", poke_interval=1,'
    " timeout=60, {})"
)


def test_what_is_there_is_seen_at_once(run_dag, shop):
    day = "{{ macros.ds_add(ds, -1) | replace('-', '') }}"
    ran = run_dag(WAIT.format(f'expected=["purchase_{day}*", "*.gz"]'))
    assert ran.states == {"wait": "success"}
    assert ran.xcom("wait") == {"files": 1}


@pytest.mark.parametrize(
    "mode", ["", 'mode="reschedule",', "deferrable=True,", "deferrable=True, stable_for=1,"]
)
def test_it_waits_for_a_file_that_comes_late(run_dag, shop, mode):
    (shop.lake / "purchase_20140902.csv.gz").unlink()

    def arrive_after_a_look():
        wait_for(shop.processes)
        wait_for(lambda: not shop.processes())
        shop.arrive(2)

    later = threading.Thread(target=arrive_after_a_look)
    later.start()
    ran = run_dag(WAIT.format(mode))
    later.join()
    assert ran.states == {"wait": "success"}
    assert "0 files are there, 1 are wanted" in ran.log


def test_a_registered_category(run_dag, shop):
    shop.ess("select", str(shop.lake))
    shop.ess("category", "add", "sales", "purchase_*.gz")
    wait = WAIT.replace('pipeline="shop.yaml"', 'category="sales"')
    ran = run_dag(wait.format('date_from="2014-09-01", date_to="2014-09-30", minimum_files=3'))
    assert ran.xcom("wait") == {"files": 3}


def test_too_few_files_time_out(run_dag, shop):
    ran = run_dag(WAIT.replace("timeout=60", "timeout=1").format("minimum_files=2"))
    assert ran.states == {"wait": "failed"}
    assert "1 file is there, 2 are wanted" in ran.log


@pytest.mark.parametrize("mode", ["", "deferrable=True, stable_for=1,"])
def test_what_cannot_come_true_fails_for_good(run_dag, shop, monkeypatch, mode):
    (shop.folder / "shop.yaml").write_text("name: broken\n")
    ran = run_dag(WAIT.format(f"retries=3, {mode}"))
    assert ran.states == {"wait": "failed"}
    assert "shop.yaml:1" in ran.log


def test_an_account_that_is_missing_is_named(run_dag, shop, monkeypatch):
    connect(monkeypatch, "shop", shop.extra(aws_conn_id="nobody"))
    ran = run_dag(WAIT.format(""))
    assert ran.states == {"wait": "failed"}
    assert "there is no AWS connection nobody" in ran.log


def test_the_example_dag_loads_the_month(run_dag, shop, airflow, monkeypatch, request):
    example = request.config.rootpath / "pipelines" / "woodworking_dag.py"
    connect(monkeypatch, "ess_default", shop.extra())
    try:
        ran = run_dag("", name="woodworking", text=example.read_text())
    finally:
        shop.ess("udbd", "stop")
    assert ran.states == {"arrived": "success", "load": "success"}
    summary = ran.xcom("load")
    # From the beginning on: the files of the days before are loaded too, that of the third is not.
    assert (summary["files"], summary["memory"]) == (2, "wood.allsales")
