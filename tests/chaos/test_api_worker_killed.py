"""A worker that is killed while it imports from Python changes nothing in the table."""

import gzip
import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

import ess_dask as ess
from ess_dask.cluster.local import find
from ess_dask.testing.clusters import private_cluster

pytestmark = pytest.mark.slow

DAYS = 12
ROWS = 3_000


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "lake"
    folder.mkdir()
    for day in range(1, DAYS + 1):
        text = "k,n\n" + "".join(f"k{(i * 7) % 501},{day * ROWS + i}\n" for i in range(ROWS))
        (folder / f"f_202001{day:02d}.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    with private_cluster(tmp_path / "home"):
        yield folder


def slowly(marks):
    """Return a cleaning function that leaves a mark and takes its time."""

    def step(frame):
        import pathlib
        import time
        import uuid

        pathlib.Path(marks, uuid.uuid4().hex).touch()
        time.sleep(0.2)
        return frame

    return step


def worker_pids():
    """Return the processes below the daemon that have the worker's threads: not the helpers."""
    state = find()
    assert state is not None
    children = psutil.Process(state.pid).children(recursive=True)
    return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]


def kill_after(marks, count, killed):
    deadline = time.monotonic() + 60
    while len(list(Path(marks).iterdir())) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    for pid in worker_pids():
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)


@pytest.mark.parametrize("count", [1, 5])
def test_kill_9_during_into_changes_nothing(lake, tmp_path, count):
    marks = tmp_path / "marks"
    marks.mkdir()
    category = ess.select(lake).category("f", "f_*.gz", columns={"k": "string", "n": "int32"})
    made = category.all().using(batch_bytes=1)
    with ess.connect() as cluster:
        expected = made.into("wood.calm", key="k", sort="n").to_arrow()
        killed = []
        killer = threading.Thread(target=kill_after, args=(marks, count, killed))
        killer.start()
        table = made.clean(slowly(str(marks))).into("wood.killed", key="k", sort="n")
        killer.join()
        assert killed
        assert table.count() == DAYS * ROWS
        assert table.to_arrow().equals(expected)
        assert cluster.tables() == ("wood.calm", "wood.killed")
        assert cluster.table("wood.calm").to_arrow().equals(expected)
