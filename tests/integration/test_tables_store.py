"""Tables in a real (in-process) cluster: versions, readers, merges, order, failures."""

import os
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from distributed import Client, LocalCluster

from ess_dask.cluster.passing import pass_environment
from ess_dask.errors import ConflictError, EssError, ReadError, TransientError, UsageError
from ess_dask.tables import load as load_module
from ess_dask.tables.homes import sweep_instances
from ess_dask.tables.layout import MergeRule, TableLayout
from ess_dask.tables.load import Recipe, load_partition
from ess_dask.tables.registry import Registry, TableName
from ess_dask.tables.segment import SegmentWriter
from ess_dask.tables.store import TableStore

SCHEMA = pa.schema([("k", pa.string()), ("n", pa.int64()), ("x", pa.float64())])
PLAIN = TableLayout(SCHEMA, ("k",), 8)
SORTED = TableLayout(SCHEMA, ("k",), 8, sort=("x",))
ORDERED = TableLayout(SCHEMA, ("k",), 8, ordered=True)
VECTOR = TableLayout(
    SCHEMA, ("k",), 8, merge_key=("k",), ordered=True,
    merge=(MergeRule("n", "first"), MergeRule("x", "add")),
)  # fmt: skip
NAME = TableName("/w", "shop", "sales")


def make_cluster(workers):
    # Over TCP as a real cluster: inproc would hand one client's futures to another.
    return LocalCluster(
        n_workers=workers, threads_per_worker=2, processes=False, host="127.0.0.1",
        protocol="tcp://", dashboard_address="127.0.0.1:0",
    )  # fmt: skip


@pytest.fixture(scope="module")
def cluster():
    with make_cluster(2) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture
def store(client, tmp_path):
    return TableStore(client, tmp_path / "tables")


def rows(start, count, keys=11):
    values = range(start, start + count)
    columns = [[f"k{v * 7 % keys}" for v in values], list(values), [v % 5 / 10 for v in values]]
    return pa.table(columns, schema=SCHEMA)


def write(sink, *tables):
    segments = []
    for number, table in enumerate(tables):
        writer = SegmentWriter(Path(sink.folder), sink.layout)
        writer.add(table)
        segments.append(writer.close(((f"f{number}", "e"),)))
    return segments


def put(store, *tables, layout=PLAIN, name=NAME, fresh=False):
    sink = store.sink(layout)
    return store.publish(name, sink, write(sink, *tables), fresh=fresh)


def files(store):
    return sorted(p for p in store._registry.folder.glob("segments/*/*"))


def test_what_was_imported_can_be_read(store):
    with put(store, rows(0, 50), rows(50, 50)) as table:
        assert table.count() == 100
        assert table.schema == SCHEMA
        got = table.to_arrow()
        assert got.schema == SCHEMA and got.sort_by("n").equals(rows(0, 100).combine_chunks())
        assert table.head(7).equals(got.slice(0, 7)) and table.head(500).num_rows == 100
        assert table.to_pandas().shape == (100, 3)
        assert table.sources == (("f0", "e"), ("f1", "e"))
        assert sum(table.map(lambda part, column: part[column].to_pylist().count("k3"), "k")) == 9
        assert "shop.sales version 1" in repr(table)


def test_rows_of_a_key_are_together_and_in_import_order(store):
    with put(store, rows(0, 50), rows(50, 50)) as table:
        for part in table.map(pa.Table.to_pylist):
            numbers = [row["n"] for row in part]
            assert numbers == sorted(numbers)
        seen = [{row["k"] for row in part} for part in table.map(pa.Table.to_pylist)]
        assert sum(map(len, seen)) == len(set().union(*seen)) == 11


@pytest.mark.parametrize(
    "layout", [PLAIN, SORTED, ORDERED, VECTOR], ids=["plain", "sorted", "ordered", "vector"]
)
def test_many_imports_give_what_one_gives_whatever_the_workers(store, tmp_path, layout):
    cuts = [(0, 40), (40, 1), (41, 0), (41, 59)]
    for start, count in cuts:
        grown = put(store, rows(start, count), layout=layout)
    with make_cluster(1) as other, Client(other, set_as_default=False) as client:
        whole = put(TableStore(client, tmp_path / "other"), rows(0, 100), layout=layout)
        assert grown.to_arrow().equals(whole.to_arrow())
        assert grown.count() == whole.count() == whole.to_arrow().num_rows


def test_a_version_is_replaced_by_one_that_holds_it_unless_there_is_another(store):
    base = put(store, rows(0, 30), layout=VECTOR)
    place = base.to_arrow()["k"].to_pylist()
    sink = store.sink(VECTOR)
    (segment,) = write(sink, pa.concat_tables(base.partitions()))
    assert store.replace(NAME, sink, segment, ()) is None
    with store.replace(NAME, sink, segment, base.version.segments) as table:
        assert table.to_arrow()["k"].to_pylist() == place
        assert bits(table) == bits(base) and len(table.version.segments) == 1
        assert table.sources == base.sources
    assert store.replace(NAME, store.sink(VECTOR), segment, base.version.segments) is None


def bits(table):
    return sorted(map(repr, table.to_arrow().to_pylist()))


def test_a_vector_merges_over_imports(store):
    put(store, rows(0, 30), layout=VECTOR)
    merged = put(store, rows(30, 30), layout=VECTOR).to_arrow().to_pylist()
    expected = {}
    for row in rows(0, 60).to_pylist():
        if row["k"] in expected:
            expected[row["k"]]["x"] += row["x"]
        else:
            expected[row["k"]] = row
    assert merged == list(expected.values())


def test_an_ordered_table_comes_by_key_in_first_insertion_order(store):
    put(store, rows(0, 10), layout=ORDERED)
    other = TableName("/w", "shop", "other")
    put(store, rows(0, 3), layout=ORDERED, name=other)
    got = put(store, rows(10, 30), layout=ORDERED).to_arrow()
    imported = rows(0, 40).to_pylist()
    keys = list(dict.fromkeys(row["k"] for row in imported))
    assert got.to_pylist() == sorted(imported, key=lambda r: (keys.index(r["k"]), r["n"]))
    assert store.open(NAME).head(2).to_pylist() == got.to_pylist()[:2]


def test_partitions_without_new_rows_stay_where_they_are(store):
    first = put(store, rows(0, 100))
    second = put(store, rows(100, 1))
    same = [a.key == b.key for a, b in zip(first.futures, second.futures, strict=True)]
    assert same.count(False) == 1 and len(same) == 8
    assert second.count() == 101


def test_the_graph_stays_shallow(store, cluster):
    for number in range(12):
        table = put(store, rows(number, 20))
    tasks = cluster.scheduler.tasks
    assert all(not tasks[future.key].dependencies for future in table.futures)
    assert table.count() == 240


def test_a_partition_is_the_same_from_the_held_rows_and_from_all_segments(store, monkeypatch):
    for layout in (PLAIN, SORTED, ORDERED, VECTOR):
        name = TableName("/w", "shop", f"t{layout.ordered}{layout.merges}{len(layout.sort)}")
        first = put(store, rows(0, 60), layout=layout, name=name)
        second = put(store, rows(60, 60), layout=layout, name=name)
        for number, future in enumerate(second.futures):
            recipes = [
                Recipe(layout, number, tuple((o, s.path) for o, s in v.segments if s.rows[number]))
                for v in (first.version, second.version)
            ]
            held = load_partition(recipes[0], None)
            grown = load_partition(recipes[1], recipes[0])
            monkeypatch.setattr(load_module, "_find", lambda key: None)
            assert load_partition(recipes[1], recipes[0]).equals(grown)
            monkeypatch.undo()
            assert future.result().equals(grown) and held.num_rows <= grown.num_rows


def test_a_fresh_import_replaces_and_the_old_files_go(store):
    put(store, rows(0, 50)).close()
    old = files(store)
    with put(store, rows(500, 5), fresh=True) as table:
        assert sorted(table.to_arrow()["n"].to_pylist()) == list(range(500, 505))
    assert not set(old) & set(files(store)) and len(files(store)) == 1


def test_a_reader_keeps_its_version(store):
    put(store, rows(0, 50)).close()
    old = store.open(NAME)
    kept = files(store)
    put(store, rows(900, 5), fresh=True).close()
    store.clear(NAME)
    store.drop(NAME)
    assert old.count() == 50 and old.to_arrow().num_rows == 50
    assert set(kept) <= set(files(store))
    old.close()
    put(store, rows(0, 1)).close()
    store.drop(NAME)
    assert files(store) == []


def test_a_table_outlives_the_client_that_made_it(cluster, tmp_path):
    with Client(cluster, set_as_default=False) as client:
        put(TableStore(client, tmp_path / "t"), rows(0, 50)).close()
    with Client(cluster, set_as_default=False) as client:
        store = TableStore(client, tmp_path / "t")
        assert store.open(NAME).to_arrow().num_rows == 50
        assert put(store, rows(50, 50)).count() == 100


def test_a_failed_import_leaves_the_old_version(store):
    before = put(store, rows(0, 50))
    sink = store.sink(PLAIN)
    segments = write(sink, rows(50, 10), rows(60, 10))
    Path(segments[1].path).unlink()
    with pytest.raises(ReadError, match=Path(segments[1].path).name):
        store.publish(NAME, sink, segments)
    store.discard(sink)
    assert not Path(sink.folder).exists()
    after = store.open(NAME)
    assert after.version == before.version and after.to_arrow().equals(before.to_arrow())
    assert put(store, rows(50, 10)).count() == 60


def end_pipe(path):
    """Let go whoever reads it."""
    pipe = os.open(path, os.O_RDWR)
    os.unlink(path)
    os.close(pipe)


def test_a_version_fails_with_its_first_partition(store):
    """Not when all the others are done: what kills workers would kill them once for each."""
    sink = store.sink(PLAIN)
    (lost,) = write(sink, rows(0, 1))
    (slow,) = write(sink, rows(1, 1))
    assert lost.rows != slow.rows
    Path(lost.path).unlink()
    Path(slow.path).unlink()
    os.mkfifo(slow.path)
    release = threading.Timer(30, end_pipe, [slow.path])
    release.start()
    with pytest.raises(ReadError):
        store.publish(NAME, sink, [lost, slow])
    assert release.is_alive()
    release.cancel()
    end_pipe(slow.path)


def test_a_crash_before_the_swap_leaves_the_old_version(store, monkeypatch):
    put(store, rows(0, 50))

    def crash(self, base, new):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "commit", crash)
        with pytest.raises(KeyboardInterrupt):
            put(store, rows(50, 10))
    assert store.open(NAME).count() == 50
    assert sorted(put(store, rows(70, 10)).to_arrow()["n"].to_pylist()) == [
        *range(50), *range(70, 80)
    ]  # fmt: skip


def test_what_a_dead_attempt_left_on_the_scheduler_is_no_harm(store, client):
    table = put(store, rows(0, 50))
    label = f"ess-table-{table.version.table_id}-2"
    client.publish_dataset([client.submit(lambda: SCHEMA.empty_table())], name=label)
    assert put(store, rows(50, 10)).count() == 60
    assert store.open(NAME).to_arrow().num_rows == 60


def test_a_table_dropped_while_it_is_imported_to_does_not_come_back(store, monkeypatch):
    put(store, rows(0, 50))
    commit = Registry.commit

    def late(self, base, new):
        self.drop(NAME)
        commit(self, base, new)

    monkeypatch.setattr(Registry, "commit", late)
    with pytest.raises(EssError, match="was dropped while"):
        put(store, rows(50, 10))
    assert store.names() == ()


def test_leftovers_of_an_import_go_when_it_is_published(store):
    sink = store.sink(PLAIN)
    lost = write(sink, rows(0, 10))
    (Path(sink.folder) / "half.tmp").write_bytes(b"x")
    segments = write(sink, rows(0, 10))
    assert store.publish(NAME, sink, segments).count() == 10
    assert files(store) == [Path(segments[0].path)] and lost[0].path != segments[0].path


def test_imports_side_by_side_lose_no_row(cluster, tmp_path):
    errors = []

    def importer(number):
        try:
            with Client(cluster, set_as_default=False) as client:
                for turn in range(3):
                    put(TableStore(client, tmp_path / "t"), rows(1000 * number + 10 * turn, 10))
        except Exception as error:  # the thread's boundary
            errors.append(error)

    threads = [threading.Thread(target=importer, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with Client(cluster, set_as_default=False) as client:
        table = TableStore(client, tmp_path / "t").open(NAME)
        expected = [1000 * n + 10 * t + i for n in range(4) for t in range(3) for i in range(10)]
        assert sorted(table.to_arrow()["n"].to_pylist()) == expected
        assert table.version.number == 12


def test_reading_while_versions_change_is_always_one_version(store, client, tmp_path):
    put(store, rows(0, 10)).close()
    done = threading.Event()
    seen = []

    def read():
        reader = TableStore(client, tmp_path / "tables")
        while not done.is_set():
            with reader.open(NAME) as table:
                seen.append((table.version.number, table.to_arrow().num_rows))

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(8):
        put(store, rows(0, 10 + number), fresh=True).close()
    done.set()
    thread.join()
    assert seen and all(count == 8 + number for number, count in seen if number > 1)


def test_a_version_replaced_while_it_is_opened_gives_way_to_the_next(
    store, cluster, tmp_path, monkeypatch
):
    """Else it is let go before the scheduler hears of the reader, who would wait for ever."""
    put(store, rows(0, 10)).close()
    with Client(cluster, set_as_default=False) as late:
        # What it tells the scheduler waits a second after what it has told.
        late.scheduler_comm.interval = 1.0
        late.submit(int).result()
        get = late.get_dataset

        def get_and_lose(name):
            futures = get(name)
            if store.open(NAME).count() == 10:
                put(store, rows(0, 12), fresh=True).close()
            return futures

        monkeypatch.setattr(late, "get_dataset", get_and_lose)
        with TableStore(late, tmp_path / "tables").open(NAME) as table:
            assert table.to_arrow().num_rows == 12


def test_rewriting_changes_every_partition_in_one_version(store):
    put(store, rows(0, 40), layout=ORDERED).close()
    order = store.open(NAME).to_arrow()
    changed = store.rewrite(NAME, lambda part: part.filter(pc.not_equal(part["k"], "k3")))
    assert changed.to_arrow().equals(order.filter(pc.not_equal(order["k"], "k3")))
    assert changed.sources == (("f0", "e"),)
    more = put(store, rows(40, 1), layout=ORDERED)
    assert more.to_arrow().num_rows == changed.count() + 1
    assert more.to_arrow().filter(pc.equal(more.to_arrow()["n"], 40)).num_rows == 1


def test_rewriting_everything_away_leaves_an_empty_table(store):
    put(store, rows(0, 40)).close()
    assert store.rewrite(NAME, lambda part: part.slice(0, 0)).count() == 0
    assert store.open(NAME).to_arrow().equals(SCHEMA.empty_table())


def test_a_function_that_fails_while_rewriting_changes_nothing(store):
    put(store, rows(0, 40)).close()

    def fail(part):
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        store.rewrite(NAME, fail)
    assert store.open(NAME).count() == 40


def test_clearing_keeps_the_table_and_dropping_does_not(store):
    put(store, rows(0, 40)).close()
    store.clear(NAME)
    assert store.open(NAME).count() == 0 and files(store) == []
    assert store.open(NAME).to_arrow().schema == SCHEMA
    assert store.drop(NAME) and not store.drop(NAME)
    store.clear(NAME)
    assert store.names() == ()


def test_a_table_can_be_made_without_rows(store):
    with store.create(NAME, VECTOR) as table:
        assert table.count() == 0 and table.head(3).num_rows == 0
        assert table.to_arrow().equals(SCHEMA.empty_table())


def test_names_are_compared_without_case_and_by_workspace(store):
    put(store, rows(0, 4), name=TableName("/w", "Shop", "Sales"))
    assert store.open(TableName("/w", "shop", "SALES")).count() == 4
    with pytest.raises(UsageError, match=r"no table shop\.sales") as caught:
        store.open(TableName("/other", "shop", "sales"))
    assert "none" in caught.value.hint


def test_a_database_is_dropped_with_all_its_tables(store):
    for workspace, database, table in (("/w", "a", "t"), ("/w", "a", "u"), ("/w", "b", "t"),
                                       ("/v", "a", "t")):  # fmt: skip
        put(store, rows(0, 4), name=TableName(workspace, database, table)).close()
    assert len(store.drop_database("/w", "A")) == 2
    assert [str(n) for n in store.names()] == ["a.t", "b.t"]
    assert store.names()[0].workspace == "/v"


@pytest.mark.parametrize(
    "other",
    [
        TableLayout(SCHEMA, ("n",), 8),
        TableLayout(SCHEMA, ("k",), 9),
        TableLayout(SCHEMA, ("k",), 8, sort=("n",)),
        TableLayout(SCHEMA.append(pa.field("y", pa.int8())), ("k",), 8),
    ],
)
def test_an_import_with_another_layout_is_refused(store, other):
    put(store, rows(0, 4))
    sink = store.sink(other)
    with pytest.raises(ConflictError, match=r"table shop\.sales is in memory with other"):
        store.publish(NAME, sink, [])
    assert store.open(NAME).count() == 4


def test_metadata_of_a_schema_is_no_other_layout(store):
    put(store, rows(0, 4))
    schema = SCHEMA.with_metadata({"pandas": "{}"})
    sink = store.sink(TableLayout(schema, ("k",), 8))
    writer = SegmentWriter(Path(sink.folder), sink.layout)
    writer.add(rows(4, 4).cast(schema))
    assert store.publish(NAME, sink, [writer.close()]).count() == 8


def test_a_new_instance_starts_without_the_old_ones_tables(store, tmp_path):
    put(store, rows(0, 4))
    old = store._registry.folder
    with make_cluster(1) as other, Client(other, set_as_default=False) as client:
        assert TableStore(client, tmp_path / "tables").names() == ()
    assert not old.exists()
    sweep_instances(tmp_path / "missing", "x")


@pytest.mark.parametrize("moment", ["at once", "later"])
def test_a_stopped_cluster_is_told_as_such(tmp_path, moment):
    with make_cluster(1) as other:
        client = Client(other, set_as_default=False, timeout=1)
        store = TableStore(client, tmp_path / "t")
        table = put(store, rows(0, 4))
        sink = store.sink(PLAIN)
        segments = write(sink, rows(4, 2))
    while moment == "later" and client.status != "closed":
        time.sleep(0.01)
    for ask in (
        table.to_arrow,
        table.head,
        lambda: table.map(len),
        lambda: table.run(len, ["a"]),
        lambda: store.open(NAME),
        lambda: store.publish(NAME, sink, segments),
        lambda: store.rewrite(NAME, lambda part: part),
        lambda: TableStore(client, tmp_path / "t"),
        lambda: pass_environment(client),
    ):
        with pytest.raises(TransientError, match="stopped or was restarted"):
            ask()
    client.close()
