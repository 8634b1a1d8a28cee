"""A pipeline killed with SIGKILL at each of its effects, and run again; prints what came out.

Run as a program: ``crashes.py MODE EFFECTS`` in an empty folder, for ``all`` effects or only those
of the ``load``, which the mode changes. What is undisturbed, killed and run again begins with the
same warehouse, state and lake. The killed runs are children of this process, which has all imports
done; all others are run by itself. Texts in a plain CSV are read without Polars, whose threads a
fork would lose; a child that hangs ends by an alarm.
"""

import functools
import hashlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import duckdb

from ess_dask.cli.main import ess
from ess_dask.cli.main import run as command
from ess_dask.engine import work as engine_work
from ess_dask.pipelines import run_folder, work
from ess_dask.pipelines.report import RunReport
from ess_dask.runs import lock
from ess_dask.runs.journal import Journal, open_journal
from ess_dask.warehouse.duckdb import transaction, warehouse

PIPELINE = """
name: shop
source: {{store: ./lake, category: c, pattern: "p_*.csv", columns: {{id: string, v: string}}}}
load: {{to: "duckdb:///shop.duckdb", table: t, mode: {mode}{key}}}
rejects: {{limit: "50%"}}
"""


class Killer:
    """Counts effects, before and after; at the one that is wanted the process ends."""

    def __init__(self, wanted=None):
        self.wanted, self.seen = wanted, []

    def hit(self, label):
        self.seen.append(label)
        if len(self.seen) - 1 == self.wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner, name, label=None):
        act = getattr(owner, name)

        @functools.wraps(act)
        def watched(*args, **more):
            what = label(args) if label else name
            self.hit(f"before {what}")
            result = act(*args, **more)
            self.hit(f"after {what}")
            return result

        setattr(owner, name, watched)

    def install(self):
        """Watch everything that a run leaves behind. Only in a process that ends."""
        self.around(lock, "_write", lambda args: "the lock")
        self.around(Journal, "begin", lambda args: "journal: planned")
        self.around(Journal, "append", lambda args: f"journal: {args[2]}")
        self.around(run_folder, "_sweep", lambda args: "the sweep")
        self.around(run_folder, "_remove", lambda args: "removing the stage")
        self.around(engine_work, "process", lambda args: "a batch")
        self.around(work.Work, "request", lambda args: "the request")
        self.around(RunReport, "save", lambda args: "the report")
        load = transaction.run_load

        def stepped(connection, request, *, text, watch):
            return load(connection, request, text=text, watch=lambda s: self.hit(f"in load: {s}"))

        warehouse.run_load = stepped


def make_lake(days):
    Path("lake").mkdir(exist_ok=True)
    for day in days:
        rows = "".join(f"{n},{n * day}\n" for n in range(day, day + 20))
        Path(f"lake/p_2014090{day}.csv").write_text(f"id,v\n{rows}bad\n")


def run_pipeline():
    return command(ess, ["run", "shop.yaml", "--quiet"])


def outcome():
    """Return what the warehouse holds, without what names a run or a time."""
    found = {}
    with duckdb.connect("shop.duckdb", read_only=True) as connection:
        for name, query in {
            "rows": "select id, v, _ess_file from t order by all",
            "ledger": "select uri, etag, rows_loaded, rows_rejected from _ess_ledger"
            " where replaced_by is null or replaced_by = '' order by all",
            "rejects": "select uri, line, reason from _ess_rejects where load_id in (select load_id"
            " from _ess_ledger where replaced_by is null or replaced_by = '') order by all",
        }.items():
            rows = connection.execute(query).fetchall()
            found[name] = [len(rows), hashlib.sha256(str(rows).encode()).hexdigest()]
    return found | {"stages": [str(path) for path in Path("state/runs").glob("*/stage")]}


def begin_anew(folder, saved):
    """Make all as it was saved, in the same place and with the same times: that is how files are
    known."""
    os.chdir(saved.parent)
    shutil.rmtree(folder)
    shutil.copytree(saved, folder)
    os.chdir(folder)


def killed_at(number, listing):
    """Run the pipeline in a child that dies at an effect; return how it ended."""
    child = os.fork()
    if not child:
        signal.alarm(30)
        killer = Killer(number)
        killer.install()
        code = run_pipeline()
        Path(listing).write_text(json.dumps(killer.seen))
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def runs():
    with open_journal() as journal:
        return [[run.state, run.run_id, run.error] for run in reversed(journal.records())]


def is_of_load(effect):
    return effect.startswith("in load") or effect.split(" ", 1)[1] in (
        "the request", "journal: load", "journal: loaded",
    )  # fmt: skip


def main(mode, which):
    os.environ.update(ESS_THREADS="1", ESS_BATCH_BYTES="64B")
    folder, saved = Path("shop").absolute(), Path("saved").absolute()
    folder.mkdir()
    os.chdir(folder)
    os.environ["ESS_CACHE_DIR"] = str(folder / "state")
    key = ", key: [id]" if mode == "upsert" else ""
    Path("shop.yaml").write_text(PIPELINE.format(mode=mode, key=key))
    make_lake([1, 2])
    assert run_pipeline() == 0
    make_lake([3, 4])
    shutil.copytree(folder, saved)
    # First of all: what it is to be, and which effects there are.
    assert killed_at(None, "effects") == 0
    effects = json.loads(Path("effects").read_text())
    report = {"expected": outcome(), "effects": effects, "killed": []}
    for number, effect in enumerate(effects):
        if which == "load" and not is_of_load(effect):
            continue
        begin_anew(folder, saved)
        ended = killed_at(number, "effects")
        before = runs()
        code = run_pipeline()
        report["killed"].append({
            "number": number, "effect": effect, "ended": ended, "code": code, "outcome": outcome(),
            "runs_before": before, "runs": runs(),
        })  # fmt: skip
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
