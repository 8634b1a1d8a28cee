"""A shop whose nightly job is disturbed: its pipeline, its state as seen from outside, leaks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

PIPELINE = """
name: shop
source:
  store: {store}
  category: purchase
  pattern: "*purchase_*.gz"
  columns:
    {{purchaseDate: timestamp, userID: string, articleID: int32, price: float64, refID: int32}}
clean:
{clean}
{memory}
load: {{to: "{warehouse}", table: sales}}
rejects: {{limit: "5%"}}
"""
DROP_FREE = "  - sql: select * from records where price > 0"
TABLE = """
import json, sys
from ess_dask.tables.session import running_session
with running_session() as session, session.open(sys.argv[1]) as table:
    rows = table.to_arrow().to_pylist()
print(json.dumps(sorted(str(tuple(row.values())) for row in rows)))
"""
SMALL = {"ESS_BATCH_BYTES": "4KiB", "ESS_THREADS": "2"}
"""Settings with which every file of the small lake is a batch of its own."""


class Shop:
    """A user with a pipeline ``shop.yaml`` on the small lake; looks at results and at leaks."""

    def __init__(self, user, lake, account):
        self.user, self.lake, self.account = user, lake, account
        self.folder, self.state = user.folder, user.home / ".ess"
        self.temporary = user.home / "tmp"
        self.temporary.mkdir()
        user.env["TMPDIR"] = str(self.temporary)

    def write(self, clean=DROP_FREE, memory="", store=None, warehouse="duckdb:///shop.duckdb"):
        """Write the pipeline file."""
        text = PIPELINE.format(
            store=store or self.lake, clean=clean, memory=memory, warehouse=warehouse
        )
        (self.folder / "shop.yaml").write_text(text)

    def run(self, *args, code=0, env=SMALL, timeout=100):
        """Run the pipeline to its end; return its report."""
        done = self.user.ess("run", "shop.yaml", "--json", *args, code=code, env=env,
                             timeout=timeout)  # fmt: skip
        return json.loads(done.stdout)

    def fail(self, *args, code, env=SMALL, timeout=100):
        """Run the pipeline, which must end with ``code``; return what it said on stderr."""
        return self.user.ess("run", "shop.yaml", *args, code=code, env=env, timeout=timeout).stderr

    def start(self, *args, env=SMALL):
        """Start the pipeline; return the process."""
        return self.user.start("run", "shop.yaml", "--json", *args, env=env, start_new_session=True)

    def rows(self, query="select count(*), count(distinct _ess_file) from sales"):
        """Ask the warehouse."""
        with duckdb.connect(str(self.folder / "shop.duckdb"), read_only=True) as connection:
            return connection.execute(query).fetchall()

    def table(self, name="wood.sales"):
        """Return the rows of a memory table as sorted texts; asked by a process of its own."""
        done = subprocess.run(
            [sys.executable, "-c", TABLE, name],
            cwd=self.folder, env=self.user.env, capture_output=True, timeout=60, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    def check_complete(self, memory=False):
        """Every row of the lake is where it belongs, once."""
        assert self.rows() == [(self.account.loadable, 16)]
        assert self.rows("select count(*) from _ess_rejects") == [(self.account.bad,)]
        assert self.rows("select count(*), sum(rows_loaded) from _ess_ledger") == [
            (16, self.account.loadable)
        ]
        if memory:
            columns = "purchaseDate, userID, articleID, price, refID"
            loaded = self.rows(f"select {columns} from sales")
            assert self.table() == sorted(str(row) for row in loaded)

    def stages(self):
        """Return the staging folders there are."""
        return list((self.state / "runs").glob("*/stage"))

    def processes(self):
        """Return the living processes of this user, by pid: they all carry his home."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if f"={self.user.home}".encode() in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                continue
        return found

    def daemon(self):
        """Return the pid of the local cluster's daemon."""
        return json.loads((self.state / "daemon" / "state.json").read_text())["pid"]

    def workers(self):
        """Return the pids of the worker processes."""
        found = []
        for pid, command in self.processes().items():
            parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
            if b"spawn_main" in command and int(parent) == self.daemon():
                found.append(pid)
        return found

    def check_nothing_left(self, stages=True):
        """Nothing of a finished command is left but what it is to leave."""
        wait_for(lambda: not self.processes())
        assert list(self.temporary.iterdir()) == []
        assert not stages or self.stages() == []
        assert not [path for path in self.user.home.rglob("*") if path.is_socket()]


def wait_for(condition, seconds=30):
    """Look until the condition holds; fail after some seconds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.005)
    return found


def kill(child):
    """SIGKILL a process we started, with its process group, and collect it."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    return child.communicate(timeout=20)


@pytest.fixture
def until():
    """Give the function that waits for a condition."""
    return wait_for


@pytest.fixture
def kill_group():
    """Give the function that kills a started process with its group."""
    return kill


@pytest.fixture
def shop(user, small_lake):
    """Give a shop on the small lake: 16 purchase files."""
    return Shop(user, *small_lake)


def workers(number):
    """Return a cluster of so many processes on loopback."""
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=number, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    )


@pytest.fixture
def cluster():
    """Give a cluster of two workers."""
    with workers(2) as cluster:
        yield cluster
