"""The verbs of ``ess cluster`` at home: a script for machines, tried on local workers."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from ess_dask.cli import main
from ess_dask.cli.main import run
from ess_dask.cluster import local
from ess_dask.testing.clusters import private_cluster, session_processes, wait_until


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with private_cluster(folder):
        yield folder


@pytest.fixture
def ess(capsys, monkeypatch):
    """Type a command, in this process; return what it said: its answer, else what it told."""
    monkeypatch.setenv("ESS_CLUSTER", "local")

    def typed(*words, code=0):
        assert run(main.ess, ["cluster", *words]) == code
        out, err = capsys.readouterr()
        return err if code or not out else out

    return typed


def workers(ess):
    found = json.loads(ess("status", "--json"))
    return [each["id"] for each in found if each["role"] == "worker"]


def test_a_script_for_machines_works_at_home(ess):
    text = ess("create", "--number", "2", "--type", "m7g.xlarge", "--spot", "--idle-timeout", "20m")
    assert "without meaning for a local cluster: type, spot" in text
    assert "2 workers" in text
    assert "it costs nothing, and ends after 1200 s without clients and tables by itself" in text
    assert workers(ess) == ["0", "1"]
    assert ess("iplist") == "127.0.0.1\n"

    # Given again it says what runs; another number is refused, unless it adds.
    assert "runs already, with 2 workers" in ess("create", "--number", "2")
    assert "runs with 2 workers" in ess("create", "--number", "3", code=2)
    assert "started 2: 3 workers" in ess("create", "--number", "1", "--add")
    assert workers(ess) == ["0", "1", "2"]

    # What a worker holds moves to the others before it ends.
    with local.connect(local.attach()) as client:
        held = client.scatter([[number] for number in range(30)], broadcast=False)
        assert {len(keys) > 0 for keys in client.has_what().values()} == {True}
        assert "removed 0, 1" in ess("remove", "0", "1")
        assert client.gather(held) == [[number] for number in range(30)]
        assert len(client.scheduler_info(n_workers=-1)["workers"]) == 1
    assert workers(ess) == ["2"]
    assert "worker 1 is removed already" in ess("remove", "1")
    assert workers(ess) == ["2"]

    # The last one stays, and one that is not there is named; both can come again.
    assert "no worker of the local cluster would be left" in ess("remove", "2", code=2)
    assert "no worker '7'" in ess("remove", "7", code=2)
    assert "'x' is no name of a local worker" in ess("add", "x", code=2)
    assert "worker 2 is running already" in ess("add", "2")
    assert "started 0: 2 workers" in ess("add", "0", "0", "00")
    assert workers(ess) == ["0", "2"]
    with local.connect(local.attach()) as client:
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3

    # It runs still: it cannot be forgotten, but ended, twice.
    pid = local.attach().pid
    assert "ess cluster terminate" in ess("reset", code=2)
    assert "its tables are gone" in ess("stop")
    assert wait_until(lambda: not session_processes(pid))
    assert ess("stop") == "the local cluster is stopped\n"
    assert ess("status", "--json") == "[]\n"
    assert "does not run" in ess("remove", "0", code=2)
    assert ess("iplist") == ""


def test_start_brings_it_back_and_terminate_leaves_nothing(home, ess):
    assert "1 worker" in ess("start")
    pid = local.attach().pid
    assert "runs already" in ess("start")
    ess("terminate", "-y")
    assert wait_until(lambda: not session_processes(pid))
    assert not (home / "ess" / "daemon").exists()
    ess("terminate", "-y")
    assert "forgotten" in ess("reset")


def test_the_daemon_ends_when_all_its_workers_have():
    state = local.start()
    with local.connect(state) as client:
        client.run_on_scheduler(end_nannies)
    assert wait_until(lambda: not session_processes(state.pid), 30)


async def end_nannies(dask_scheduler):
    for nanny in dask_scheduler.ess_workers.nannies.values():
        await nanny.close()


def test_top_shows_workers_and_tables(home, ess):
    code = (
        "import ess_dask as ess\n"
        "lake = ess.select('lake')\n"
        "sales = lake.category('sales', '*.csv', columns={'user': 'string', 'price': 'float64'})\n"
        "with ess.connect() as cluster:\n"
        "    sales.between('*', '*').into('shop.sales', key='user')\n"
    )
    (home / "lake").mkdir()
    (home / "lake" / "sales_20260101.csv").write_text("user,price\nana,1\nbob,2\n")
    subprocess.run([sys.executable, "-c", code], cwd=home, check=True, timeout=90)
    # What the import had on the worker may be ending still.
    assert wait_until(lambda: json.loads(ess("top", "--json"))["totals"]["running"] == 0, 20)
    found = json.loads(ess("top", "--json"))
    assert found["kind"] == "local"
    (worker,) = found["workers"]
    assert worker["host"] == "127.0.0.1"
    assert 0 < worker["used"] < worker["limit"]
    (table,) = found["tables"]
    assert (table["name"], table["rows"]) == ("shop.sales", 2)
    assert table["bytes"] > 0

    with local.connect(local.attach()) as client:
        task = client.submit(time.sleep, 60)
        assert wait_until(lambda: json.loads(ess("top", "--json"))["totals"]["running"] == 1, 20)
        task.cancel(force=True)

    text = ess("top", "--once")
    assert text.startswith("local cluster local at tls://127.0.0.1:")
    assert ": 1 worker, " in text.splitlines()[0]
    assert re.search(r"\n0 +127\.0\.0\.1 +\d+ +\d+ +[\d.]+M +[\d.]+G +0B +\d +0\n", text)
    assert re.search(r"\nshop\.sales +2 +[\d.]+[BK] +\d+\n", text)


def test_top_in_a_terminal_ends_with_ctrl_c_and_gives_the_screen_back(home):
    local.start()
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "ess_dask.cli", "cluster", "top", "--interval", "0.2"]
    env = os.environ | {"ESS_CLUSTER": "local", "TERM": "xterm"}
    child = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    seen = b""
    try:
        while seen.count(b"local cluster local at") < 3:
            assert select.select([ours], [], [], 60)[0]
            seen += os.read(ours, 65536)
        child.send_signal(signal.SIGINT)
        with suppress(OSError):
            while select.select([ours], [], [], 20)[0] and (part := os.read(ours, 65536)):
                seen += part
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
        os.close(ours)
    # The alternate screen is entered once and left once.
    assert seen.count(b"\x1b[?1049h") == seen.count(b"\x1b[?1049l") == 1
    assert b"Traceback" not in seen


def test_top_of_nothing(ess):
    local.stop()
    assert "no cluster runs" in ess("top", code=2)
