"""Two runs of one pipeline at the same time: every row once, in warehouse and memory."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SMALL = {"ESS_BATCH_BYTES": "4KiB", "ESS_THREADS": "2"}
MEMORY = "memory: {table: wood.sales, key: userID}"
DROP_FREE = "  - sql: select * from records where price > 0"
TOGETHER = (
    '  - shell: \'touch "begun-$PPID"; until test $(ls begun-* | wc -l) -ge 2; '
    "do sleep 0.02; done; cat'\n"
)


def finish(children):
    """Wait for all; return their exit codes and reports."""
    found = []
    for child in children:
        out, err = child.communicate(timeout=100)
        assert b"Traceback" not in err, err
        assert child.returncode in (0, 75), err
        found.append((child.returncode, json.loads(out) if out else None, err))
    return found


def test_two_runs_at_once_load_every_row_once(shop, end_processes):
    """On two machines, whose locks do not know each other: the ledger does."""
    # The step makes each wait for the other: both planned to load everything.
    shop.write(clean=TOGETHER + DROP_FREE)
    homes = [{"ESS_CACHE_DIR": str(shop.user.home / name)} for name in (".ess", ".ess2")]
    children = [shop.start(env=SMALL | home) for home in homes]
    end_processes += children
    ended = finish(children)
    shop.check_complete()
    shop.check_nothing_left()
    done = [report for _, report, _ in ended if report]
    assert sum(report["rows_loaded"] for report in done) == shop.account.loadable
    assert sum(report["files"] for report in done) == 16
    assert shop.run()["state"] == "nothing new"


@pytest.mark.slow
def test_two_runs_at_once_fill_the_memory_table_once(shop, end_processes):
    shop.write(memory=MEMORY, clean="  - shell: 'sleep 0.05; cat'\n" + DROP_FREE)
    shop.user.ess("udbd", "start")
    children = [shop.start() for _ in range(2)]
    end_processes += children
    ended = finish(children)
    assert shop.run()["exit_code"] == 0
    shop.check_complete(memory=True)
    for code, _, err in ended:
        assert code == 0 or b"the pipeline is held: run" in err


@pytest.mark.slow
def test_the_second_run_names_the_first_or_waits_for_it(shop, until, end_processes):
    shop.write(clean="  - shell: 'until test -e go; do sleep 0.02; done; cat'\n" + DROP_FREE)
    first = shop.start()
    end_processes.append(first)
    until(lambda: list((shop.state / "runs").glob("*/stage")))
    said = shop.fail("--quiet", "--to", "2014-09-01", code=75)
    (run,) = (path.name for path in (shop.state / "runs").iterdir())
    assert f"run {run} (process {first.pid} on {os.uname().nodename}, since 2" in said
    assert "--wait" in said
    begun = time.monotonic()
    assert "waiting: " in shop.fail("--wait=0.5", code=75)
    assert time.monotonic() - begun > 0.5
    # A dry run and a look at the plan hold nothing, and another pipeline is another one.
    shop.user.ess("plan", "shop.yaml")
    shop.user.ess("run", "shop.yaml", "--dry-run")
    shop.user.ess("run", "shop.yaml", "--set", "name=x", "--set", "load.table=x", "--to", "2013")
    waiting = shop.start("--wait")
    end_processes.append(waiting)
    assert b"waiting: " in waiting.stderr.readline()
    (shop.folder / "go").touch()
    for child, files in ((first, 16), (waiting, 0)):
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
        # The one that waited planned when it was its turn.
        assert json.loads(out)["files"] == files
    shop.check_complete()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_waits_is_interrupted_by_either_signal(shop, until, end_processes, number):
    shop.write(clean="  - shell: 'until test -e go; do sleep 0.02; done; cat'\n" + DROP_FREE)
    first = shop.start()
    end_processes.append(first)
    until(lambda: list((shop.state / "runs").glob("*/stage")))
    waiting = shop.start("--wait")
    end_processes.append(waiting)
    assert b"waiting: " in waiting.stderr.readline()
    waiting.send_signal(number)
    _, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, err.strip()) == (130, b"ess: interrupted")
    (shop.folder / "go").touch()
    first.communicate(timeout=60)
    assert first.returncode == 0
    shop.check_complete()


@pytest.mark.slow
def test_the_lock_of_a_killed_run_is_taken_over_and_its_end_is_written(
    shop, until, kill_group, end_processes
):
    shop.write(clean="  - shell: 'sleep 60'\n")
    child = shop.start()
    end_processes.append(child)
    until(lambda: list((shop.state / "runs").glob("*/stage")))
    kill_group(child)
    (run,) = (path.name for path in (shop.state / "runs").iterdir())
    shop.write()
    done = shop.user.ess("run", "shop.yaml", env=SMALL)
    assert f"the lock of run {run} (process {child.pid} on" in done.stderr
    assert f"run {run} was killed (it was running); nothing of it was loaded" in done.stderr
    assert shop.stages() == []
    assert shop.user.ess("run", "shop.yaml", "--quiet", env=SMALL).stderr == ""


HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(shop, end_processes):
    """Give a process that has the warehouse file open for writing."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, shop.folder / "shop.duckdb"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    end_processes.append(holder)
    assert holder.stdout.readline() == b"held\n"
    yield holder
    holder.stdin.close()
    holder.stdout.close()


@pytest.mark.slow
def test_a_warehouse_that_is_open_elsewhere_is_waited_for(shop, held, until, end_processes):
    shop.write(warehouse="duckdb:///shop.duckdb?lock_wait=60")
    child = shop.start()
    end_processes.append(child)
    # The plan asks the ledger, so the run comes to the warehouse before it stages anything.
    until(lambda: "duckdb" in Path(f"/proc/{child.pid}/maps").read_text())
    held.kill()
    held.wait()
    _, err = child.communicate(timeout=100)
    assert child.returncode == 0, err
    shop.check_complete()


def test_a_warehouse_that_stays_open_elsewhere_is_code_75_with_the_holder(shop, held):
    shop.write(warehouse="duckdb:///shop.duckdb?lock_wait=0.2")
    said = shop.fail(code=75)
    assert str(held.pid) in said
    assert "shop.duckdb" in said
    held.kill()
    held.wait()
    shop.check_nothing_left()
    assert shop.run()["files"] == 16
    shop.check_complete()
