"""Two runs of one pipeline at the same time: every row once, in warehouse and memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
    # The step makes each wait for the other: both planned to load everything.
    shop.write(clean=TOGETHER + DROP_FREE)
    children = [shop.start() for _ in range(2)]
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
        assert code == 0 or b"open in process" in err


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
