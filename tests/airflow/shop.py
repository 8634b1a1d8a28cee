"""A shop with daily files, a pipeline and a connection; what the tests of Airflow share."""

import gzip
import json
import os
import subprocess
import time
from pathlib import Path

ESS = os.environ.get("ESS", "")
"""The executable of the environment that holds the product."""

PASSWORD = "canary-of-the-warehouse"

PIPELINE = """
name: purchases
source:
  store: ./lake
  category: purchase
  pattern: "purchase_*.gz"
  date: auto
  columns: {purchaseDate: timestamp, userID: string, articleID: int32, price: float64, refID: int32}
clean: CLEAN
load: {to: "duckdb:///shop.duckdb?lock_wait=0", table: sales, mode: append}
rejects: {limit: "50%"}
"""


class Shop:
    """A folder with a lake, a pipeline and a connection ``shop`` that leads there."""

    def __init__(self, folder):
        self.folder = folder
        self.lake = folder / "lake"
        self.state = folder / "state"
        self.lake.mkdir(parents=True)
        self.write("[sql: select * from records where price > 0]")
        for day in (1, 2, 3):
            self.arrive(day)

    def write(self, clean):
        (self.folder / "shop.yaml").write_text(PIPELINE.replace("CLEAN", clean))

    def arrive(self, day):
        """Let a day's file come in, whole at once: 30 good rows, a reject, a free sample."""
        name = f"purchase_2014090{day}.csv.gz"
        lines = ["purchaseDate,userID,articleID,price,refID"]
        lines += [f"2014-09-0{day} 10:00:{n:02},u{n},{n},{n}.5," for n in range(30)]
        lines += [f"2014-09-0{day} 11:00:00,u1,TBD,1.5,", f"2014-09-0{day} 12:00:00,u2,1,0,"]
        (self.folder / name).write_bytes(gzip.compress("\n".join(lines).encode()))
        (self.folder / name).rename(self.lake / name)

    def extra(self, **more):
        return {"executable": ESS, "folder": str(self.folder), "cache_dir": str(self.state)} | more

    def ess(self, *words):
        env = {"HOME": str(self.folder), "ESS_CACHE_DIR": str(self.state), "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            [ESS, *words], cwd=self.folder, env=env, check=True, timeout=60,
            capture_output=True, text=True,
        ).stdout  # fmt: skip

    def ask(self, sql):
        """Return the rows of a query to the warehouse."""
        code = (
            "import duckdb, json, sys;"
            "print(json.dumps(duckdb.connect('shop.duckdb', read_only=True)"
            ".execute(sys.argv[1]).fetchall()))"
        )
        done = subprocess.run(
            [Path(ESS).with_name("python"), "-c", code, sql], cwd=self.folder, check=True,
            timeout=60, capture_output=True, text=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    def loaded(self):
        """Return the days that are loaded."""
        if not (self.folder / "shop.duckdb").exists():
            return []
        return [int(each[0][-8]) for each in self.ask("select uri from _ess_ledger order by 1")]

    def hold(self):
        """Start somebody else who keeps the warehouse open; end him with ``terminate()``."""
        code = (
            "import duckdb, sys; c = duckdb.connect('shop.duckdb');"
            "print('held', flush=True); sys.stdin.read()"
        )
        holder = subprocess.Popen(
            [Path(ESS).with_name("python"), "-c", code], cwd=self.folder,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert holder.stdout.readline() == b"held\n"
        return holder

    def processes(self):
        """Return the command lines of the living processes of this shop's state, by pid."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if f"ESS_CACHE_DIR={self.state}".encode() in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                continue
        return found


def connect(monkeypatch, name, extra, kind="ess", **more):
    """Make a connection, as the environment of Airflow holds it."""
    connection = {"conn_type": kind, "password": PASSWORD, "extra": extra} | more
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))


def wait_for(condition, seconds=60):
    """Look until the condition holds; fail after some seconds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.02)
    return found


remembered = []


def remember(context):
    """Keep a task as it was when it had ended (a callback)."""
    remembered.append(context["task"])
