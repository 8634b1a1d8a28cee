"""The DuckDB file itself: URLs, locks, no room, damage, other processes and threads."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from ess_dask.errors import ConfigError, DataError, EssError, LockedError
from ess_dask.testing.loads import Loader, sales
from ess_dask.warehouse.connect import open_warehouse, schemes
from ess_dask.warehouse.duckdb.file import DuckDBOptions, opened
from ess_dask.warehouse.duckdb.warehouse import DuckDBWarehouse
from ess_dask.warehouse.model import Target

pytestmark = pytest.mark.slow

TARGET = Target("duckdb:///shop.duckdb", "sales", "shop")
HOLDER = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def loader_of(tmp_path, name="shop.duckdb", **options):
    warehouse = DuckDBWarehouse(tmp_path / name, DuckDBOptions(**options))
    return Loader(warehouse, tmp_path / "stage")


# --- URLs


def test_paths_of_urls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_warehouse("duckdb:///a/b.duckdb").path == tmp_path / "a/b.duckdb"
    assert open_warehouse("DuckDB:////x/y%20z.duckdb").path == Path("/x/y z.duckdb")
    assert open_warehouse("duckdb:///md:cloud").path == tmp_path / "md:cloud"


def test_options_of_urls():
    url = "duckdb:///a.duckdb?memory_limit=1GB&threads=3&lock_wait=0.5&text_digest=true"
    assert open_warehouse(url).options == DuckDBOptions("1GB", 3, 0.5, True)


@pytest.mark.parametrize(
    "url",
    [
        "duckdb://",
        "duckdb:///",
        "duckdb:///:memory:",
        "duckdb://user:canary@host/x",
        "duckdb:///x?canary=1&memory=canary",
        "duckdb:///x?threads=many",
        "duckdb:///x?lock_wait=-1",
        "duckdb:///x?lock_wait=nan",
        "duckdb:///x?memory_limit=user",
        "duckdb:///x?text_digest=perhaps",
        "snowball://user:canary@host/x",
        "shop.duckdb",
        "can ary://x",
        "",
    ],
)
def test_bad_urls_are_told_without_secrets(url):
    with pytest.raises(ConfigError) as caught:
        open_warehouse(url)
    assert "user" not in str(caught.value)
    assert "host" not in str(caught.value)


def test_unknown_scheme_names_the_known(monkeypatch):
    assert "duckdb" in schemes()
    with pytest.raises(ConfigError, match="snowball") as caught:
        open_warehouse("snowball://x")
    assert "duckdb" in caught.value.hint


def test_plug_in_is_found_by_its_scheme(tmp_path, monkeypatch):
    info = tmp_path / "plug-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    entries = "[ess_dask.warehouses]\nplug = plug_module:connect\nduckdb = plug_module:connect\n"
    (info / "entry_points.txt").write_text(entries)
    (tmp_path / "plug_module.py").write_text("def connect(url):\n    return 'plugged ' + url\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert open_warehouse("plug://x") == "plugged plug://x"
    assert isinstance(open_warehouse("duckdb:///x"), DuckDBWarehouse)


# --- other holders


def test_file_held_by_another_process(tmp_path, capfd):
    loader = loader_of(tmp_path, lock_wait=0.3)
    request = loader.request(TARGET, sales("a", 1))
    command = [sys.executable, "-c", HOLDER, str(loader.warehouse.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        for call in (lambda: loader.warehouse.load(request), loader.warehouse.loads):
            with pytest.raises(LockedError) as caught:
                call()
            assert caught.value.exit_code == 75
            assert str(holder.pid) in caught.value.message
        holder.stdin.close()
    assert capfd.readouterr().out == ""
    assert Path(request.parts[0].path).exists()
    assert loader.warehouse.load(request).rows_loaded == 1


def test_no_wait_for_a_held_file(tmp_path):
    loader = loader_of(tmp_path, lock_wait=0.0)
    loader.load(TARGET, sales("a", 1))
    with duckdb.connect(str(loader.warehouse.path)), pytest.raises(LockedError):
        loader.warehouse.loads()


def test_short_hold_is_waited_for(tmp_path):
    loader = loader_of(tmp_path, lock_wait=20)
    request = loader.request(TARGET, sales("a", 1))
    command = [sys.executable, "-c", HOLDER, str(loader.warehouse.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        release = threading.Timer(0.2, holder.stdin.close)
        release.start()
        assert loader.warehouse.load(request).rows_loaded == 1
        release.join()


def test_file_open_in_this_process_with_other_settings(tmp_path):
    loader = loader_of(tmp_path, lock_wait=0.1, memory_limit="300MB")
    loader.load(TARGET, sales("a", 1))
    with (
        duckdb.connect(str(loader.warehouse.path)),
        pytest.raises(LockedError, match=str(os.getpid())),
    ):
        loader.warehouse.loads()


def test_threads_load_the_same_files_once(tmp_path):
    loader = loader_of(tmp_path, lock_wait=30)
    versions = [sales(f"f{n}", n) for n in range(5)]
    requests = [loader.request(TARGET, *versions) for _ in range(4)]
    results = []

    def load(request):
        results.append(loader.warehouse.load(request))

    threads = [threading.Thread(target=load, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.rows_loaded for result in results) == [0, 0, 0, 5]
    assert sorted(result.already_done for result in results) == [0, 5, 5, 5]
    assert len(loader.warehouse.ledger()) == 5


@pytest.mark.slow
def test_threads_open_and_close_the_same_file(tmp_path):
    """One closes it at the moment in which another opens it."""
    failures = []

    def use():
        try:
            for _ in range(30):
                with opened(tmp_path / "w.duckdb", DuckDBOptions(lock_wait=60), write=True):
                    pass
        except EssError as error:
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# --- the file


FULL = """
import pickle, resource, signal, sys
from pathlib import Path
from ess_dask.errors import EssError
from ess_dask.warehouse.duckdb.warehouse import DuckDBWarehouse

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
request = pickle.loads(Path(sys.argv[2]).read_bytes())
try:
    DuckDBWarehouse(Path(sys.argv[1])).load(request)
except EssError as error:
    print(type(error).__name__, error.exit_code, error)
"""


def test_no_room_loads_nothing(tmp_path):
    import pickle

    loader = loader_of(tmp_path)
    loader.load(TARGET, sales("a", 1))
    many = sales("b", *range(2, 150_000))
    request = loader.request(TARGET, many)
    saved = tmp_path / "request"
    saved.write_bytes(pickle.dumps(request))
    limit = str(loader.warehouse.path.stat().st_size + 4096)
    command = [sys.executable, "-c", FULL, str(loader.warehouse.path), str(saved), limit]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    assert said.startswith("EssError 1"), said
    assert str(loader.warehouse.path) in said
    assert f"{request.parts[0].bytes} bytes" in said
    assert len(loader.warehouse.loads()) == 1
    assert loader.warehouse.load(request).rows_loaded == len(many.rows)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    loader = loader_of(tmp_path, "file/shop.duckdb")
    with pytest.raises(EssError, match=r"shop\.duckdb") as caught:
        loader.load(TARGET, sales("a", 1))
    assert caught.value.exit_code == 1


def test_path_is_a_folder(tmp_path):
    (tmp_path / "shop.duckdb").mkdir()
    loader = loader_of(tmp_path)
    with pytest.raises(EssError, match=r"shop\.duckdb"):
        loader.warehouse.loads()


@pytest.mark.parametrize("content", [b"", b"not a database", bytes(40_000)])
def test_damaged_file(tmp_path, content):
    loader = loader_of(tmp_path)
    loader.warehouse.path.write_bytes(content)
    for call in (loader.warehouse.loads, lambda: loader.plan(TARGET, [sales("a", 1)])):
        with pytest.raises(DataError, match=r"shop\.duckdb"):
            call()
    assert loader.warehouse.path.read_bytes() == content


def test_missing_folder_is_made_by_a_load_only(tmp_path):
    loader = loader_of(tmp_path, "new/deep/shop.duckdb")
    assert loader.plan(TARGET, [sales("a", 1)]).ddl
    assert not (tmp_path / "new").exists()
    loader.load(TARGET, sales("a", 1))
    assert loader.warehouse.path.exists()


def test_ledger_of_a_later_release_is_refused(tmp_path):
    loader = loader_of(tmp_path)
    loader.load(TARGET, sales("a", 1))
    with duckdb.connect(str(loader.warehouse.path)) as connection:
        connection.execute("UPDATE _ess_meta SET version = 99")
    with pytest.raises(ConfigError, match="99"):
        loader.plan(TARGET, [sales("b", 1)])
    with pytest.raises(ConfigError, match="upgrade"):
        loader.load(TARGET, sales("b", 1))


def test_extensions_and_network_are_off(tmp_path):
    config = DuckDBOptions().config()
    with (
        duckdb.connect(str(tmp_path / "x.duckdb"), config=config) as connection,
        pytest.raises(duckdb.Error, match="httpfs"),
    ):
        connection.execute("FROM read_csv('http://127.0.0.1:9/x.csv')")


def test_index_on_a_column_that_must_widen(tmp_path):
    loader = loader_of(tmp_path)
    loader.load(TARGET, sales("a", 1))
    with duckdb.connect(str(loader.warehouse.path)) as connection:
        connection.execute("CREATE INDEX by_id ON sales (id)")
    id_, *rest = loader.columns
    loader.columns = (replace(id_, type=replace(id_.type, name="int64")), *rest)
    with pytest.raises(EssError, match=r"shop\.duckdb refused"):
        loader.load(TARGET, sales("b", 2))
    assert len(loader.warehouse.loads()) == 1
