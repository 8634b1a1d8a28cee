"""A replay that is killed with SIGKILL at each step of its load: all of it stands, or nothing."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from dataclasses import replace

import duckdb
import pytest

from ess_dask.testing.loads import Loader, sales
from ess_dask.warehouse.duckdb.transaction import STEPS
from ess_dask.warehouse.duckdb.warehouse import DuckDBWarehouse
from ess_dask.warehouse.model import Target
from ess_dask.warehouse.replayed import write_replayed

pytestmark = pytest.mark.slow

KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from ess_dask.warehouse.duckdb.warehouse import DuckDBWarehouse

def watch(step):
    if step == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

request = pickle.loads(Path(sys.argv[2]).read_bytes())
DuckDBWarehouse(Path(sys.argv[1]), watch=watch).load(request)
"""


@pytest.mark.parametrize("step", STEPS)
def test_killed_replay_leaves_every_row_loaded_or_standing(tmp_path, step):
    path = tmp_path / "shop.duckdb"
    loader = Loader(DuckDBWarehouse(path), tmp_path / "stage")
    target = Target("duckdb:///shop.duckdb", "sales", "shop")
    bad = tuple((line, "id", "bad", b"x") for line in (4, 5, 6))
    loader.load(target, sales("a", 1, 2, rejected=bad))

    again = sales("a", 10, 11, part="again", rejected=((6, "id", "still bad", b"x"),))
    names = write_replayed(tmp_path / "replayed.parquet", loader.warehouse.rejects())
    request = replace(loader.request(target, again), replayed=names)
    saved = tmp_path / "request"
    saved.write_bytes(pickle.dumps(request))
    done = subprocess.run([sys.executable, "-c", KILLED, path, saved, step], timeout=60)
    assert done.returncode == -signal.SIGKILL

    def account():
        with duckdb.connect(str(path)) as connection:
            ids = [
                row[0] for row in connection.execute("SELECT id FROM sales ORDER BY 1").fetchall()
            ]
        return ids, loader.warehouse.rejects()["line"].to_pylist()

    after = ([1, 2, 10, 11], [6])
    assert account() == (after if step == "commit" else ([1, 2], [4, 5, 6]))
    loader.warehouse.load(request)
    assert account() == after
