"""Memory tables on machines that see nothing of the client's: the same bytes as at home.

Workers join, are removed, get notice and die: the rows stay.
"""

import os
import threading

import pytest

from ess_dask.catalog.s3_ranges import TAIL
from ess_dask.cluster.graceful import before_removal, held_and_room
from ess_dask.errors import ConfigError, EssError
from ess_dask.tables.moving import spread
from ess_dask.tables.session import table_name
from ess_dask.testing.clusters import wait_until
from tests.integration import far as far_bed


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    with far_bed.far_with_s3(tmp_path_factory.mktemp("far")) as bed:
        yield bed


@pytest.fixture(scope="module")
def session(far):
    with far.session() as session:
        yield session


@pytest.fixture(scope="module")
def at_home(tmp_path_factory):
    return far_bed.rows_at_home(tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("kind", sorted(far_bed.LAYOUTS))
def test_an_import_by_far_workers_gives_the_rows_of_a_local_one(far, session, at_home, kind):
    with far_bed.put(session, f"first.{kind}", kind) as table:
        assert table.to_arrow().equals(at_home[kind])
        assert [uri for uri, _ in table.sources] == ["f0", "f1", "f2", "f3"]
    assert list((far.home / "ess").rglob("*.arrow")) == []


def test_without_a_shared_place_an_import_is_refused_before_any_work(far, monkeypatch):
    monkeypatch.delenv("ESS_SHARED")
    with far.session() as bare, pytest.raises(ConfigError, match="no place is set") as refused:
        far_bed.put(bare, "none.t")
    assert "ESS_SHARED" in refused.value.hint


def test_a_folder_that_the_workers_do_not_mount_is_refused(far, monkeypatch):
    monkeypatch.setenv("ESS_SHARED", str(far.home / "alone"))
    with far.session() as bare, pytest.raises(ConfigError, match="no folder that all machines"):
        far_bed.put(bare, "none.t")


def test_a_folder_that_all_mount_will_do(far, at_home, monkeypatch):
    folder = far.buckets.parent / "mounted"
    monkeypatch.setenv("ESS_SHARED", str(folder))
    with far.session() as mounted:
        with far_bed.put(mounted, "mounted.t") as table:
            assert table.to_arrow().equals(at_home["plain"])
        mounted.store.drop(table.name)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_rebuilt_partition_asks_for_its_own_bytes_only(session):
    """One segment of 8 MB in 16 partitions: a partition is a sixteenth, and the index."""
    with far_bed.put(session, "bytes.t", batches=1, count=240_000) as table:
        ((_, segment),) = table.version.segments
        read = session.client.submit(far_bed.read_alone, segment.path, 7, table.layout, pure=False)
        requests, received, rows = read.result(timeout=60)
    session.store.drop(table.name)
    assert rows == segment.rows[7]
    assert requests <= 4
    assert received < segment.bytes / 16 * 1.3 + 3 * TAIL


def test_what_is_dropped_or_abandoned_leaves_nothing_in_the_place(far, session):
    before = far.objects()
    sink, tasks = far_bed.start_import(session, "plain")
    session.client.gather(tasks)
    assert len(far.objects()) > len(before)
    session.store.discard(sink)
    assert far.objects() == before
    far_bed.put(session, "gone.t").close()
    session.store.drop(table_name("gone.t"))
    assert far.objects() == before


# --- Machines come and go. Each test leaves two workers or more.


def held_by(client, table):
    """Return how many partitions each worker holds, by its name."""
    names = {address: w["name"] for address, w in client.scheduler_info()["workers"].items()}
    counts = dict.fromkeys(names.values(), 0)
    for workers in client.who_has(list(table.futures)).values():
        assert len(workers) == 1
        counts[names[workers[0]]] += 1
    return counts


def address_of(client, name):
    found = client.scheduler_info()["workers"].items()
    return next(address for address, worker in found if worker["name"] == name)


def test_a_worker_that_joins_gets_its_share(far, session, at_home):
    with far_bed.put(session, "joined.t") as table, session.open("first.sorted") as other:
        far.cluster.add_worker("w2")
        said = []
        moved = spread(session, said.append)
        for each in (table, other):
            assert sorted(held_by(session.client, each).values()) == [5, 5, 6]
        # Those of one number lie together: what asks both tables moves nothing.
        both = zip(table.futures, other.futures, strict=True)
        assert all(
            session.client.who_has([one])[one.key] == session.client.who_has([two])[two.key]
            for one, two in both
        )
        assert 0 < moved.bytes < moved.all_bytes * 0.6 and "partitions moved" in said[0]
        assert spread(session, said.append).partitions == 0 and len(said) == 1
        assert table.to_arrow().equals(at_home["plain"])
        assert other.to_arrow().equals(at_home["sorted"])


def test_questions_and_an_import_go_on_while_a_worker_is_removed(far, session, at_home):
    with session.open("joined.t") as table:
        stop, answers = threading.Event(), []

        def ask():
            while not stop.is_set():
                answers.append(sum(table.map(far_bed.count_slowly)))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            sink, tasks = far_bed.start_import(session, "plain", pause=0.1)
            going = address_of(session.client, "w2")
            before_removal(session.client, [going], lambda text: None)
            assert session.client.run_on_scheduler(held_and_room, [going])[0] == 0
            far.cluster.kill("w2")
            with far_bed.finish(session, "meanwhile.t", sink, tasks) as made:
                assert made.to_arrow().equals(at_home["plain"])
        finally:
            stop.set()
            asking.join(60)
        assert len(answers) >= 2 and set(answers) == {4000}
        assert table.to_arrow().equals(at_home["plain"])


def test_the_last_workers_are_not_removed_while_they_hold_tables(session):
    everyone = list(session.client.scheduler_info()["workers"])
    with pytest.raises(EssError, match="no other worker is left"):
        before_removal(session.client, everyone, print)
    assert session.client.submit(os.getpid, pure=False).result(timeout=30)


def test_a_worker_killed_with_half_of_a_table_loses_no_row(far, session, at_home):
    with session.open("first.vector") as table, session.open("joined.t") as other:
        far.cluster.kill("w1")
        assert table.to_arrow().equals(at_home["vector"])
        far.cluster.add_worker("w3")
        assert other.to_arrow().equals(at_home["plain"])


def test_a_worker_that_gets_notice_hands_its_rows_on(far, session, at_home):
    spread(session, lambda text: None)
    going = address_of(session.client, "w3")
    with session.open("first.sorted") as table:
        session.client.run(far_bed.leave, workers=[going], wait=False)
        assert wait_until(lambda: going not in session.client.scheduler_info()["workers"])
        far.cluster.kill("w3")
        assert held_by(session.client, table) == {"w0": 16}
        assert table.to_arrow().equals(at_home["sorted"])
    far.cluster.add_worker("w4")


def test_a_worker_killed_in_the_middle_of_an_import_changes_nothing(far, session, at_home):
    sink, tasks = far_bed.start_import(session, "vector", pause=0.3)
    assert wait_until(lambda: any(path.startswith("bucket") for path in far.objects()))
    far.cluster.kill("w4")
    with far_bed.finish(session, "killed.t", sink, tasks) as table:
        assert table.to_arrow().equals(at_home["vector"])
        folder = sink.folder.removeprefix("s3://")
        mine = {f"s3://{path}" for path in far.objects() if path.startswith(folder)}
        assert mine == {segment.path for _, segment in table.version.segments}
