"""What the journal, the lock and the look at earlier runs cost of a run; what lists take.

Run as a script: ``python bench/journal.py run FOLDER`` prints the seconds of a run and those that
it spent there; ``python bench/journal.py list`` those of lists from a state of 1 M files and 10,000
runs.
"""

import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

PIPELINE = """
name: shop
source:
  store: {folder}
  category: purchase
  pattern: "purchase_*.csv.gz"
  columns: {{purchaseDate: timestamp, userID: string, articleID: int32, price: float64}}
load: {{to: "duckdb:///{home}/shop.duckdb", table: t}}
rejects: {{limit: "50%"}}
"""


class Watch:
    """Adds up the time in functions."""

    def __init__(self):
        self.seconds = 0.0

    @contextmanager
    def counted(self):
        begun = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - begun

    def around(self, owner, *names):
        for name in names:
            setattr(owner, name, self._counting(getattr(owner, name)))

    def _counting(self, act):
        def counting(*args, **more):
            with self.counted():
                return act(*args, **more)

        return counting


def run(folder):
    from ess_dask.pipelines import door
    from ess_dask.pipelines.execution import Window
    from ess_dask.pipelines.load import open_pipeline
    from ess_dask.pipelines.prepare import make_plan
    from ess_dask.pipelines.run import run_plan
    from ess_dask.runs import lock
    from ess_dask.runs.course import Course

    watch = Watch()
    watch.around(lock, "_wait")
    watch.around(door.Door, "settle")
    watch.around(Course, "__enter__", "__exit__", "advance", "_beat")
    with tempfile.TemporaryDirectory() as home:
        file = Path(home) / "shop.yaml"
        file.write_text(PIPELINE.format(folder=folder, home=home))
        begun = time.perf_counter()
        made = open_pipeline(str(file))
        report = run_plan(
            make_plan(made.pipeline, made.folder, made.settings, Window()), made.settings
        )
        seconds = time.perf_counter() - begun
    assert report.exit_code == 0, report.state
    print(seconds, watch.seconds)


def make_list():
    from ess_dask.catalog.index import Catalog, open_state
    from ess_dask.catalog.model import Category, Datastore, FileRef
    from ess_dask.runs.journal import Journal, open_journal
    from ess_dask.runs.model import RunRecord, State

    with open_state() as state:
        catalog = Catalog(state)
        catalog.put_datastore(Datastore("lake", "/lake"))
        number = catalog.put_category("lake", Category("c", ("*",))).number
        catalog.refresh(number, (FileRef(f"/lake/p_{n}.gz", None, n, "e") for n in range(1 << 20)))
        journal = Journal(state)
        for n in range(10_000):
            journal.begin(RunRecord(f"run-{n}", f"p{n % 20}", State.PLANNED, float(n)))
            for name in ("begin", "staged", "load", "loaded"):
                journal.append(f"run-{n}", name, State.RUNNING)
            journal.append(f"run-{n}", "finish", State.DONE, exit_code=0)
    begun = time.perf_counter()
    with open_journal() as journal:
        newest = journal.records(limit=50)
        of_one = journal.records("p3", limit=50)
    limited = time.perf_counter() - begun
    begun = time.perf_counter()
    with open_journal() as journal:
        assert len(journal.records()) == 10_000
    assert len(newest) == len(of_one) == 50
    print(limited, time.perf_counter() - begun)


if __name__ == "__main__":
    make_list() if sys.argv[1] == "list" else run(sys.argv[2])
