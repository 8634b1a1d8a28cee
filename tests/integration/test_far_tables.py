"""Memory tables on machines that see nothing of the client's: the same bytes as at home."""

import pytest
from distributed import Client, LocalCluster

from ess_dask.catalog.s3_ranges import TAIL
from ess_dask.errors import ConfigError
from ess_dask.tables.session import table_name
from ess_dask.tables.store import TableStore
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
    """Give what each layout's import of 4 batches comes to on this machine, by its name."""
    with (
        LocalCluster(1, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        store = TableStore(client, tmp_path_factory.mktemp("home"))
        found = {}
        for kind, layout in far_bed.LAYOUTS.items():
            sink = store.sink(layout)
            segments = [s for n in range(4) for s in far_bed.import_batch(sink, n)]
            with store.publish(table_name(f"home.{kind}"), sink, segments) as table:
                found[kind] = table.to_arrow()
    return found


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
    monkeypatch.setenv("ESS_SHARED", str(far.buckets.parent / "mounted"))
    with far.session() as mounted, far_bed.put(mounted, "mounted.t") as table:
        assert table.to_arrow().equals(at_home["plain"])
        mounted.store.drop(table.name)
    assert [p for p in (far.buckets.parent / "mounted").rglob("*") if p.is_file()] == []


def test_a_rebuilt_partition_asks_for_its_own_bytes_only(far, session):
    """One segment of 8 MB in 16 partitions: a partition is a sixteenth, and the index."""
    with far_bed.put(session, "bytes.t", batches=1, count=240_000) as table:
        ((_, segment),) = table.version.segments
        read = session.client.submit(far_bed.read_alone, segment.path, 7, table.layout, pure=False)
        requests, received, rows = read.result(timeout=60)
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
