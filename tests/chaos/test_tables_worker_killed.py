"""Workers and daemons that are killed: the result is the same, or the loss is told."""

import _thread
import os
import signal
import threading
import time
from pathlib import Path

import duckdb
import numpy as np
import psutil
import pyarrow as pa
import pytest
from distributed import Client

import ess_dask as ess
from ess_dask.catalog.model import FileRef
from ess_dask.clean.running import running
from ess_dask.engine.model import Batch, Piece
from ess_dask.errors import UsageError, WorkerLostError
from ess_dask.query.sql.compile import compile_statement
from ess_dask.query.sql.memory import MemoryRows
from ess_dask.query.sql.model import Side, Work
from ess_dask.query.sql.run import Run
from ess_dask.tables.layout import TableLayout
from ess_dask.tables.registry import TableName
from ess_dask.tables.session import open_session, running_session
from ess_dask.tables.store import TableStore
from tests.chaos.conftest import workers
from tests.integration.far import LAYOUTS, SCHEMA

pytestmark = pytest.mark.slow

BATCHES = 8
ROWS = 10_000
NAME = TableName("/w", "wood", "allsales")


@pytest.fixture
def client(cluster):
    with Client(cluster, set_as_default=False) as client:
        yield client


def batch_rows(number):
    numbers = np.arange(number * ROWS, (number + 1) * ROWS)
    users = [f"u{n * 7919 % 5003}" for n in numbers]
    return pa.table([users, numbers, numbers % 97 / 10], schema=SCHEMA)


def import_batch(sink, number):
    """What the engine does with a batch, in several pieces and not too fast."""
    file = FileRef(f"f{number}", None, ROWS, "e")
    writer = sink.open(Batch(number, (file,)))
    table = batch_rows(number)
    for start in range(0, ROWS, 2500):
        nothing = np.zeros(2500, dtype=np.int64)
        writer.write(Piece(table.slice(start, 2500), (file,), nothing))
        time.sleep(0.02)
    return writer.close()


def start_import(client, sink):
    return [
        client.submit(import_batch, sink, number, pure=False, retries=2)
        for number in range(BATCHES)
    ]


def finish(client, store, sink, tasks):
    segments = [segment for parts in client.gather(tasks) for segment in parts]
    return store.publish(NAME, sink, segments)


def undisturbed(client, folder, layout):
    store = TableStore(client, folder)
    sink = store.sink(layout)
    table = finish(client, store, sink, start_import(client, sink)).to_arrow()
    store.drop(NAME)
    return table


def kill_one(client):
    """SIGKILL a worker process of our own cluster."""
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)


@pytest.mark.parametrize("kind", ["plain", "vector"])
def test_a_worker_killed_in_the_middle_of_an_import_changes_nothing(client, tmp_path, kind):
    layout = LAYOUTS[kind]
    expected = undisturbed(client, tmp_path / "t", layout)
    store = TableStore(client, tmp_path / "t")
    sink = store.sink(layout)
    tasks = start_import(client, sink)
    while len(list(Path(sink.folder).glob("*.arrow"))) < 3:
        time.sleep(0.005)
    kill_one(client)
    table = finish(client, store, sink, tasks)
    assert table.to_arrow().equals(expected)
    assert {p.name for p in Path(sink.folder).iterdir()} == {
        Path(s.path).name for _, s in table.version.segments
    }


@pytest.mark.parametrize("kind", ["sorted", "vector"])
def test_a_worker_killed_while_a_version_is_made_changes_nothing(client, tmp_path, kind):
    layout = LAYOUTS[kind]
    expected = undisturbed(client, tmp_path / "t", layout)
    store = TableStore(client, tmp_path / "t")
    # Two imports: what an import leaves unpublished is removed.
    halves = []
    for part in (0, 1):
        sink = store.sink(layout)
        segments = [s for parts in client.gather(start_import(client, sink)) for s in parts]
        half = len(segments) // 2
        halves.append((sink, segments[half:] if part else segments[:half]))
    store.publish(NAME, *halves[0]).close()
    killer = threading.Timer(0.02, kill_one, [client])
    killer.start()
    table = store.publish(NAME, *halves[1])
    killer.join()
    assert table.to_arrow().equals(expected)


def test_a_worker_killed_in_the_middle_of_sql_changes_nothing(client, tmp_path):
    store = TableStore(client, tmp_path / "t")
    sink = store.sink(LAYOUTS["plain"])
    rows = MemoryRows(finish(client, store, sink, start_import(client, sink)))
    query = "select sum(a.n * b.n) as s from t a join t b using (user) where a.price < b.price"
    work = Work(query, ("t",), (("user", "n", "price"),))
    expected = list(rows.map(work, (), {}))
    killer = threading.Timer(0.1, kill_one, [client])
    killer.start()
    assert list(rows.map(work, (), {})) == expected
    killer.join()


def test_a_worker_killed_in_the_middle_of_a_look_up_changes_nothing(client, tmp_path):
    store = TableStore(client, tmp_path / "t")
    sink = store.sink(LAYOUTS["plain"])
    rows = MemoryRows(finish(client, store, sink, start_import(client, sink)))
    query = (
        "select sum(n * i) as s, count(*) as c from t, range(3000) r(i) "
        "where user = 'u7' or (n * 31 + i) % 7 = 3"
    )
    work = Work(query, ("t",), (("user", "n"),), at=("u7",))
    (expected,) = rows.map(work, (), {})
    killed = []

    def kill_all_when_it_runs():
        deadline = time.monotonic() + 30
        while not sum(client.run(len_running).values()) and time.monotonic() < deadline:
            time.sleep(0.005)
        killed.extend(client.run(os.getpid).values())
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_all_when_it_runs)
    killer.start()
    (found,) = rows.map(work, (), {})
    killer.join(60)
    assert killed and found == expected


class Killing(MemoryRows):
    """Kills a worker when the second stage of a question has its first part; counts the parts."""

    parts = 0

    def map(self, *asked):
        for part in super().map(*asked):
            self.parts += 1
            if self.parts == len(self.futures) + 1:
                kill_one(self.client)
            yield part


def test_what_a_question_sent_may_be_lost_with_the_only_worker(tmp_path):
    """The table is made again from its segments; what was sent with the question has none."""
    text = (
        "select count(*) c, sum(a.n * b.low) s from t a "
        "join (select n % 100 as m, min(n) low from t group by 1) b on a.n % 100 = b.m"
    )
    with workers(1) as one, Client(one, set_as_default=False) as client:
        store = TableStore(client, tmp_path / "t")
        sink = store.sink(LAYOUTS["plain"])
        rows = Killing(finish(client, store, sink, start_import(client, sink)))
        side = Side("t", "t", rows.schema, rows.key, rows.placement, 1, len(rows.futures))
        expected = duckdb.from_arrow(rows.memory.to_arrow()).query("t", text).to_arrow_table()
        got = Run(compile_statement(text, lambda _: side), {"t": rows}).rows()
        assert got.to_pylist() == expected.to_pylist()
        assert rows.parts > 2 * len(rows.futures) + 1


@pytest.mark.parametrize("at", [None, ("u7",)])
def test_an_interrupted_query_ends_on_the_workers(client, tmp_path, at):
    store = TableStore(client, tmp_path / "t")
    sink = store.sink(LAYOUTS["plain"])
    rows = MemoryRows(finish(client, store, sink, start_import(client, sink)))
    endless = "select count(*) as c from t, range(100000000000) r(i) where n + i = -1"
    interrupt = threading.Timer(2, _thread.interrupt_main)
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        list(rows.map(Work(endless, ("t",), (("n",),), at=at), (), {}))
    interrupt.join()
    deadline = time.monotonic() + 60
    while sum(client.run(len_running).values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert sum(client.run(len_running).values()) == 0


def test_an_interrupted_look_up_does_not_begin_when_the_workers_are_free_again(client, tmp_path):
    store = TableStore(client, tmp_path / "t")
    sink = store.sink(LAYOUTS["plain"])
    rows = MemoryRows(finish(client, store, sink, start_import(client, sink)))
    endless = "select count(*) as c from t, range(100000000000) r(i) where n + i = -1"
    threads = sum(client.nthreads().values())
    others = client.map(time.sleep, [4] * threads, pure=False)
    main = threading.main_thread().ident
    interrupt = threading.Timer(2, signal.pthread_kill, [main, signal.SIGINT])
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        list(rows.map(Work(endless, ("t",), (("n",),), at=("u7",)), (), {}))
    interrupt.join()
    client.gather(others)
    for _ in range(10):
        time.sleep(0.1)
        assert sum(client.run(len_running).values()) == 0


def len_running():
    return len(running)


def slow_count(partition):
    time.sleep(0.05)
    return partition.num_rows


def test_a_worker_killed_in_the_middle_of_a_query_changes_nothing(client, tmp_path):
    layout = LAYOUTS["sorted"]
    expected = undisturbed(client, tmp_path / "t", layout)
    store = TableStore(client, tmp_path / "t")
    sink = store.sink(layout)
    table = finish(client, store, sink, start_import(client, sink))
    counts = table.map(slow_count)
    killer = threading.Timer(0.1, kill_one, [client])
    killer.start()
    assert table.map(slow_count) == counts
    killer.join()
    assert table.to_arrow().equals(expected)


def test_all_workers_killed_at_rest_the_table_is_rebuilt(client, tmp_path):
    layout = LAYOUTS["vector"]
    expected = undisturbed(client, tmp_path / "t", layout)
    store = TableStore(client, tmp_path / "t")
    sink = store.sink(layout)
    finish(client, store, sink, start_import(client, sink)).close()
    for pid in client.run(os.getpid).values():
        os.kill(pid, signal.SIGKILL)
    assert store.open(NAME).to_arrow().equals(expected)


def die(partition):
    os.kill(os.getpid(), signal.SIGKILL)


def test_work_that_kills_every_worker_is_given_up_with_a_name(client, tmp_path):
    store = TableStore(client, tmp_path / "t")
    sink = store.sink(TableLayout(SCHEMA, ("user",), 1))
    table = finish(client, store, sink, start_import(client, sink)[:1])
    with pytest.raises(WorkerLostError, match=r"table wood\.allsales: workers died"):
        table.map(die)
    assert table.count() == ROWS and table.to_arrow().num_rows == ROWS


@pytest.fixture
def own_daemon(tmp_path, monkeypatch):
    for name in ("HOME", "ESS_CACHE_DIR", "ESS_WORK_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("ESS_THREADS", "2")
    yield
    from ess_dask.cluster import local

    local.stop()


def test_a_local_worker_killed_in_the_middle_of_a_question_costs_no_row(own_daemon, tmp_path):
    lake = tmp_path / "lake"
    lake.mkdir()
    lines = [f"u{number * 7919 % 997},{number}" for number in range(24_000)]
    (lake / "sale_20200101.csv").write_text("user,n\n" + "\n".join(lines) + "\n")
    sale = ess.select(str(lake)).category(
        "sale", "sale_*.csv", columns={"user": "string", "n": "int64"}
    )
    slow = (
        "select a.user, count(*) as pairs, sum(a.n) as total from this a, range(2500) r(i) "
        "where (a.n * 31 + i) % 7 < 5 group by a.user order by pairs desc, total"
    )
    with ess.connect() as cluster, sale.all().into("wood.sale", key="user") as table:
        expected = duckdb.from_arrow(table.to_arrow()).query("this", slow).to_arrow_table()
        client = cluster.session.client
        killed = []

        def kill_when_it_runs():
            while not sum(client.run(len_running).values()):
                time.sleep(0.005)
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill_when_it_runs)
        killer.start()
        answer = table.sql(slow)
        killer.join(60)
        assert killed and killed != list(client.run(os.getpid).values())
        assert answer.to_arrow().to_pylist() == expected.to_pylist()


def test_the_local_daemon_survives_its_worker_but_not_itself(own_daemon):
    said = []
    with open_session(said.append) as session:
        assert len(said) == 1 and "started the local cluster" in said[0]
        sink = session.store.sink(LAYOUTS["plain"])
        segments = [s for parts in session.client.gather(start_import(session.client, sink))
                    for s in parts]  # fmt: skip
        name = TableName(os.environ["ESS_WORK_DIR"], "wood", "allsales")
        expected = session.store.publish(name, sink, segments).to_arrow()
        kill_one(session.client)
    with running_session() as session, session.open("wood:allsales") as table:
        assert table.to_arrow().equals(expected)
    from ess_dask.cluster import local

    daemon = psutil.Process(local.find().pid)
    daemon.kill()
    daemon.wait(20)
    while running_session() is not None:
        time.sleep(0.05)
    with open_session(said.append) as session:
        assert session.store.names() == ()
        with pytest.raises(UsageError, match=r"no table wood\.allsales"):
            session.open("wood.allsales")
        tables = Path(os.environ["ESS_CACHE_DIR"]) / "tables"
        assert len(list(tables.iterdir())) == 1
