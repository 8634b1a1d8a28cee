"""`ess cluster`, `ess udbd`, `ess server` as a user types them."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from ess_dask.cluster.state import holder
from ess_dask.testing.clusters import private_cluster, session_processes, wait_until

ESS = [sys.executable, "-c", "from ess_dask.cli.main import main; main()"]
HOST = os.uname().nodename
SPEC = """@Server:
  127.0.0.1:{port}
@PKey:
  S:user
@Table:sales
  I:day
  F:price
@Vector:profile
  L,+add:visits
@Var:
  I,+add:rows
"""


@pytest.fixture
def home(tmp_path):
    with private_cluster(tmp_path):
        yield tmp_path


def ess(*words, **environ):
    """Run one command; return its exit code, stdout and stderr."""
    done = subprocess.run(
        [*ESS, *words],
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, **environ},
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def database(home, name, port):
    (home / "conf").mkdir(exist_ok=True)
    (home / "conf" / f"{name}.spec").write_text(SPEC.format(port=port))


def test_cluster_set_says_nothing_and_is_remembered(home):
    assert ess("cluster", "set", "local") == (0, "", "")
    assert json.loads((home / "ess" / "cluster.json").read_text()) == {"kind": "local"}


def test_cluster_set_of_another_kind_tells_of_machines_that_cost(home):
    for name, text in (("mine", '{"region": "eu-west-1"}'), ("gone", "")):
        (home / "ess" / "clusters" / name).mkdir(parents=True)
        (home / "ess" / "clusters" / name / "cluster.json").write_text(text)
    code, out, err = ess("cluster", "set", "local")
    assert (code, out, len(err.splitlines())) == (0, "", 1)
    assert "cluster mine in eu-west-1 was not terminated" in err
    assert "ESS_CLUSTER=ec2 ESS_CLUSTER_NAME=mine ess cluster status" in err
    assert ess("cluster", "set", "cloud") == (0, "", "")


@pytest.mark.parametrize("kind", ["ec3", "moon", ""])
def test_cluster_set_of_a_kind_that_is_not_there(home, kind):
    code, out, err = ess("cluster", "set", kind)
    assert (code, out) == (2, "")
    assert "local" in err
    assert not (home / "ess" / "cluster.json").exists()


def test_status_when_nothing_runs(home):
    code, out, err = ess("cluster", "status")
    assert (code, err) == (0, "no machine runs\n")
    assert out.split()[:4] == ["id", "role", "state", "public_ip"]
    assert ess("cluster", "status", "--json") == (0, "[]\n", "no machine runs\n")
    assert ess("udbd", "status") == (0, f"{HOST}: udbd-10010 is not running.\n", "")
    assert ess("udbd", "ckmem") == (0, f"{HOST}: udbd-10010 is not running.\n", "")
    assert ess("udbd", "stop") == (0, f"{HOST}: udbd-10010 is not running.\n", "")
    assert ess("udbd", "cklog") == (0, "", "")
    assert not (home / "conf").exists()


@pytest.mark.slow
def test_the_life_of_the_servers_in_the_originals_words(home):
    database(home, "one", 10010)
    database(home, "two", 10011)
    code, out, err = ess("udbd", "start")
    pid = int(holder(home / "ess" / "daemon", "lock"))
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{HOST}: Starting udbd-10010.",
        f"{HOST}: Starting udbd-10011.",
        f"{HOST}: udbd-10010 ({pid}) started.",
        f"{HOST}: udbd-10011 ({pid}) started.",
    ]
    assert ess("udbd", "start")[1].splitlines() == [
        f"{HOST}: udbd-10010 ({pid}) is already running.",
        f"{HOST}: udbd-10011 ({pid}) is already running.",
    ]
    assert f"udbd-10011 ({pid}) is running." in ess("udbd", "status")[1]
    memory = ess("udbd", "ckmem")[1]
    found = re.fullmatch(
        rf"{HOST}: worker 0 \((\d+)\): (\d+) kB used, 0 kB spilled, limit (\d+) kB.\n", memory
    )
    assert int(found[1]) in session_processes(pid)
    assert 1000 < int(found[2]) < int(found[3])
    assert len(ess("udbd", "cklog", "--lines", "3")[1].splitlines()) == 3
    assert ess("udbd", "stop")[1].splitlines() == [
        f"{HOST}: Stopping udbd-10010 ({pid}).",
        f"{HOST}: Stopping udbd-10011 ({pid}).",
        f"{HOST}: udbd-10010 stopped.",
        f"{HOST}: udbd-10011 stopped.",
    ]
    assert wait_until(lambda: not session_processes(pid))


@pytest.mark.slow
def test_status_of_a_running_cluster(home):
    ess("udbd", "start", ESS_THREADS="3", ESS_WORKERS="1")
    daemon, worker = json.loads(ess("cluster", "status", "--format", "json")[1])
    assert (daemon["role"], daemon["state"], daemon["private_ip"]) == (
        "scheduler",
        "running",
        "127.0.0.1",
    )
    assert daemon["id"] == holder(home / "ess" / "daemon", "lock")
    assert daemon["memory"] > 50 << 20
    assert daemon["uptime"] >= 0
    assert (worker["id"], worker["role"], worker["state"], worker["cpu"]) == (
        "0",
        "worker",
        "running",
        3,
    )
    shown = ess("cluster", "status")[1].splitlines()[1]
    assert re.search(rf"^{daemon['id']} +scheduler +running +127.0.0.1 +\d+\.\dM +\d+$", shown)


@pytest.mark.slow
def test_restart_gives_an_empty_cluster_and_keeps_the_definitions(home):
    database(home, "shop", 10012)
    ess("udbd", "start")
    first = int(holder(home / "ess" / "daemon", "lock"))
    code, out, _ = ess("server", "restart")
    second = int(holder(home / "ess" / "daemon", "lock"))
    assert code == 0
    assert out.splitlines() == [
        f"{HOST}: Stopping udbd-10012 ({first}).",
        f"{HOST}: udbd-10012 stopped.",
        f"{HOST}: Starting udbd-10012.",
        f"{HOST}: udbd-10012 ({second}) started.",
    ]
    assert (home / "conf" / "shop.spec").exists()
    assert wait_until(lambda: not session_processes(first))


@pytest.mark.slow
def test_reset_stops_the_servers_and_forgets_the_databases(home):
    database(home, "shop", 10010)
    ess("udbd", "start")
    pid = int(holder(home / "ess" / "daemon", "lock"))
    code, _, err = ess("server", "reset")
    assert (code, err) == (0, "")
    assert not list((home / "conf").glob("*.spec"))
    assert wait_until(lambda: not session_processes(pid))
    assert ess("server", "summary") == (0, "", "")


@pytest.mark.slow
def test_commit_starts_the_cluster_and_says_so_on_stderr_only(home):
    database(home, "shop", 10010)
    code, out, err = ess("server", "commit")
    assert (code, out) == (0, "")
    assert err.startswith("ess: started the local cluster: 1 x ")
    assert ess("server", "commit") == (0, "", "")


def test_commit_of_a_broken_definition_names_it_and_starts_nothing(home):
    database(home, "shop", 10010)
    (home / "conf" / "bad.spec").write_text("@Nonsense:\n")
    code, out, err = ess("server", "commit")
    assert (code, out) == (2, "")
    assert "bad.spec:1:1" in err
    assert ess("udbd", "status")[1] == f"{HOST}: udbd-10010 is not running.\n"


def test_summary_shows_every_table_and_column(home):
    database(home, "shop", 10010)
    database(home, "zoo", 10011)
    code, out, err = ess("server", "summary")
    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if "Database:" in line] == [
        " Database: shop ".center(64, "-"),
        " Database: zoo ".center(64, "-"),
    ]
    one = ess("server", "summary", "--name", "shop")[1]
    assert one == out[: len(one)]
    for text in ("127.0.0.1:10010", "user", "sales", "F:price", "profile", "L,+add:visits", "rows"):
        assert text in one


def test_summary_of_an_unknown_database(home):
    database(home, "shop", 10010)
    code, out, err = ess("server", "summary", "--name", "nope")
    assert (code, out) == (2, "")
    assert "nope" in err
    assert "shop" in err


@pytest.mark.parametrize("name", ["ESS_WORKERS", "ESS_THREADS", "ESS_IDLE_TIMEOUT"])
def test_a_bad_setting_starts_nothing(home, name):
    code, _, err = ess("udbd", "start", **{name: "many"})
    assert code == 2
    assert name in err
    assert not (home / "ess" / "daemon" / "lock").exists()


def test_a_folder_others_can_write_is_refused(home):
    (home / "ess" / "daemon").mkdir(parents=True)
    (home / "ess" / "daemon").chmod(0o777)
    for words in (("udbd", "start"), ("udbd", "status"), ("cluster", "status")):
        code, _, err = ess(*words)
        assert code == 3
        assert "chmod 700" in err


@pytest.mark.slow
def test_a_command_killed_while_it_starts_the_cluster_leaves_a_usable_one(home):
    starter = subprocess.Popen([*ESS, "udbd", "start"], stdout=subprocess.DEVNULL)
    assert wait_until((home / "ess" / "daemon" / "lock").exists, 30)
    starter.send_signal(signal.SIGINT)
    assert starter.wait(30) in (0, 130)
    code, out, _ = ess("udbd", "start")
    assert code == 0
    assert "running" in out or "started" in out


def test_looking_at_the_cluster_imports_nothing_heavy():
    code = """
import sys
import ess_dask.cluster.local
heavy = {"dask", "distributed", "polars", "pandas", "pyarrow", "duckdb", "cryptography", "pydantic"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
