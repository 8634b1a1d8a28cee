"""A load that is killed with SIGKILL at each of its steps: all of it stands, or nothing."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys

import duckdb
import pytest

from ess_dask.testing.loads import Loader, sales
from ess_dask.warehouse.duckdb.transaction import STEPS
from ess_dask.warehouse.duckdb.warehouse import DuckDBWarehouse
from ess_dask.warehouse.model import Target

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


def rows(path):
    with duckdb.connect(str(path)) as connection:
        tables = ("sales", "_ess_ledger", "_ess_rejects", "_ess_loads")
        return {
            table: connection.execute(f"FROM {table} ORDER BY ALL").fetchall() for table in tables
        }


def without_times(found):
    return {
        table: [tuple(value for value in row if not hasattr(value, "year")) for row in some]
        for table, some in found.items()
    }


@pytest.mark.parametrize("step", STEPS)
def test_killed_load_leaves_all_or_nothing(tmp_path, step):
    path = tmp_path / "shop.duckdb"
    loader = Loader(DuckDBWarehouse(path), tmp_path / "stage")
    bad = ((4, "id", "bad", b"x"),)
    target = Target("duckdb:///shop.duckdb", "sales", "shop", on_change="reprocess")
    loader.load(target, sales("a", 1, 2, rejected=bad), sales("b", 3))
    before = rows(path)
    request = loader.request(target, sales("a", 10, etag="v2"), sales("c", 4, 5, rejected=bad))
    saved = tmp_path / "request"
    saved.write_bytes(pickle.dumps(request))
    done = subprocess.run([sys.executable, "-c", KILLED, path, saved, step], timeout=60)
    assert done.returncode == -signal.SIGKILL
    killed = rows(path)
    if step != "commit":
        assert killed == before
    result = loader.warehouse.load(request)
    assert (result.rows_loaded, result.rows_deleted, result.rows_rejected) == (3, 2, 1)
    after = rows(path)
    if step == "commit":
        assert after == killed
    assert [row[0] for row in after["sales"]] == [3, 4, 5, 10]

    other = tmp_path / "undisturbed.duckdb"
    undisturbed = Loader(DuckDBWarehouse(other), tmp_path / "stage2")
    undisturbed.load(target, sales("a", 1, 2, rejected=bad), sales("b", 3))
    undisturbed.load(target, sales("a", 10, etag="v2"), sales("c", 4, 5, rejected=bad))
    assert without_times(rows(other)) == without_times(after)


@pytest.mark.parametrize("step", ["begin", "insert", "record"])
def test_first_load_killed_leaves_no_table(tmp_path, step):
    path = tmp_path / "new.duckdb"
    loader = Loader(DuckDBWarehouse(path), tmp_path / "stage")
    request = loader.request(Target("duckdb:///new.duckdb", "sales", "shop"), sales("a", 1))
    saved = tmp_path / "request"
    saved.write_bytes(pickle.dumps(request))
    done = subprocess.run([sys.executable, "-c", KILLED, path, saved, step], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert loader.warehouse.ledger() == ()
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SHOW TABLES").fetchall() == []
    assert loader.warehouse.load(request).rows_loaded == 1
    assert loader.warehouse.verify(request).ok
