"""Two imports of the same files at once: each file's rows are in the memory table once."""

from pathlib import Path

import pyarrow as pa
import pytest
from distributed import Client, LocalCluster

from ess_dask.errors import LockedError
from ess_dask.tables.layout import TableLayout
from ess_dask.tables.registry import TableName
from ess_dask.tables.segment import SegmentWriter
from ess_dask.tables.store import TableStore

LAYOUT = TableLayout(pa.schema([("k", pa.int64())]), ("k",), 4)
NAME = TableName("/w", "shop", "sales")


@pytest.fixture(scope="module")
def client():
    options = {"processes": False, "host": "127.0.0.1", "protocol": "tcp://"}
    with (
        LocalCluster(n_workers=1, dashboard_address="127.0.0.1:0", **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def store(client, tmp_path):
    return TableStore(client, tmp_path / "tables")


def put(store, *batches, **options):
    """Publish one segment for each batch of files; a file is one row, its number."""
    sink = store.sink(LAYOUT)
    segments = []
    for files in batches:
        writer = SegmentWriter(Path(sink.folder), LAYOUT)
        writer.add(pa.table({"k": list(files)}))
        segments.append(writer.close(tuple((f"f{file}", "e") for file in files)))
    with store.publish(NAME, sink, segments, **options) as table:
        held = sorted(table.to_arrow()["k"].to_pylist())
        assert held == sorted(int(uri[1:]) for uri, _ in table.sources)
    kept = [Path(segment.path) for _, segment in table.version.segments]
    assert sorted(Path(store._registry.folder).rglob("*.arrow")) == sorted(kept)
    return held


def test_what_another_import_has_put_there_is_left_out(store):
    assert put(store, (1, 2), (3,), once=True) == [1, 2, 3]
    assert put(store, (1, 2), (3,), (4, 5), once=True) == [1, 2, 3, 4, 5]
    assert put(store, (4, 5), once=True) == [1, 2, 3, 4, 5]
    store.drop(NAME)


def test_a_part_of_a_segment_cannot_be_left_out(store):
    put(store, (1, 2), once=True)
    with pytest.raises(LockedError, match=r"1 of the same files into table shop\.sales"):
        put(store, (2, 3), once=True)
    with store.open(NAME) as table:
        assert sorted(table.to_arrow()["k"].to_pylist()) == [1, 2]
    store.drop(NAME)


def test_a_table_made_anew_takes_everything(store):
    put(store, (1, 2), (3,))
    assert put(store, (2, 3), fresh=True, once=True) == [2, 3]
    assert put(store, (2, 3)) == [2, 2, 3, 3]
    store.drop(NAME)


def test_an_import_that_is_published_cannot_be_discarded_any_more(store):
    sink = store.sink(LAYOUT)
    writer = SegmentWriter(Path(sink.folder), LAYOUT)
    writer.add(pa.table({"k": [1, 2]}))
    segment = writer.close((("f", "e"),))
    store.publish(NAME, sink, [segment]).close()
    store.discard(sink)
    assert Path(segment.path).exists()
    store.drop(NAME)
    assert not Path(sink.folder).exists()


ABANDONED = """
import os, signal, sys
from pathlib import Path
from ess_dask.tables.registry import Registry
folder = Path(Registry(Path(sys.argv[1])).segment_folder())
folder.mkdir()
(folder / "rows.arrow").write_bytes(b"rows")
print(folder, flush=True)
sys.stdin.read()
"""


def test_what_a_killed_import_wrote_is_swept_and_a_living_ones_stays(store):
    import subprocess
    import sys

    registry = store._registry.folder
    with subprocess.Popen(
        [sys.executable, "-c", ABANDONED, registry], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as importer:
        folder = Path(importer.stdout.readline().decode().strip())
        ours = Path(store.sink(LAYOUT).folder)
        ours.mkdir()
        store._registry.sweep()
        assert folder.exists() and ours.exists()
        importer.kill()
    store._registry.sweep()
    assert not folder.exists() and ours.exists()
    assert not (registry / "pins" / folder.name).exists()
