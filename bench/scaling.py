"""What the engine itself costs on a cluster of other machines, for 1, 2, 4 and 8 workers.

The workers are real processes of this machine that see nothing of the caller's folder. A batch is
one real file that is opened, parsed, cleaned, staged as Parquet and fetched; its cleaning step
sleeps, so that two cores can show what many would do. Costs are processor time, which other work
on the machine does not change.
"""

import os
import pickle
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cloudpickle

from bench.measure import Row

WORKERS = (1, 2, 4, 8)
BATCHES = 64
SLEEP = 1.0
"""About what a core needs for a batch of 8 MiB of gz CSV."""
EMPTY = 512
"""Batches that do nothing: what is left is the cost of a task."""
LARGE = 64 << 20


def sleeping(frame):
    time.sleep(SLEEP)
    return frame


def nothing(batch):
    return batch


def large_file(batch, folder):
    from ess_dask.engine.elsewhere import here

    (here(folder) / f"large-{batch}").write_bytes(os.urandom(LARGE))
    return batch


@contextmanager
def far(workers):
    """Give (executor, cluster, folder of the lake, folder of the run) with that many workers."""
    from ess_dask.cluster import machines
    from ess_dask.engine.hands import Errand, far_executor
    from ess_dask.testing.far_cluster import far_cluster

    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        for name in ("mine", "far", "lake"):
            (base / name).mkdir()
        with far_cluster(base / "far", base / "mine", workers=workers) as cluster:
            (base / "mine" / "reservation.json").write_text(cluster.reservation())
            os.environ.update(
                ESS_WORK_DIR=str(base / "mine"),
                ESS_CACHE_DIR=str(base / "mine"),
                ESS_CLUSTER="custom",
            )
            assert machines.is_remote()
            root = str(base / "mine" / "run")
            with far_executor(print, "", Errand(root, "bench")) as executor:
                yield executor, cluster, base / "lake", root


def job_of(lake, root):
    from ess_dask.catalog.model import Category, Datastore
    from ess_dask.clean.function import PythonStep
    from ess_dask.engine.batches import make_batches
    from ess_dask.engine.model import Job
    from ess_dask.engine.sinks import Tee
    from ess_dask.engine.work import process
    from ess_dask.pipelines.execution import Window
    from ess_dask.pipelines.prepare import select_window
    from ess_dask.records.columnspec import parse_columnspec
    from ess_dask.records.spec import ReadSpec
    from ess_dask.warehouse.staging import StagingSink

    for number in range(BATCHES):
        text = "".join(f"{number},{n}\n" for n in range(1000)) + "bad\n"
        (lake / f"file_{number:04}.csv").write_text("a,b\n" + text)
    store = Datastore("lake", str(lake))
    _, found = select_window(store, Category("c", ("file_*.csv",)), Window())
    columns = parse_columnspec("I:a I:b")
    job = Job(
        store=store,
        read=ReadSpec(columns=columns),
        row_steps=(PythonStep.from_callable(sleeping),),
        rejects_folder=f"{root}/rejects",
    )
    sink = Tee((StagingSink(f"{root}/stage", columns),))
    return make_batches(found.files, 1), partial(process, job=job, sink=sink)


def seconds(executor, batches, work):
    """Return how long a job takes, and its results."""
    from ess_dask.engine.window import run_ordered

    started = time.perf_counter()
    results = list(run_ordered(batches, work, executor))
    return time.perf_counter() - started, results


def processor(pid):
    """Return the processor seconds of a process and of all below it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(map(processor, below))


@dataclass(frozen=True)
class Cost:
    """Seconds of a job, and processor seconds of client, scheduler and all workers."""

    wall: float
    client: float
    scheduler: float
    workers: float


def cost(executor, cluster, batches, work):
    """Run a job; return what it cost, and its results."""
    names = [name for name in cluster.processes if name != "scheduler"]

    def now():
        workers = sum(processor(cluster.processes[name].pid) for name in names)
        scheduler = processor(cluster.processes["scheduler"].pid)
        return time.process_time(), scheduler, workers

    before = now()
    wall, results = seconds(executor, batches, work)
    spent = [after - begin for after, begin in zip(now(), before, strict=True)]
    return Cost(wall, *spent), results


def measure(workers):
    """Return what a cluster of that many workers takes: sleeping, nothing, large files; bytes."""
    with far(workers) as (executor, cluster, lake, root):
        batches, work = job_of(lake, root)
        seconds(executor, batches[: 2 * workers], work)
        slept, results = cost(executor, cluster, batches, work)
        assert sum(count.kept for result in results for count in result.counts) == 1000 * BATCHES
        empty, _ = cost(executor, cluster, range(EMPTY), nothing)
        fetched, _ = cost(executor, cluster, range(2), partial(large_file, folder=root))
        sent = len(cloudpickle.dumps(executor.prepared(work))) + len(pickle.dumps(batches[0]))
        back = len(pickle.dumps(results[0])) + _stored(root) // BATCHES
        return slept, empty, fetched, sent, back


def _stored(root):
    small = [*Path(root, "stage").iterdir(), *Path(root, "rejects").iterdir()]
    return sum(path.stat().st_size for path in small)


def rows():
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    first = None
    for workers in WORKERS:
        slept, empty, fetched, sent, back = measure(workers)
        first = first or slept.wall
        own = (slept.wall * workers - BATCHES * SLEEP) / BATCHES
        limit = ">= 7" if workers == 8 else ""
        yield Row(
            f"{BATCHES} batches that sleep {SLEEP:g} s, {workers} worker(s)",
            f"{slept.wall:.2f} s",
            "",
            f"{first / slept.wall:.2f} x",
            limit,
        )
        yield Row("  the engine's own time per batch", f"{1000 * own:.0f} ms", "", "", "")
        yield _spent("  processor: a batch, client/scheduler/worker", slept, BATCHES)
        yield _spent("  processor: a batch that does nothing", empty, EMPTY)
        yield _spent("  processor: 64 MiB fetched in blocks", fetched, 2)
        yield Row("  bytes of a task / of its result", f"{sent:,}", f"{back:,}", "", "")


def _spent(name, spent, batches):
    parts = (spent.client, spent.scheduler, spent.workers)
    shown = "/".join(f"{1000 * part / batches:.1f}" for part in parts)
    return Row(name, f"{shown} ms", "", "", "")
