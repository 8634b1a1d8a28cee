"""Memory tables on machines that see nothing of the client's: the same bytes as at home.

Workers join, are removed, get notice and die: the rows stay.
"""

import itertools
import os
import shutil
import threading

import pytest

from ess_dask._version import __version__
from ess_dask.catalog.s3_ranges import TAIL
from ess_dask.cluster.graceful import before_removal, held_and_room
from ess_dask.errors import AccessError, ConfigError, EssError, LockedError, TransientError
from ess_dask.tables.homes import forgetting_ended
from ess_dask.tables.keeping import resume_tables, save_tables
from ess_dask.tables.moving import _move, move_on, spread
from ess_dask.tables.session import open_session, table_name
from ess_dask.testing.clusters import wait_until
from tests.integration import far as far_bed

pytestmark = pytest.mark.timeout(300)

NUMBERS = itertools.count()


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


@pytest.fixture(scope="module")
def tables(session):
    """Have a table of each layout, ``first.KIND``."""
    for kind in far_bed.LAYOUTS:
        far_bed.put(session, f"first.{kind}", kind).close()


@pytest.fixture
def spare(far):
    """Give the name of a third worker; it has gone when the test has ended."""
    name = f"spare{next(NUMBERS)}"
    far.cluster.add_worker(name)
    yield name
    if name in far.cluster.processes:
        far.cluster.kill(name)


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("kind", sorted(far_bed.LAYOUTS))
def test_an_import_by_far_workers_gives_the_rows_of_a_local_one(far, session, at_home, kind):
    with session.open(f"first.{kind}") as table:
        assert table.to_arrow().equals(at_home[kind])
        assert [uri for uri, _ in table.sources] == ["f0", "f1", "f2", "f3"]
    assert list((far.home / "ess").rglob("*.arrow")) == []


def test_without_a_shared_place_an_import_is_refused_before_any_work(far, monkeypatch):
    monkeypatch.delenv("ESS_SHARED_TABLES")
    with far.session() as bare, pytest.raises(ConfigError, match="no place is set") as refused:
        far_bed.put(bare, "none.t")
    assert "ESS_SHARED_TABLES" in refused.value.hint


def test_a_folder_that_the_workers_do_not_mount_is_refused(far, monkeypatch):
    monkeypatch.setenv("ESS_SHARED_TABLES", str(far.home / "alone"))
    with far.session() as bare, pytest.raises(ConfigError, match="no folder that all machines"):
        far_bed.put(bare, "none.t")


@pytest.mark.parametrize(
    ("place", "said"),
    [("file", "file: this machine cannot create files there"), ("s3://none/x", "none")],
)
def test_a_place_that_cannot_be_written_is_named(far, monkeypatch, place, said):
    (far.home / "file").touch()
    monkeypatch.setenv("ESS_SHARED_TABLES", place if "://" in place else str(far.home / place))
    with far.session() as bare, pytest.raises(AccessError, match=said) as refused:
        far_bed.put(bare, "none.t")
    assert refused.value.hint


def test_a_folder_that_all_mount_will_do(far, at_home, monkeypatch):
    folder = far.buckets.parent / "mounted"
    monkeypatch.setenv("ESS_SHARED_TABLES", str(folder))
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


# --- Machines come and go.


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


def state_of(client, address):
    return client.scheduler_info()["workers"][address]["status"]


@pytest.mark.usefixtures("tables", "spare")
def test_a_worker_that_joins_gets_its_share(session, at_home):
    with session.open("first.plain") as table, session.open("first.sorted") as other:
        said = []
        moved = spread(session, said.append)
        for each in (table, other):
            assert sorted(held_by(session.client, each).values()) == [5, 5, 6]
        # Those of one number lie together: what asks both tables moves nothing.
        places = [[session.client.who_has([one])[one.key] for one in each.futures]
                  for each in (table, other)]  # fmt: skip
        assert places[0] == places[1]
        assert 0 < moved.bytes < moved.all_bytes * 0.7 and "partitions moved" in said[0]
        assert spread(session, said.append).partitions == 0 and len(said) == 1
        assert table.to_arrow().equals(at_home["plain"])
        assert other.to_arrow().equals(at_home["sorted"])


@pytest.mark.usefixtures("tables")
def test_partitions_arrive_where_dask_would_rather_end_them(far, session, at_home, spare):
    """On the fullest worker a new copy is what Dask takes for the one too many, each time."""
    client = session.client
    address = address_of(client, spare)
    ballast = client.submit(bytes, 200_000_000, workers=[address], pure=False)
    wait_until(ballast.done, 60)
    assert client.run_on_scheduler(far_bed.spare_copies_first) == 1
    assert spread(session, lambda text: None, patience=30.0).partitions
    with session.open("first.plain") as table:
        assert sorted(held_by(client, table).values()) == [5, 5, 6]
        assert table.to_arrow().equals(at_home["plain"])


def test_a_worker_that_takes_nothing_is_named_and_nothing_is_lost(session, spare):
    client = session.client
    address = address_of(client, spare)
    others = [each for each in client.scheduler_info()["workers"] if each != address]
    held = client.submit(bytes, 1000, workers=others, pure=False)
    wait_until(held.done, 60)
    moves = {held.key: address}
    client.run(far_bed.pause, on=True, workers=[address])
    wait_until(lambda: state_of(client, address) == "paused", 30)
    with pytest.raises(TransientError, match=rf"1 partitions .*{address} \(paused\) for 1 s"):
        _move(client, moves, 1.0)
    client.run(far_bed.pause, on=False, workers=[address])
    _move(client, moves, 30.0)
    assert client.who_has([held])[held.key] == (address,)


def test_what_is_made_again_while_others_move_moves_too(session, spare):
    """A partition that nobody holds for a moment was left where it came up."""
    client = session.client
    address = address_of(client, spare)
    others = [each for each in client.scheduler_info()["workers"] if each != address]
    late = client.submit(far_bed.late_bytes, 1.0, workers=others, pure=False)
    moves = {late.key: address}
    assert client.run_on_scheduler(move_on, moves) == (0, {})
    wait_until(late.done, 60)
    _move(client, moves, 30.0)
    assert client.who_has([late])[late.key] == (address,)


@pytest.mark.usefixtures("tables")
def test_questions_and_an_import_go_on_while_a_worker_is_removed(far, session, at_home, spare):
    spread(session, lambda text: None)
    with session.open("first.plain") as table:
        stop, answers = threading.Event(), []

        def ask():
            while not stop.is_set():
                answers.append(sum(table.map(far_bed.count_slowly)))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            sink, tasks = far_bed.start_import(session, "plain", pause=0.1)
            going = address_of(session.client, spare)
            before_removal(session.client, [going], lambda text: None)
            assert session.client.run_on_scheduler(held_and_room, [going])[0] == 0
            far.cluster.kill(spare)
            with far_bed.finish(session, "meanwhile.t", sink, tasks) as made:
                assert made.to_arrow().equals(at_home["plain"])
        finally:
            stop.set()
            asking.join(60)
        assert len(answers) >= 2 and set(answers) == {4000}
        assert table.to_arrow().equals(at_home["plain"])


@pytest.mark.usefixtures("tables")
def test_the_last_workers_are_not_removed_while_they_hold_tables(session):
    everyone = list(session.client.scheduler_info()["workers"])
    with pytest.raises(EssError, match="no other worker is left"):
        before_removal(session.client, everyone, print)
    assert session.client.submit(os.getpid, pure=False).result(timeout=30)


@pytest.mark.usefixtures("tables")
def test_a_worker_killed_with_a_part_of_a_table_loses_no_row(far, session, at_home, spare):
    spread(session, lambda text: None)
    with session.open("first.vector") as table, session.open("first.plain") as other:
        assert held_by(session.client, table)[spare] >= 5
        far.cluster.kill(spare)
        assert table.to_arrow().equals(at_home["vector"])
        assert other.to_arrow().equals(at_home["plain"])


@pytest.mark.usefixtures("tables")
def test_a_worker_that_gets_notice_hands_its_rows_on(far, session, at_home, spare):
    spread(session, lambda text: None)
    going = address_of(session.client, spare)
    with session.open("first.sorted") as table:
        session.client.run(far_bed.leave, workers=[going], wait=False)
        assert wait_until(lambda: going not in session.client.scheduler_info()["workers"])
        far.cluster.kill(spare)
        assert sum(held_by(session.client, table).values()) == 16
        assert table.to_arrow().equals(at_home["sorted"])


def test_a_worker_killed_in_the_middle_of_an_import_changes_nothing(far, session, at_home, spare):
    before = len(far.objects())
    sink, tasks = far_bed.start_import(session, "vector", pause=0.3)
    assert wait_until(lambda: len(far.objects()) > before)
    far.cluster.kill(spare)
    with far_bed.finish(session, "killed.t", sink, tasks) as table:
        assert table.to_arrow().equals(at_home["vector"])
        folder = sink.folder.removeprefix("s3://")
        mine = {f"s3://{path}" for path in far.objects() if path.startswith(folder)}
        assert mine == {segment.path for _, segment in table.version.segments}


# --- Tables outlive their cluster. These end the cluster, and come last.


def restarted(far):
    far.cluster.end()
    far.cluster.start(2)
    far.describe()


def versions(session):
    found = {}
    for name in session.names():
        with session.store.open(name) as table:
            found[str(name)] = (table.version, table.to_arrow())
    return found


@pytest.mark.usefixtures("tables")
def test_tables_are_there_again_after_a_stop(far, session, at_home):
    before = versions(session)
    said = []
    assert len(save_tables(session, said.append)) == len(before) and "are kept" in said[0]
    with pytest.raises(LockedError, match="saved"):
        far_bed.put(session, "late.t")
    restarted(far)
    with open_session(said.append) as after:
        assert versions(after) == before and "in memory again" in said[1]
        assert before["first.vector"][1].equals(at_home["vector"])
        # They are tables as any other: they take rows, and go.
        with far_bed.put(after, "first.plain", batches=1, first=4) as more:
            assert more.count() == 5000 and more.version.number == 2
        after.store.drop(table_name("first.sorted"))


def test_tables_are_there_again_when_this_machine_has_lost_its_account_of_them(far):
    with far.session() as session:
        before = versions(session)
        save_tables(session, lambda text: None)
    shutil.rmtree(far.home / "ess")
    restarted(far)
    with far.session() as session:
        assert versions(session) == before and len(before) >= 2


def test_a_stop_that_did_not_come_is_taken_back(far):
    with far.session() as session:
        save_tables(session, lambda text: None)
        resume_tables(session)
        far_bed.put(session, "late.t").close()
        save_tables(session, lambda text: None)
    # Killed between saving and stopping: whoever comes next finds the cluster as it was.
    with far.session() as session:
        assert "late.t" in map(str, session.names())
        far_bed.put(session, "late.t").close()


def test_what_another_release_saved_is_refused_and_stays(far):
    with far.session() as session:
        far_bed.put(session, "saved.t").close()
        save_tables(session, lambda text: None)
    (mark,) = (far.home / "ess").rglob("kept.json")
    text = mark.read_text()
    restarted(far)
    mark.write_text(text.replace(f'"version": "{__version__}"', '"version": "0.0.1"'))
    with pytest.raises(ConfigError, match=r"ess-dask 0\.0\.1 saved"):
        far.session()
    mark.write_text(text)
    with far.session() as session:
        assert "saved.t" in map(str, session.names())


def test_what_is_not_kept_is_swept_from_the_place(far):
    with far.session() as session:
        far_bed.put(session, "left.t").close()
    assert far.objects()
    restarted(far)
    with far.session() as session:
        assert session.names() == () and far.objects() == []
        far_bed.put(session, "end.t").close()
        endpoint = session.endpoint
    assert far.objects()
    aside = endpoint.tls.with_name("aside")
    with forgetting_ended("custom", print):
        endpoint.tls.rename(aside)
    aside.rename(endpoint.tls)
    assert [path for path in far.buckets.rglob("*") if path.is_file()] == []
