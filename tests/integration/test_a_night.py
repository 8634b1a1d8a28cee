"""A night: three pipelines in the order of their DAG, two kills, a broken file, a late one, an
overlap; and what a person finds in the morning.

The scheduler is a loop that starts ``ess run`` and looks at exit codes, as cron or a DAG does;
``tests/airflow`` has a real Airflow do it.
"""

import gzip
import hashlib
import json
import os
import signal
from pathlib import Path

import duckdb
import pytest

from ess_dask.testing.clusters import wait_until

pytestmark = pytest.mark.slow

PIPELINE = """\
name: {name}
source:
  {{store: ./lake, category: {name}, pattern: "{name}_*.csv.gz", columns: {{day: date, n: int32}}}}
clean:
  - shell: |
      mktemp begun-{name}.XXXXXX >&2
      while test -e hold-{name}; do sleep 0.02; done
      cat
  - sql: select * from records where n % 7 != 0
{memory}
load: {{to: "duckdb:///shop.duckdb?lock_wait=20", table: {name}}}
"""
NAMES = ("visits", "orders", "returns")
"""In the order of the DAG: each is run when those before it are through."""

MEMORY = "memory: {table: shop.orders, key: n}"
SETTINGS = {"ESS_BATCH_BYTES": "1B", "ESS_THREADS": "2"}
"""With which every file is a batch of its own."""

ROWS = 40


class Shop:
    """Lakes, pipelines and a warehouse; and those who work at night."""

    def __init__(self, user):
        self.user, self.folder = user, user.folder
        user.env |= SETTINGS
        (self.folder / "lake").mkdir()
        for name in NAMES:
            self.write(name, MEMORY if name == "orders" else "")

    def write(self, name, memory):
        (self.folder / f"{name}.yaml").write_text(PIPELINE.format(name=name, memory=memory))

    def arrive(self, name, day, more=""):
        """Let a file of 40 rows come in; two of them no numbers, five or six to be dropped."""
        rows = [f"2014-09-{day:02},{day * 100 + number}" for number in range(ROWS)]
        rows[3] = f"2014-09-{day:02},many"
        text = "\n".join(["day,n", *rows, ""])
        path = self.folder / "lake" / f"{name}_201409{day:02}{more}.csv.gz"
        path.write_bytes(gzip.compress(text.encode()))
        return path

    def run(self, name, code=0, **more):
        """Run a pipeline to its end, as the scheduler does."""
        return json.loads(self.user.ess("run", f"{name}.yaml", "--json", code=code, **more).stdout)

    def start(self, name, *args):
        return self.user.start("run", f"{name}.yaml", "--json", *args)

    def hold(self, name):
        (self.folder / f"hold-{name}").touch()
        return len(self.begun(name))

    def begun(self, name):
        return list(self.folder.glob(f"begun-{name}.*"))

    def let_go(self, name):
        (self.folder / f"hold-{name}").unlink()

    def workers(self):
        """Return the worker processes of the shop's own cluster."""
        daemon = json.loads((self.user.home / ".ess/daemon/state.json").read_text())["pid"]
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(path.read_text().rpartition(")")[2].split()[1])
                spawned = b"spawn_main" in (path.parent / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == daemon and spawned:
                found.append(int(path.parent.name))
        return found

    def runs(self):
        """Return what ``ess runs list`` tells, the oldest first."""
        return json.loads(self.user.ess("runs", "list", "--json").stdout)[::-1]


def finish(process):
    out, err = process.communicate(timeout=40)
    return process.returncode, out.decode(), err.decode()


def digest(path):
    """Return counts and a digest of every good row, with its file, and of the rejects."""
    found = {}
    with duckdb.connect(str(path), read_only=True) as connection:
        for name in NAMES:
            rows = connection.execute(
                f"select day, n, parse_filename(_ess_file) from {name} order by all"
            ).fetchall()
            found[name] = len(rows), hashlib.sha256(repr(rows).encode()).hexdigest()
        found["rejects"] = connection.execute(
            "select parse_filename(uri), line, reason, raw from _ess_rejects order by all"
        ).fetchall()
        found["ledger"] = connection.execute(
            "select parse_filename(uri), rows_loaded from _ess_ledger order by all"
        ).fetchall()
    return found


def undisturbed(shop):
    """Return the digest of a warehouse that got the same lake in peace."""
    shop.write("orders", "")
    env = {"ESS_CACHE_DIR": str(shop.user.home / "calm")}
    for name, code in zip(NAMES, (0, 0, 3), strict=True):
        to = ("--set", "load.to=duckdb:///calm.duckdb")
        shop.user.ess("run", f"{name}.yaml", *to, code=code, env=env)
    return digest(shop.folder / "calm.duckdb")


def client_is_killed(shop, end_processes):
    """The scheduler's machine kills a run in the middle; its next try loads everything."""
    before = shop.hold("visits")
    process = shop.start("visits")
    end_processes.append(process)
    assert wait_until(lambda: len(shop.begun("visits")) > before)
    process.kill()
    finish(process)
    shop.let_go("visits")
    assert shop.run("visits")["files"] == 1


def worker_is_killed_and_two_more_come(shop, end_processes):
    """A worker dies under a run; meanwhile a second run is sent away and a third one waits."""
    before = shop.hold("orders")
    process = shop.start("orders")
    end_processes.append(process)
    assert wait_until(lambda: len(shop.begun("orders")) > before)
    os.kill(shop.workers()[0], signal.SIGKILL)
    second = shop.user.ess("run", "orders.yaml", code=75)
    patient = shop.start("orders", "--wait", "60")
    end_processes.append(patient)
    assert b"waiting: the pipeline is held" in patient.stderr.readline()
    shop.let_go("orders")
    code, out, err = finish(process)
    assert code == 0, err
    report = json.loads(out)
    assert f"run {report['run_id']} (process {process.pid} on" in second.stderr
    code, out, err = finish(patient)
    assert (code, json.loads(out)["state"]) == (0, "nothing new"), err
    return report


def test_a_night(user, end_processes):
    shop = Shop(user)
    for name in NAMES:
        for day in (1, 2, 3):
            shop.arrive(name, day)
    evening = [shop.run(name) for name in NAMES]
    assert [report["rows_rejected"] for report in evening] == [3, 3, 3]

    for name in NAMES:
        shop.arrive(name, 4)
    broken = shop.arrive("returns", 5)
    broken.write_bytes(broken.read_bytes()[:60])
    client_is_killed(shop, end_processes)
    disturbed = worker_is_killed_and_two_more_come(shop, end_processes)
    failed = shop.run("returns", code=3)
    shop.arrive("visits", 2, "_late")
    late = shop.run("visits")

    story = shop.runs()[3:]
    assert [
        (run["pipeline"], run["state"], run["exit_code"], run["files"], run["alive"])
        for run in story
    ] == [
        ("visits", "interrupted", None, 0, None),
        ("visits", "done", 0, 1, None),
        ("orders", "done", 0, 1, None),
        ("returns", "failed", 3, 1, None),
        ("visits", "done", 0, 1, None),
    ]
    killed, _, orders, returns, visits = story
    assert "killed; nothing of it was loaded" in killed["error"]
    assert (orders["run_id"], returns["run_id"]) == (disturbed["run_id"], failed["run_id"])
    assert visits["run_id"] == late["run_id"]
    assert broken.name in returns["error"]
    for report in (disturbed, failed, late):
        accounted = report["rows_loaded"] + report["rows_rejected"] + report["rows_dropped"]
        assert report["rows_read"] == ROWS == accounted
    shown = json.loads(user.ess("runs", "show", returns["run_id"], "--json").stdout)
    assert (shown["report"], len(shown["reject_samples"])) == (failed, 1)
    page = (Path(returns["folder"]) / "report.html").read_text()
    assert broken.name in page

    in_memory = user.ess("query", "select count(*) as rows from shop.orders", "--format", "csv")
    calm = undisturbed(shop)
    assert in_memory.stdout.split()[-1] == str(calm["orders"][0])
    assert digest(shop.folder / "shop.duckdb") == calm
