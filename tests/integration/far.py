"""A far cluster with a shared place in S3, and imports that its workers do."""

import gzip
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import numpy as np
import pyarrow as pa
import pytest
from distributed import Client, LocalCluster

from ess_dask.catalog.model import FileRef
from ess_dask.engine.model import Batch, Piece
from ess_dask.tables.layout import MergeRule, TableLayout
from ess_dask.tables.session import open_session, table_name
from ess_dask.tables.store import TableStore
from ess_dask.testing.far_cluster import far_cluster
from ess_dask.testing.s3 import rclone_s3

# The workers cannot import this file.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

SCHEMA = pa.schema([("user", pa.string()), ("n", pa.int64()), ("price", pa.float64())])
LAYOUTS = {
    "plain": TableLayout(SCHEMA, ("user",), 16),
    "sorted": TableLayout(SCHEMA, ("user",), 16, sort=("price",)),
    "vector": TableLayout(
        SCHEMA, ("user",), 16, merge_key=("user",), ordered=True,
        merge=(MergeRule("n", "max"), MergeRule("price", "add")),
    ),
}  # fmt: skip


def batch_rows(number, count=1000):
    numbers = np.arange(number * count, (number + 1) * count)
    users = [f"u{n * 7919 % 503}" for n in numbers]
    return pa.table([users, numbers, numbers % 97 / 10], schema=SCHEMA)


def import_batch(sink, number, count=1000, pause=0.0):
    """What the engine does with a batch, in two pieces."""
    import time

    file = FileRef(f"f{number}", None, count, "e")
    writer = sink.open(Batch(number, (file,)))
    table = batch_rows(number, count)
    for part in (table.slice(0, count // 2), table.slice(count // 2)):
        writer.write(Piece(part, (file,), np.zeros(part.num_rows, np.int64)))
        time.sleep(pause)
    return writer.close()


def start_import(session, layout, batches=4, first=0, **more):
    sink = session.store.sink(LAYOUTS[layout])
    tasks = [
        session.client.submit(import_batch, sink, number, pure=False, retries=2, **more)
        for number in range(first, first + batches)
    ]
    return sink, tasks


def finish(session, name, sink, tasks):
    segments = [segment for parts in session.client.gather(tasks) for segment in parts]
    return session.store.publish(table_name(name), sink, segments)


def put(session, name, layout="plain", **more):
    return finish(session, name, *start_import(session, layout, **more))


def rows_at_home(folder):
    """Return what each layout's import of 4 batches comes to on this machine, by its name."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, host="127.0.0.1", protocol="tcp://",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        store = TableStore(client, folder)
        found = {}
        for kind, layout in LAYOUTS.items():
            sink = store.sink(layout)
            segments = [segment for number in range(4) for segment in import_batch(sink, number)]
            with store.publish(table_name(f"home.{kind}"), sink, segments) as table:
                found[kind] = table.to_arrow()
    return found


@dataclass
class Far:
    """``buckets`` is the folder that S3 serves, ``home`` the client's, which workers do not see."""

    cluster: object
    buckets: Path
    home: Path

    def session(self):
        return open_session(lambda text: None)

    def describe(self):
        """Write down where the cluster is reached."""
        (self.home / "conf" / "reservation.json").write_text(self.cluster.reservation())

    def objects(self):
        return sorted(str(path.relative_to(self.buckets)) for path in self.buckets.rglob("*.arrow"))


@contextmanager
def far_with_s3(folder, workers=2):
    """Run both; this process and those it starts use the cluster while the block runs."""
    home, buckets = folder / "mine", folder / "s3"
    (home / "conf").mkdir(parents=True)
    (buckets / "bucket").mkdir(parents=True)
    (folder / "far").mkdir()
    ours = {
        "HOME": str(home),
        "ESS_CACHE_DIR": str(home / "ess"),
        "ESS_WORK_DIR": str(home / "conf"),
        "ESS_CLUSTER": "custom",
        "ESS_SHARED_TABLES": "s3://bucket/ess",
    }
    with (
        rclone_s3(buckets) as s3,
        far_cluster(folder / "far", home, workers) as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**ours, **s3.env}.items():
            patch.setenv(name, value)
        far = Far(cluster, buckets, home)
        far.describe()
        yield far


def read_alone(path, partition, layout):
    from ess_dask.catalog.s3_ranges import traffic
    from ess_dask.tables.segment import read_partition

    before = traffic.requests, traffic.received
    rows = read_partition(path, partition, layout).num_rows
    return traffic.requests - before[0], traffic.received - before[1], rows


def count_slowly(partition):
    import time

    time.sleep(0.02)
    return partition.num_rows


async def leave(dask_worker):
    """What a worker does when it gets notice."""
    await dask_worker.close_gracefully(reason="spot notice")


def spare_copies_first(dask_scheduler):
    """Have Dask's memory manager end spare copies before it does anything else.

    Its policies stand in a set: which comes first is another one each time.
    """

    class InOrder(list):
        add = list.append

        def discard(self, policy):
            if policy in self:
                self.remove(policy)

    manager = dask_scheduler.extensions["amm"]
    ends = {policy for policy in manager.policies if type(policy).__name__ == "ReduceReplicas"}
    manager.policies = InOrder([*ends, *(manager.policies - ends)])
    return len(ends)


def late_bytes(seconds):
    import time

    time.sleep(seconds)
    return bytes(1000)


def pause(dask_worker, *, on):
    """Have a worker believe that its memory is full, or not."""
    dask_worker.memory_manager.memory_pause_fraction = 1e-6 if on else 0.8


def make_lake(buckets):
    """Put three small files of purchases into the bucket ``lake``."""
    (buckets / "lake").mkdir()
    for day in range(1, 4):
        rows = "".join(f"k{n % 3},{10 * day + n}\n" for n in range(4))
        text = f"k,n\n{rows}"
        (buckets / "lake" / f"f_2020010{day}.csv.gz").write_bytes(gzip.compress(text.encode()))
